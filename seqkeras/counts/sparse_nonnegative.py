"""Sparse non-negative matrix language models; Shazeer, Pelemans & Chelba 2015 (arXiv:1412.1454).

    p(w | h) = sum_f M(f, w) / sum_f R(f)        f: the contexts of h that occurred, of every kind
    M(f, w)  = exp A(f, w) c(f w) / c(f),        R(f) = sum_w M(f, w)
    A(f, w)  = theta[kind] + theta[kind, bucket c(f w), bucket c(f)]
             + theta[kind, f] + theta[kind, w]   c(f w) the count of a skip-gram, buckets of log2

The kinds are n-grams and, if wanted, skip-grams. A learns how far a relative frequency is to be
trusted: by its kind, how often the context and the skip-gram were seen, and which words they are.
With A = 0 the model is the mixture of the relative frequencies of all kinds with equal weights.

Every skip-gram was seen in the text that A is learned on, so each position leaves itself out of the
counts (section 3.2 of the paper): with w the word that follows, it sees c(f) - 1 and c(f w) - 1.
Contexts and words share weights by a hash, as in the paper. One step takes all positions at once.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from seqkeras.constants import PAD, START
from seqkeras.counts.hashing import hashed
from seqkeras.counts.ngrams import find_keys, join_to_count, join_with_starts
from seqkeras.counts.skip_grams import SkipGram, count_skip_grams, find_contexts, skip_grams
from seqkeras.counts.tables import at_places, frozen
from seqkeras.ops.uniform_words import uniform_words

_BUCKETS = 32  # of the binary logarithms of counts
_SLOTS = 2**16  # of the hash, for the contexts of one kind


class Feature(NamedTuple):
    """The entries of the matrix of one kind of skip-gram, which has a context.

    Attributes:
        kind: `SkipGram`.
        keys: Tuple of int64 arrays, as in `SkipGramCounts`.
        entries: float64 `(M,)`. M of each skip-gram.
        totals: float64 `(C,)`. R of each context.
    """

    kind: SkipGram
    keys: tuple
    entries: np.ndarray
    totals: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class SparseNonNegative:
    """The matrix; the layer `SparseMatrix` runs it in a graph.

    Attributes:
        vocabulary_size: int. V.
        base: float64 `(V,)`. M of words without context, and a little for every word that can be.
        features: Tuple of `Feature`.
    """

    vocabulary_size: int
    base: np.ndarray
    features: tuple

    def log_probs(self, sequences):
        """Returns the log-probability of every token, float64 `(N,)`, in nats.

        Args, returns, raises: as `NGramTables.log_probs`.
        """
        size = self.vocabulary_size
        ids = join_with_starts(sequences, size)
        above, below = self.base[ids], np.full(len(ids), self.base.sum())
        for feature in self.features:
            contexts = find_contexts(ids, feature.kind, feature.keys, size)
            known = contexts >= 0
            entries = find_keys(feature.keys[-1], np.where(known, contexts * size + ids, -1))
            above += at_places(feature.entries, entries, 0.0)
            below += at_places(feature.totals, contexts, 0.0)
        with np.errstate(divide="ignore"):
            return np.log((above / below)[ids != START])

    def distribution(self, context):
        """Returns the probability of every next id, float64 `(V,)`; it sums to 1.

        Args, raises: as `NGramTables.distribution`.
        """
        size = self.vocabulary_size
        # Whatever is predicted, it is no part of its own context.
        ids = np.append(join_with_starts([context], size), PAD)
        p = self.base.copy()
        for feature in self.features:
            h = find_contexts(ids, feature.kind, feature.keys, size)[-1]
            if h < 0:
                continue
            keys = feature.keys[-1]
            begin, end = np.searchsorted(keys, np.array([h, h + 1]) * size)
            p[keys[begin:end] % size] += feature.entries[begin:end]
        return p / p.sum()


def sparse_nonnegative(
    sequences, order, vocabulary_size, gaps=False, steps=40, learning_rate=0.1, variance=0.3
):
    """Counts n-grams or skip-grams, makes a matrix of them, and learns its adjustments.

    A kind that has every word, all the same, is there so that nothing is impossible. TensorFlow
    only.

    Args:
        sequences: List of integer arrays `(T,)`, sentences without START and with their END.
        order: int >= 1. n: contexts are among the last n-1 words.
        vocabulary_size: int. V, all special tokens included.
        gaps: If True, all skip-grams of these contexts, see `skip_grams`.
        steps: int, how many times Adam goes over all positions; 0 leaves A = 0.
        learning_rate: float, of Adam.
        variance: float > 0, of a Gaussian prior on theta: the smaller, the nearer is it to 0.

    Returns:
        `SparseNonNegative`.

    Raises:
        ValueError: for an order below 1, a negative number of steps, a variance that is not
            positive, no token at all, or ids that no sequence may hold.

    Example:

    >>> model = sparse_nonnegative([[4, 5, 2], [4, 2]], order=3, vocabulary_size=6, gaps=True)
    >>> round(float(model.distribution([4]).sum()), 6)
    1.0
    """
    import keras
    import tensorflow as tf

    if steps < 0:
        raise ValueError(f"steps: expected at least 0, got {steps}")
    if not variance > 0:
        raise ValueError(f"variance: expected more than 0, got {variance}")
    kinds = skip_grams(order, gaps)
    ids = join_to_count(sequences, vocabulary_size)
    counted = [count_skip_grams(ids, kind, vocabulary_size) for kind in kinds]
    counted = [counts for counts in counted if len(counts.counts)]  # text may be too short for some
    parts = [_part(counts, ids, vocabulary_size) for counts in counted]
    theta = _Adjustments(len(parts), vocabulary_size)
    seen = [_left_out(part) for part in parts]
    tokens = float((ids != START).sum())
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(theta.variables)

    @tf.function(autograph=False)
    def learn():
        with tf.GradientTape() as tape:
            loss = _left_out_loss(parts, seen, theta, vocabulary_size)
            loss += sum(map(tf.nn.l2_loss, theta.variables)) / (variance * tokens)
        gradients = tape.gradient(loss, theta.variables)
        optimizer.apply([tf.convert_to_tensor(g) for g in gradients])

    for _ in range(steps):
        learn()
    return _matrix(counted, parts, theta, vocabulary_size)


class _Part(NamedTuple):
    """The skip-grams of one kind: arrays of M of them, of C contexts, and of N tokens.

    Attributes:
        words, contexts: `(M,)`, of each: its last word, the place of its context.
        counts: `(M,)`, c(f w).
        totals: `(C,)`, c(f).
        slots: `(C,)`, where the contexts have their weights.
        places: `(N,)`, which of them ends at each token, -1 for none.
    """

    words: np.ndarray
    contexts: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    slots: np.ndarray
    places: np.ndarray


def _part(counted, ids, size):
    if counted.keys:
        contexts, words = np.divmod(counted.keys[-1], size)
        number = len(counted.keys[-2]) if len(counted.keys) > 1 else size
    else:
        contexts, words, number = np.zeros(size, np.int64), np.arange(size), 1
    totals = np.bincount(contexts, counted.counts, minlength=number).astype(np.int64)
    slots = hashed(np.arange(number), _SLOTS)
    return _Part(words, contexts, counted.counts, totals, slots, counted.places[ids != START])


class _Seen(NamedTuple):
    """What M depends on besides theta: `bucket` and `share` c(f w) / c(f) of every skip-gram."""

    bucket: Any
    share: Any


def _seen(part, counts, totals):
    import tensorflow as tf

    bucket = _bucket(counts) * _BUCKETS + _bucket(totals)[part.contexts]
    share = counts / np.maximum(totals, 1)[part.contexts]
    return _Seen(tf.constant(bucket, tf.int32), tf.constant(share, tf.float32))


def _bucket(counts):
    """Returns small counts as they are, larger ones by their binary logarithm."""
    return np.where(counts < 8, counts, 5 + np.log2(np.maximum(counts, 1)).astype(int))


def _left_out(part):
    """Returns two `_Seen` for a position left out: of the words that do not follow, and that do.

    A context that occurred once is left out, too.
    """
    left = np.maximum(part.totals - 1, 0)
    others = np.where(left[part.contexts] > 0, part.counts, 0)
    return _seen(part, others, left), _seen(part, np.maximum(part.counts - 1, 0), left)


class _Adjustments:
    """theta: what A is the sum of, by kind."""

    def __init__(self, kinds, size):
        import tensorflow as tf

        self._kind = tf.Variable(tf.zeros([1 + kinds]))  # the first: of every word the same
        self._bucket = tf.Variable(tf.zeros([kinds, _BUCKETS * _BUCKETS]))
        self._context = tf.Variable(tf.zeros([kinds, _SLOTS]))
        self._word = tf.Variable(tf.zeros([kinds, size]))
        self.variables = [self._kind, self._bucket, self._context, self._word]

    def of_every_word(self):
        """Returns what all words have together without having occurred."""
        import tensorflow as tf

        return tf.exp(self._kind[0])

    def entries(self, index, part, seen):
        """Returns M `(M,)` of the kind with an index, counted from 0."""
        import tensorflow as tf

        of_context = tf.gather(self._context[index], part.slots)
        adjustment = (
            self._kind[1 + index]
            + tf.gather(self._bucket[index], seen.bucket)
            + tf.gather(of_context, part.contexts)
            + tf.gather(self._word[index], part.words)
        )
        return tf.exp(adjustment) * seen.share


def _left_out_loss(parts, seen, theta, size):
    """Returns the mean of -log p over all positions, each left out of the counts."""
    import tensorflow as tf

    every = theta.of_every_word()
    above, below = every / (size - 2), every
    for index, (part, (others, own)) in enumerate(zip(parts, seen, strict=True)):
        contexts = tf.constant(part.contexts, tf.int32)
        all_words, m = theta.entries(index, part, others), theta.entries(index, part, own)
        totals = tf.math.unsorted_segment_sum(all_words, contexts, len(part.totals))
        totals = tf.gather(totals, contexts) - all_words + m
        places = tf.constant(part.places, tf.int32)
        there = tf.cast(places >= 0, tf.float32)
        places = tf.maximum(places, 0)
        above += there * tf.gather(m, places)
        below += there * tf.gather(totals, places)
    return tf.reduce_mean(tf.math.log(below) - tf.math.log(above))


def _matrix(counted, parts, theta, size):
    """Returns the `SparseNonNegative` of all counts."""
    base = float(theta.of_every_word()) * uniform_words(size)
    features = []
    for index, (counts, part) in enumerate(zip(counted, parts, strict=True)):
        seen = _seen(part, part.counts, part.totals)
        entries = theta.entries(index, part, seen).numpy().astype("float64")
        if not counts.keys:
            base += entries
            continue
        totals = np.bincount(part.contexts, entries, minlength=len(part.totals))
        features.append(Feature(counts.kind, counts.keys, frozen(entries), frozen(totals)))
    return SparseNonNegative(size, frozen(base), tuple(features))
