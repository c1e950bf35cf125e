"""Sparse non-negative matrix language models; Shazeer, Pelemans & Chelba 2015 (arXiv:1412.1454).

    p(w | h) = sum_k M(h_k, w) / sum_k R(h_k)        k = 1..n: the contexts of h that occurred
    M(f, w)  = exp A(f, w) c(f w) / c(f),            R(f) = sum_w M(f, w)
    A(f, w)  = theta[order] + theta[order, bucket c(f w), bucket c(f)]
             + theta[order, f] + theta[order, w]     c(f w) the count of an n-gram, buckets of log2

h_k are the last k-1 words of h, and A learns how far a relative frequency is to be trusted: by how
long the context is, how often it and the n-gram were seen, and which words they are. With A = 0 the
model is the mixture of the relative frequencies of all orders with equal weights.

Every n-gram was seen in the text that A is learned on, so each position leaves itself out of the
counts (section 3.2 of the paper): with w the word that follows, it sees c(f) - 1 and c(f w) - 1.
Contexts and words share weights by a hash, as in the paper. One step takes all n-grams at once.

With D(h_k) = R(h_1) + ... + R(h_k) the model is one of tables: b(h_k) = D(h_(k-1)) / D(h_k) and
a(h_k w) = M(h_k, w) / D(h_k).
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from seqkeras.constants import PAD, START
from seqkeras.counts.tables import Level, NGramTables, frozen
from seqkeras.ops.hashing import hashed

_BUCKETS = 32  # of the binary logarithms of counts
_SLOTS = 2**16  # of the hash, for the contexts of one order


@dataclasses.dataclass(frozen=True, eq=False)
class SparseNonNegative(NGramTables):
    """`NGramTables` with `adjustments`, float32 arrays: A of the 1-grams `(V,)`, of 2-grams, ..."""

    adjustments: tuple


def sparse_nonnegative(counts, steps=40, learning_rate=0.1, variance=0.3):
    """Makes a sparse non-negative matrix model out of counts, and learns its adjustments.

    An order 0 gives every word the same, so that nothing is impossible. TensorFlow only.

    Args:
        counts: `NGramCounts`.
        steps: int, how many times Adam goes over all n-grams; 0 leaves A = 0.
        learning_rate: float, of Adam.
        variance: float > 0, of a Gaussian prior on theta: the smaller, the nearer is it to 0.

    Returns:
        `SparseNonNegative`.

    Raises:
        ValueError: for a negative number of steps, or a variance that is not positive.

    Example:

    >>> from seqkeras.counts import count_ngrams
    >>> counts = count_ngrams([[4, 5, 2], [4, 2]], order=2, vocabulary_size=6)
    >>> model = sparse_nonnegative(counts, steps=3)
    >>> round(float(model.distribution([4]).sum()), 6)
    1.0
    """
    import keras
    import tensorflow as tf

    if steps < 0:
        raise ValueError(f"steps: expected at least 0, got {steps}")
    if not variance > 0:
        raise ValueError(f"variance: expected more than 0, got {variance}")
    orders = _orders(counts)
    theta = _Adjustments(counts)
    seen = [_left_out(order) for order in orders]
    tokens = float(counts.counts[0].sum())
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(theta.variables)

    @tf.function(autograph=False)
    def learn():
        with tf.GradientTape() as tape:
            loss = _left_out_loss(orders, seen, theta, counts)
            loss += sum(map(tf.nn.l2_loss, theta.variables)) / (variance * tokens)
        gradients = tape.gradient(loss, theta.variables)
        optimizer.apply([tf.convert_to_tensor(g) for g in gradients])

    for _ in range(steps):
        learn()
    return _tables(orders, theta, counts)


class _Order(NamedTuple):
    """The k-grams of one order: arrays of `(M,)` k-grams, and of `(C,)` contexts.

    Attributes:
        words, contexts, suffixes: `(M,)`, of each k-gram: its last word, the place of its first k-1
            words, and of its last.
        counts: `(M,)`, c(f w).
        leaves: `(M,)`, at how many positions it is the longest n-gram: all for k = n, else those of
            k-grams with which a text begins.
        totals: `(C,)`, c(f).
        slots: `(C,)`, where the contexts have their weights.
    """

    words: np.ndarray
    contexts: np.ndarray
    suffixes: np.ndarray
    counts: np.ndarray
    leaves: np.ndarray
    totals: np.ndarray
    slots: np.ndarray


def _orders(counts):
    """Returns an `_Order` for each of k = 1..n."""
    size = counts.vocabulary_size
    words, nothing = np.arange(size), np.zeros(size, np.int64)
    first = counts.counts[0]
    leaves = first if counts.order == 1 else nothing
    orders = [_Order(words, nothing, nothing, first, leaves, np.array([first.sum()]), nothing[:1])]
    of_orders = zip(counts.keys, counts.suffixes, counts.begins, strict=False)
    for k, (keys, suffixes, begins) in enumerate(of_orders, start=2):
        contexts, c = keys // size, counts.counts[k - 1]
        totals = np.bincount(contexts, c, minlength=len(begins)).astype(np.int64)
        leaves = c if k == counts.order else np.where(begins[contexts], c, 0)
        slots = hashed(np.arange(len(begins)), _SLOTS)
        orders.append(_Order(keys % size, contexts, suffixes, c, leaves, totals, slots))
    return orders


class _Seen(NamedTuple):
    """What M depends on besides theta: `bucket` and `share` c(f w) / c(f) of every k-gram."""

    bucket: Any
    share: Any


def _seen(order, counts, totals):
    import tensorflow as tf

    bucket = _bucket(counts) * _BUCKETS + _bucket(totals)[order.contexts]
    share = counts / np.maximum(totals, 1)[order.contexts]
    return _Seen(tf.constant(bucket, tf.int32), tf.constant(share, tf.float32))


def _bucket(counts):
    """Returns small counts as they are, larger ones by their binary logarithm."""
    return np.where(counts < 8, counts, 5 + np.log2(np.maximum(counts, 1)).astype(int))


def _left_out(order):
    """Returns two `_Seen` for a position left out: of the words that do not follow, and that do.

    A context that occurred once is left out, too.
    """
    left = np.maximum(order.totals - 1, 0)
    others = np.where(left[order.contexts] > 0, order.counts, 0)
    return _seen(order, others, left), _seen(order, np.maximum(order.counts - 1, 0), left)


class _Adjustments:
    """theta: what A is the sum of, by order."""

    def __init__(self, counts):
        import tensorflow as tf

        n, size = counts.order, counts.vocabulary_size
        self._order = tf.Variable(tf.zeros([n + 1]))  # from 0
        self._bucket = tf.Variable(tf.zeros([n, _BUCKETS * _BUCKETS]))
        self._context = tf.Variable(tf.zeros([n, _SLOTS]))
        self._word = tf.Variable(tf.zeros([n, size]))
        self.variables = [self._order, self._bucket, self._context, self._word]

    def of_nothing(self):
        """Returns M of order 0, summed over all words."""
        import tensorflow as tf

        return tf.exp(self._order[0])

    def adjust(self, k, order, seen):
        """Returns A `(M,)`."""
        import tensorflow as tf

        of_context = tf.gather(self._context[k - 1], order.slots)
        return (
            self._order[k]
            + tf.gather(self._bucket[k - 1], seen.bucket)
            + tf.gather(of_context, order.contexts)
            + tf.gather(self._word[k - 1], order.words)
        )

    def entries(self, k, order, seen):
        """Returns M `(M,)`."""
        import tensorflow as tf

        return tf.exp(self.adjust(k, order, seen)) * seen.share


def _left_out_loss(orders, seen, theta, counts):
    """Returns the mean of -log p over all positions, each left out of the counts."""
    import tensorflow as tf

    nothing, size = theta.of_nothing(), counts.vocabulary_size
    above, below = tf.fill([size], nothing / (size - 2)), tf.fill([size], nothing)
    loss = 0.0  # above: the sum of M so far, for each k-gram; below: that of R
    for k, (order, (others, own)) in enumerate(zip(orders, seen, strict=True), start=1):
        contexts = tf.constant(order.contexts, tf.int32)
        all_words, m = theta.entries(k, order, others), theta.entries(k, order, own)
        rows = tf.math.unsorted_segment_sum(all_words, contexts, len(order.totals))
        rows = tf.gather(rows, contexts) - all_words + m
        if k > 1:
            above, below = (tf.gather(x, order.suffixes) for x in (above, below))
        above, below = above + m, below + rows
        if order.leaves.any():
            log_p = tf.math.log(above) - tf.math.log(below)
            loss -= tf.tensordot(tf.constant(order.leaves, tf.float32), log_p, 1)
    return loss / float(counts.counts[0].sum())


def _tables(orders, theta, counts):
    """Returns the `SparseNonNegative` of all counts."""
    size = counts.vocabulary_size
    possible = np.ones(size)
    possible[[PAD, START]] = 0.0
    nothing = float(theta.of_nothing())
    seen = [_seen(order, order.counts, order.totals) for order in orders]
    numbered = [(k, *pair) for k, pair in enumerate(zip(orders, seen, strict=True), start=1)]
    entries = [theta.entries(*of_order).numpy().astype("float64") for of_order in numbered]
    below = np.array([nothing + entries[0].sum()])  # D of each context
    unigram = (entries[0] + nothing * possible / possible.sum()) / below
    levels = []
    for k, order in enumerate(orders[1:], start=2):
        shorter = below[orders[k - 2].suffixes] if k > 2 else np.full(size, below[0])
        below = shorter + np.bincount(order.contexts, entries[k - 1], minlength=len(shorter))
        shares = entries[k - 1] / below[order.contexts]
        levels.append(Level(counts.keys[k - 2], frozen(shares), frozen(shorter / below)))
    adjustments = tuple(frozen(theta.adjust(*of_order).numpy()) for of_order in numbered)
    return SparseNonNegative(size, frozen(unigram), tuple(levels), adjustments)
