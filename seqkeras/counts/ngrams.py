"""Counts of n-grams, in sorted arrays.

    keys_k = sorted ids  p V + w  of the k-grams w1..wk that occur,   k = 2..n
        p  the place of w1..w(k-1) among the (k-1)-grams;  w = wk;  a 1-gram's place is its id

So the k-grams that go on from one context stand side by side, in the order of their last word, and
one walk over a text finds all n-grams of a position: the k-gram that ends at t goes on from the
(k-1)-gram that ends at t-1. A START stands before every sequence and no n-gram reaches across it; a
whole text as one sequence is a stream.

Why no library: KenLM's Python package reads and queries models only (its estimator, `lmplz`, is a
C++ program to be compiled), and NLTK's `lm` counts and scores one word at a time in Python, with
one fixed discount: it estimates none and has no modified Kneser-Ney.
"""

import dataclasses

import numpy as np

from seqkeras.constants import PAD, START


@dataclasses.dataclass(frozen=True, eq=False)
class NGramCounts:
    """How often every k-gram occurs, k = 1..n; counts of two sets of sequences add up with `+`.

    Attributes:
        vocabulary_size: int. V.
        keys: Tuple of int64 arrays, of the orders 2..n; their layout is in the module's docstring.
        counts: Tuple of int64 arrays, of the orders 1..n: those of 1-grams `(V,)`, then one count
            for each key. START itself is never counted.

    Raises:
        ValueError: from `+`, if the orders or the vocabularies differ.
    """

    vocabulary_size: int
    keys: tuple
    counts: tuple

    @property
    def order(self):
        return len(self.counts)

    @property
    def suffixes(self):
        """Tuple of int64 arrays, of the orders 2..n: the place of each k-gram's last k-1 words."""
        suffixes = []
        for k, keys in enumerate(self.keys, start=2):
            contexts, words = keys // self.vocabulary_size, keys % self.vocabulary_size
            if k > 2:
                wanted = suffixes[-1][contexts] * self.vocabulary_size + words
                words = np.searchsorted(self.keys[k - 3], wanted)
            suffixes.append(words)
        return tuple(suffixes)

    @property
    def begins(self):
        """Tuple of bool arrays, of the contexts of the orders 2..n: whether each begins with START.

        Where n is 1, those of order 2 are there all the same: the ids.
        """
        begins = [np.arange(self.vocabulary_size) == START]
        for keys in self.keys[:-1]:
            begins.append(begins[-1][keys // self.vocabulary_size])
        return tuple(begins)

    def __add__(self, other):
        ours = (self.order, self.vocabulary_size)
        theirs = (other.order, other.vocabulary_size)
        if ours != theirs:
            raise ValueError(
                "expected counts of the same order and vocabulary size to add, got "
                f"{ours} and {theirs}"
            )
        size = self.vocabulary_size
        keys, counts = [], [self.counts[0] + other.counts[0]]
        places, other_places = np.arange(size), np.arange(size)  # of the 1-grams in the sum
        for k in range(2, self.order + 1):
            mine = _moved(self.keys[k - 2], places, size)
            its = _moved(other.keys[k - 2], other_places, size)
            merged = np.union1d(mine, its)
            places, other_places = np.searchsorted(merged, mine), np.searchsorted(merged, its)
            total = np.zeros(len(merged), np.int64)
            total[places] += self.counts[k - 1]
            total[other_places] += other.counts[k - 1]
            keys.append(merged)
            counts.append(total)
        return NGramCounts(size, tuple(keys), tuple(counts))


def count_ngrams(sequences, order, vocabulary_size):
    """Counts the n-grams of sequences up to an order.

    Args:
        sequences: List of integer arrays `(T,)`, sentences without START and with their END.
        order: int >= 1. n.
        vocabulary_size: int. V, all special tokens included.

    Returns:
        `NGramCounts`.

    Raises:
        ValueError: for an order below 1, no token at all, or ids that no sequence may hold: outside
            of 0..V-1, PAD, START.

    Example:

    >>> counts = count_ngrams([[4, 5, 2], [4, 2]], order=2, vocabulary_size=6)
    >>> counts.counts[0].tolist()  # how often each id occurs
    [0, 0, 2, 0, 2, 1]
    >>> [divmod(key, 6) for key in counts.keys[0].tolist()]  # the pairs
    [(1, 4), (4, 2), (4, 5), (5, 2)]
    """
    if order < 1:
        raise ValueError(f"order: expected at least 1, got {order}")
    ids = join_to_count(sequences, vocabulary_size)
    counts = [np.bincount(ids[ids != START], minlength=vocabulary_size)]
    keys = []
    nodes = ids
    for _ in range(2, order + 1):
        key = longer_keys(nodes, ids, vocabulary_size)
        exists = key >= 0
        found, places, count = np.unique(key[exists], return_inverse=True, return_counts=True)
        nodes = np.full(len(ids), -1)
        nodes[exists] = places
        keys.append(found)
        counts.append(count)
    return NGramCounts(vocabulary_size, tuple(keys), tuple(counts))


def join_with_starts(sequences, vocabulary_size):
    """Returns all ids in one int64 array, a START before each sequence.

    Raises:
        ValueError: as `checked_ids`, for one of the sequences.
    """
    rows = []
    for index, sequence in enumerate(sequences):
        rows += [np.array([START]), checked_ids(sequence, vocabulary_size, f"sequence {index}")]
    return np.concatenate(rows) if rows else np.zeros(0, np.int64)


def join_to_count(sequences, vocabulary_size):
    """Returns what `join_with_starts` does; raises ValueError if there is no token at all, too."""
    ids = join_with_starts(sequences, vocabulary_size)
    if not (ids != START).any():
        raise ValueError("sequences: expected at least one token to count, got none")
    return ids


def checked_ids(ids, vocabulary_size, name="ids"):
    """Returns ids as int64 `(N,)`.

    Raises:
        ValueError: for ids that are not of one axis, are no integers, or that no text may hold:
            outside of 0..V-1, PAD, START.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
        raise ValueError(f"{name}: expected integer ids (N,), got {ids.dtype} of shape {ids.shape}")
    ids = ids.astype(np.int64)
    wrong = (ids < 0) | (ids >= vocabulary_size) | (ids == PAD) | (ids == START)
    if wrong.any():
        raise ValueError(
            f"{name}: expected ids from 0 to {vocabulary_size - 1} without PAD ({PAD}) and START "
            f"({START}), which stands before every sequence unasked; got {int(ids[wrong][0])}"
        )
    return ids


def longer_keys(nodes, ids, vocabulary_size):
    """Returns the key of the k-gram that ends at each position, -1 where none does.

    Args:
        nodes: int64 `(T,)`, the place of the (k-1)-gram that ends at each position; -1 for none.
        ids: int64 `(T,)`, from `join_with_starts`.
        vocabulary_size: int. V.
    """
    contexts = np.concatenate([[-1], nodes[:-1]])
    return np.where((contexts >= 0) & (ids != START), contexts * vocabulary_size + ids, -1)


def find_keys(keys, wanted):
    """Returns the place of each wanted key among the sorted keys, -1 where there is none."""
    if not len(keys):
        return np.full(len(wanted), -1)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)


def _moved(keys, places, size):
    """Returns keys whose contexts went to other places; they stay sorted, for places ascend."""
    return places[keys // size] * size + keys % size
