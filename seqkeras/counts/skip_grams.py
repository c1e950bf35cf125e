"""Skip-grams: n-grams with a gap in their context; Shazeer, Pelemans & Chelba 2015
(arXiv:1412.1454).

    (r, s, a):    w_(t-a-s-r) .. w_(t-a-s-1)    s words    w_(t-a) .. w_(t-1)    then  w_t

r words are remote, s are skipped, a are adjacent. The k-grams are the kind (0, 0, k-1).
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from seqkeras.constants import START
from seqkeras.counts.ngrams import find_keys


class SkipGram(NamedTuple):
    """A kind of skip-gram: how many words are remote, skipped, adjacent."""

    remote: int
    skipped: int
    adjacent: int

    @property
    def distances(self):
        """How far each word of the context stands before the last word, the farthest first."""
        begin = self.adjacent + self.skipped
        remote = range(begin + self.remote, begin, -1)
        return (*remote, *range(self.adjacent, 0, -1))


def skip_grams(order, gaps=True):
    """Returns the kinds whose context lies among the last n-1 words: the k-grams, then the others.

    Args:
        order: int >= 1. n.
        gaps: If False, the k-grams only.

    Raises:
        ValueError: for an order below 1.

    Example:

    >>> [tuple(kind) for kind in skip_grams(3)]
    [(0, 0, 0), (0, 0, 1), (0, 0, 2), (1, 1, 0)]
    """
    if order < 1:
        raise ValueError(f"order: expected at least 1, got {order}")
    kinds = [SkipGram(0, 0, k) for k in range(order)]
    if gaps:
        kinds += [
            SkipGram(r, s, a)
            for a in range(order)
            for s in range(1, order)
            for r in range(1, order - a - s)
        ]
    return kinds


@dataclasses.dataclass(frozen=True, eq=False)
class SkipGramCounts:
    """How often every skip-gram of one kind occurs.

    Attributes:
        kind: `SkipGram`.
        keys: Tuple of int64 arrays, for the first 2, 3, ... words and at last for all: sorted
            p V + w, with p the place of the words before w, as in `NGramCounts`.
        counts: int64 `(M,)`, of each skip-gram: of each key of the last array; of words without
            context `(V,)`.
        places: int64 `(N,)`, which of them ends at each id, -1 for none.
    """

    kind: SkipGram
    keys: tuple
    counts: np.ndarray
    places: np.ndarray


def count_skip_grams(ids, kind, vocabulary_size):
    """Counts the skip-grams of one kind.

    Args:
        ids: int64 `(N,)`, from `join_with_starts`. START is part of contexts, and none reaches
            across it.
        kind: `SkipGram`.
        vocabulary_size: int. V.

    Returns:
        `SkipGramCounts`.
    """
    real = np.flatnonzero(_has_context(ids, kind) & (ids != START))
    keys, nodes = [], None
    for distance in (*kind.distances, 0):
        words = ids[real - distance]
        if nodes is None:
            nodes = words
        else:
            found, nodes = np.unique(nodes * vocabulary_size + words, return_inverse=True)
            keys.append(found)
    places = np.full(len(ids), -1)
    places[real] = nodes
    counts = np.bincount(nodes, minlength=len(keys[-1]) if keys else vocabulary_size)
    return SkipGramCounts(kind, tuple(keys), counts, places)


def find_contexts(ids, kind, keys, vocabulary_size):
    """Returns the place of the context of each id, `(N,)`; -1 for one that is not there.

    Args:
        ids: int64 `(N,)`, from `join_with_starts`.
        kind: `SkipGram`.
        keys: As in `SkipGramCounts`.
        vocabulary_size: int. V.
    """
    places = np.where(_has_context(ids, kind), 0, -1)
    for index, distance in enumerate(kind.distances):
        words = np.roll(ids, distance)
        if index == 0:
            places = np.where(places >= 0, words, -1)
        else:
            wanted = np.where(places >= 0, places * vocabulary_size + words, -1)
            places = find_keys(keys[index - 1], wanted)
    return places


def _has_context(ids, kind):
    """Returns whether the context of each id lies in its sequence, START included."""
    at = np.arange(len(ids))
    starts = np.maximum.accumulate(np.where(ids == START, at, 0))
    return at - max(kind.distances, default=0) >= starts
