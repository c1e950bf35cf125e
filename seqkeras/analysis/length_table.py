"""Translation quality against the length of the source.

An encoder that hands one vector to the decoder loses quality on long sources, and attention wins
it back (notes B, sections 4.1 and 4.2; Bahdanau et al. 2015, arXiv:1409.0473, figure 2). Test
sentences are put in buckets by source length and each bucket is scored as a corpus of its own.
"""

import bisect
import itertools
from typing import NamedTuple

from seqkeras.analysis.figures import new_figure

METRICS = {"bleu": "BLEU", "chrf": "chrF", "exact_match": "exact match, %"}


class LengthScore(NamedTuple):
    """Scores of the sentences with `shortest <= length <= longest`, all in 0..100.

    `longest` is None for the last, open bucket.
    """

    shortest: int
    longest: int | None
    sentences: int
    bleu: float
    chrf: float
    exact_match: float

    @property
    def label(self):
        """The bucket in words, such as `11-20` or `> 40`."""
        if self.longest is None:
            return f"> {self.shortest - 1}" if self.shortest else "all"
        return f"{self.shortest}-{self.longest}"


def count_words(text):
    """Returns the number of words between blanks."""
    return len(text.split())


def score_by_length(sources, hypotheses, references, buckets=(10, 20, 30, 40), length=count_words):
    """Scores translations bucket by bucket with sacrebleu's defaults (13a, cased).

    Args:
        sources: List of str.
        hypotheses: List of str, the detokenised translations.
        references: List of str, one for each.
        buckets: Ascending ints, the longest source of each bucket; longer ones share one more.
        length: Callable, source -> int; `len` counts characters.

    Returns:
        List of `LengthScore`, shortest first, without buckets that hold no sentence.

    Raises:
        ValueError: If the lists differ in length, or the buckets do not ascend.
    """
    import sacrebleu

    if not len(sources) == len(hypotheses) == len(references):
        raise ValueError(
            "Expected as many hypotheses and references as sources, got "
            f"{len(sources)} sources, {len(hypotheses)} hypotheses, {len(references)} references."
        )
    if list(buckets) != sorted(set(buckets)):
        raise ValueError(f"Expected `buckets` in ascending order, got {tuple(buckets)}.")
    members = [[] for _ in range(len(buckets) + 1)]
    for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True):
        members[bisect.bisect_left(buckets, length(source))].append((hypothesis, reference))
    edges = zip([0, *(edge + 1 for edge in buckets)], [*buckets, None], members, strict=True)
    rows = []
    for shortest, longest, pairs in edges:
        if pairs:
            outputs, answers = map(list, zip(*pairs, strict=True))
            rows.append(
                LengthScore(
                    shortest,
                    longest,
                    sentences=len(pairs),
                    bleu=sacrebleu.corpus_bleu(outputs, [answers]).score,
                    chrf=sacrebleu.corpus_chrf(outputs, [answers]).score,
                    exact_match=100.0 * sum(o == a for o, a in pairs) / len(pairs),
                )
            )
    return rows


def plot_score_by_length(systems, metric="bleu", title=None):
    """Draws a line for each system over the buckets, and below it how many sentences each holds.

    Args:
        systems: Dict from a system's name to its rows of `score_by_length`, all of one test set.
        metric: str, a score of `LengthScore`: "bleu", "chrf" or "exact_match".
        title: Optional str.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is nothing to draw, the metric is unknown, or the systems' buckets
            differ.
    """
    if metric not in METRICS:
        raise ValueError(f"Expected `metric` to be one of {tuple(METRICS)}, got {metric!r}.")
    buckets = {tuple((row.label, row.sentences) for row in rows) for rows in systems.values()}
    if len(buckets) != 1 or not min(buckets):
        raise ValueError(
            "Expected rows of one test set with the same buckets for every system, got "
            f"{ {name: [row.label for row in rows] for name, rows in systems.items()} }."
        )
    labels, sentences = zip(*buckets.pop(), strict=True)
    figure = new_figure(6.4, 4.8)
    top, bottom = figure.subplots(2, sharex=True, height_ratios=[4, 1])
    markers = itertools.cycle("osD^vP")  # tell lines apart without colour
    for (name, rows), marker in zip(systems.items(), markers, strict=False):
        top.plot(labels, [getattr(row, metric) for row in rows], marker=marker, label=name)
    top.set_ylabel(METRICS[metric])
    top.set_ylim(bottom=0)
    top.grid(axis="y", alpha=0.3)
    top.legend()
    bars = bottom.bar(labels, sentences, color="0.75", width=0.6)
    bottom.bar_label(bars)
    bottom.margins(y=0.35)  # room for the numbers
    bottom.set_ylabel("sentences")
    bottom.set_xlabel("source length")
    if title is not None:
        figure.suptitle(title)
    return figure
