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

All logarithms are natural: nats.
"""

import dataclasses

import numpy as np

from seqkeras.constants import PAD, START
from seqkeras.counts.ngrams import find_keys, join_with_starts, longer_keys

ESTIMATES = ("modified", "single")


@dataclasses.dataclass(frozen=True, eq=False)
class Level:
    """The k-grams of one order k >= 2.

    Attributes:
        keys: int64 `(M_k,)`, as in `NGramCounts`.
        shares: float64 `(M_k,)`. a(hw) of each k-gram hw.
        backoffs: float64 `(M_(k-1),)`. b(h) of each (k-1)-gram h.
    """

    keys: np.ndarray
    shares: np.ndarray
    backoffs: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class KneserNey:
    """The tables of a model; `kneser_ney` makes them, the layer `NGram` runs them in a graph.

    Attributes:
        vocabulary_size: int. V.
        discounts: float64 `(n, 3)`. D(1), D(2), D(3+) of each order.
        unigram: float64 `(V,)`. p(w); 0 for PAD and START.
        levels: Tuple of `Level`, of the orders 2..n.
    """

    vocabulary_size: int
    discounts: np.ndarray
    unigram: np.ndarray
    levels: tuple

    @property
    def order(self):
        return 1 + len(self.levels)

    def log_probs(self, sequences):
        """Returns the log-probability of every token, float64 `(N,)`, in nats.

        Args:
            sequences: List of integer arrays, as for `count_ngrams`: without START.

        Returns:
            The tokens' log-probabilities, sequence after sequence; -inf only where discounts of 0
            leave nothing for what did not occur.

        Raises:
            ValueError: for ids that no sequence may hold.
        """
        ids = join_with_starts(sequences, self.vocabulary_size)
        p = self.unigram[ids]
        nodes = ids
        for level in self.levels:
            contexts = np.concatenate([[-1], nodes[:-1]])
            nodes = find_keys(level.keys, longer_keys(nodes, ids, self.vocabulary_size))
            p = _at(level.backoffs, contexts, 1.0) * p + _at(level.shares, nodes, 0.0)
        with np.errstate(divide="ignore"):
            return np.log(p[ids != START])

    def distribution(self, context):
        """Returns the probability of every next id, float64 `(V,)`; it sums to 1.

        Args:
            context: Integers, a sequence's tokens so far, of any number; START is put before them.

        Raises:
            ValueError: for ids that no sequence may hold.
        """
        ids = join_with_starts([context], self.vocabulary_size)
        p = self.unigram.copy()
        nodes = ids
        for level in self.levels:
            h = nodes[-1]
            if h < 0:
                break
            begin, end = np.searchsorted(level.keys, np.array([h, h + 1]) * self.vocabulary_size)
            p *= level.backoffs[h]
            p[level.keys[begin:end] % self.vocabulary_size] += level.shares[begin:end]
            nodes = find_keys(level.keys, longer_keys(nodes, ids, self.vocabulary_size))
        return p


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
    possible = np.ones(size)
    possible[[PAD, START]] = 0.0
    removed = _removed(adjusted[0], discounts[0])
    kept = adjusted[0] - removed + removed.sum() * possible / possible.sum()
    levels = []
    for k in range(2, counts.order + 1):
        keys, c = counts.keys[k - 2], adjusted[k - 1]
        contexts = keys // size
        contexts_count = len(adjusted[k - 2])
        removed = _removed(c, discounts[k - 1])
        total = np.bincount(contexts, c, minlength=contexts_count)  # c(h)
        left = np.bincount(contexts, removed, minlength=contexts_count)
        backoffs = np.divide(left, total, out=np.ones(contexts_count), where=total > 0)
        levels.append(Level(*map(_frozen, (keys, (c - removed) / total[contexts], backoffs))))
    unigram = _frozen(kept / adjusted[0].sum())
    return KneserNey(size, _frozen(discounts), unigram, tuple(levels))


def _adjusted_counts(counts):
    """Returns c of every n-gram, a list of arrays: counts of different words before, below n."""
    size = counts.vocabulary_size
    raw = counts.counts
    begins = np.arange(size) == START  # whether START is the first word of a k-gram
    suffixes = None  # places of the k-grams without their first word
    adjusted = []
    for k, keys in enumerate(counts.keys, start=2):
        contexts, words = keys // size, keys % size
        if suffixes is None:
            suffixes = words
        else:
            suffixes = np.searchsorted(counts.keys[k - 3], suffixes[contexts] * size + words)
        before = np.bincount(suffixes, minlength=len(raw[k - 2]))
        adjusted.append(np.where(begins, raw[k - 2], before))
        begins = begins[contexts]
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


def _at(table, places, otherwise):
    """Returns the entries at places, and `otherwise` where a place is -1."""
    return np.where(places >= 0, table[places], otherwise) if len(table) else otherwise


def _frozen(array):
    array = array.view()
    array.setflags(write=False)
    return array
