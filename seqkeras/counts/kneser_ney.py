"""Interpolated Kneser-Ney n-gram models, with one discount an order or the modified three.

    p(w | h) = a(hw) + b(h) p(w | h')            h' = h without its first word
    a(hw)    = max(c(hw) - D(c(hw)), 0) / c(h)   c(h) = sum_w c(hw)
    b(h)     = sum_w D(c(hw)) / c(h)             1 where h never goes on
    p(w)     = a(w) + b / V'                     V' = V - 2: every id but PAD and START

c is the count of the highest order; below, it is how many different words stand before an n-gram,
N1+(. w1..wk), START being one; an n-gram that begins with START has nothing before it and keeps its
count. Kneser & Ney 1995 (ICASSP), interpolated as in Chen & Goodman 1998 (TR-10-98, section 4.1.6);
discounts from n_j, how many n-grams have count j (Chen & Goodman 1999, equations 17 and 26):

    Y = n_1 / (n_1 + 2 n_2);   single:    D(c) = Y
    modified:  D(1) = 1 - 2 Y n_2 / n_1,  D(2) = 2 - 3 Y n_3 / n_2,  D(3+) = 3 - 4 Y n_4 / n_3
"""

import dataclasses

import numpy as np

from seqkeras.counts.tables import Level, NGramTables, frozen
from seqkeras.ops.uniform_words import uniform_words

ESTIMATES = ("modified", "single")


@dataclasses.dataclass(frozen=True, eq=False)
class KneserNey(NGramTables):
    """`NGramTables` with `discounts`, float64 `(n, 3)`: D(1), D(2), D(3+) of each order.

    What did not occur has probability 0 only where discounts of 0 leave nothing for it.
    """

    discounts: np.ndarray


def kneser_ney(counts, discounts="modified"):
    """Makes a Kneser-Ney model out of counts.

    Args:
        counts: `NGramCounts`.
        discounts: "modified" or "single": estimated from the counts; or the discounts themselves,
            for each of the orders 1..n one number D, or three: D(1), D(2), D(3+).

    Returns:
        `KneserNey`.

    Raises:
        ValueError: for an unknown estimate, for discounts that are not between 0 and the count that
            they are taken from, or that the counts are too few to estimate.

    Example:

    >>> from seqkeras.counts import count_ngrams
    >>> counts = count_ngrams([[4, 5, 2], [4, 2]], order=2, vocabulary_size=6)
    >>> model = kneser_ney(counts, discounts=[0.5, 0.5])
    >>> model.distribution([4]).round(3)  # 0.5 p(w), + 0.25 for what followed
    array([0.   , 0.   , 0.484, 0.047, 0.109, 0.359])
    """
    adjusted = _adjusted_counts(counts)
    discounts = _discounts(adjusted, discounts)
    size = counts.vocabulary_size
    removed = _removed(adjusted[0], discounts[0])
    kept = adjusted[0] - removed + removed.sum() * uniform_words(size)
    levels = []
    for k in range(2, counts.order + 1):
        keys, c = counts.keys[k - 2], adjusted[k - 1]
        contexts = keys // size
        contexts_count = len(adjusted[k - 2])
        removed = _removed(c, discounts[k - 1])
        total = np.bincount(contexts, c, minlength=contexts_count)  # c(h)
        left = np.bincount(contexts, removed, minlength=contexts_count)
        backoffs = np.divide(left, total, out=np.ones(contexts_count), where=total > 0)
        levels.append(Level(*map(frozen, (keys, (c - removed) / total[contexts], backoffs))))
    unigram = frozen(kept / adjusted[0].sum())
    return KneserNey(size, unigram, tuple(levels), frozen(discounts))


def _adjusted_counts(counts):
    """Returns c of every n-gram, a list of arrays: counts of different words before, below n."""
    raw = counts.counts
    adjusted = [
        np.where(begins, c, np.bincount(suffixes, minlength=len(c)))
        for c, suffixes, begins in zip(raw, counts.suffixes, counts.begins, strict=False)
    ]
    return [*adjusted, raw[-1]]


def _discounts(adjusted, discounts):
    """Returns D(1), D(2), D(3+) of each order, `(n, 3)`."""
    if isinstance(discounts, str):
        if discounts not in ESTIMATES:
            raise ValueError(
                f"discounts: expected one of {ESTIMATES} or numbers, got {discounts!r}"
            )
        rows = [_estimate(k, c, discounts) for k, c in enumerate(adjusted, start=1)]
    else:
        rows = [np.broadcast_to(d, (3,)) if np.ndim(d) == 0 else d for d in discounts]
    if len(rows) != len(adjusted) or any(np.shape(row) != (3,) for row in rows):
        raise ValueError(
            f"discounts: expected one number or three for each of {len(adjusted)} orders, "
            f"got {discounts!r}"
        )
    table = np.array(rows, float)
    wrong = ~((table >= 0) & (table <= [1, 2, 3]))  # NaN is wrong, too
    if wrong.any():
        order, place = np.argwhere(wrong)[0]
        raise ValueError(
            f"discounts: expected numbers from 0 to {place + 1} for a count of {place + 1}, got "
            f"{table[order, place]:g} for order {order + 1}. If it was estimated, the counts of "
            "counts are irregular (too little text, or made up): give the discounts as numbers."
        )
    return table


def _estimate(order, c, kind):
    """Returns the three discounts of one order from its counts of counts."""
    n = np.bincount(np.minimum(c, 5), minlength=6).astype(float)  # n[j]; n[5] is of more than 4
    needed = n[1:4] if kind == "modified" else n[1:2]
    if not needed.all():
        raise ValueError(
            f"order {order}: {kind} discounts need n-grams of each of the counts "
            f"{list(range(1, len(needed) + 1))}, got {n[1:5].astype(int).tolist()} n-grams of the "
            'counts 1 to 4. Count more text, use discounts="single", or give the discounts as '
            "numbers, such as discounts=[0.75] * order."
        )
    y = n[1] / (n[1] + 2 * n[2])
    if kind == "single":
        return np.full(3, y)
    return np.array([j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3)])


def _removed(c, discounts):
    """Returns D(c) of each count; a count of 0 loses nothing."""
    return np.concatenate([[0.0], discounts])[np.minimum(c, 3)]
