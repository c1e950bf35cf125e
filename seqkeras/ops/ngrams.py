"""Back-off n-gram models as array programs: p(w | h) = a(hw) + b(h) p(w | h').

The k-grams of an order k >= 2 stand in one array, sorted by their context (the k-gram without its
last word), then by that word; `begins[h] : begins[h + 1]` are those that go on from the context at
place h of the order below. The place of a 1-gram is its id; place -1 means that an n-gram does not
occur. Places and offsets are int32.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from seqkeras.constants import PAD

_SUCCESSORS_PER_ROW = 256  # how many are added at once, as a mean over the rows


class Successors(NamedTuple):
    """Which k-grams there are of one order k.

    Attributes:
        begins: int32 `(M_(k-1) + 1,)`, where each context's k-grams begin.
        words: int32 `(M_k,)`, the last word of each k-gram, ascending within a context.
    """

    begins: Any
    words: Any


class NGramTable(NamedTuple):
    """One order k of a back-off model: its `Successors`, with numbers.

    Attributes:
        begins, words: As there.
        shares: Float `(M_k,)`. a(hw).
        backoffs: Float `(M_(k-1),)`. b(h).
    """

    begins: Any
    words: Any
    shares: Any
    backoffs: Any


def assign_successors(tree, keys, vocabulary_size):
    """Lets variables hold which k-grams there are.

    Args:
        tree: `Successors` or `NGramTable`s of the orders 2..n, of variables.
        keys: int64 arrays `(M_k,)` of the same orders, as in `seqkeras.counts.NGramCounts`.
        vocabulary_size: int. V.
    """
    for table, of_order in zip(tree, keys, strict=True):
        contexts, words = np.divmod(of_order, vocabulary_size)
        begins = np.searchsorted(contexts, np.arange(table.begins.shape[0]))
        table.begins.assign(begins.astype("int32"))
        table.words.assign(words.astype("int32"))


def tokens_before(ids, distance):
    """Returns the id so far before the next one, at every position of `(B, T)`; PAD for none."""
    shift = distance - 1
    padded = ops.pad(ids, [[0, 0], [shift, 0]], constant_values=PAD) if shift else ids
    return padded[:, : ops.shape(ids)[1]]


def ngram_places(ids, tables):
    """Finds the n-grams that end at every position.

    Args:
        ids: int32 `(B, T)`, from 0 to V-1.
        tables: List of `Successors` or `NGramTable`, of the orders 2..n.

    Returns:
        List of int32 `(B, T)`, of the orders 1..n: the places of the k-grams that end at each
        position; -1 where the k-gram does not occur, or begins before the row.
    """
    places = [ids]
    for table in tables:
        contexts = ops.pad(places[-1][:, :-1], [[0, 0], [1, 0]], constant_values=-1)
        places.append(find_successors(contexts, ids, table))
    return places


def find_successors(contexts, words, table):
    """Returns the places of the k-grams "context, word", -1 where they do not occur.

    Args:
        contexts: int32, places of (k-1)-grams, or -1.
        words: int32 of the same shape.
        table: `Successors` or `NGramTable` of order k.
    """
    size = table.words.shape[0]
    if size == 0:
        return ops.full_like(contexts, -1)
    begin, length = _successors(contexts, table)
    low, high = begin, begin + length
    for _ in range(size.bit_length()):
        middle = low + (high - low) // 2
        smaller = ops.take(table.words, ops.minimum(middle, size - 1)) < words
        searching = low < high
        low = ops.where(ops.logical_and(searching, smaller), middle + 1, low)
        high = ops.where(ops.logical_and(searching, ops.logical_not(smaller)), middle, high)
    at = ops.minimum(low, size - 1)
    found = ops.logical_and(low < begin + length, ops.take(table.words, at) == words)
    return ops.where(found, low, -1)


def ngram_probabilities(places, targets, unigram, tables):
    """Returns the probability of one target after each position, of the shape of targets.

    Args:
        places: From `ngram_places`.
        targets: int32 `(B, T)`.
        unigram: Float `(V,)`. p(w).
        tables: List of `NGramTable`.
    """
    p = ops.take(unigram, targets)
    for contexts, table in zip(places[:-1], tables, strict=True):
        found = find_successors(contexts, targets, table)
        p = entries_at(table.backoffs, contexts, 1.0) * p + entries_at(table.shares, found, 0.0)
    return p


def ngram_distributions(places, unigram, tables):
    """Returns the probability of every next word, `(N, V)`.

    Args:
        places: As from `ngram_places`, but each `(N,)`.
        unigram: Float `(V,)`. p(w).
        tables: List of `NGramTable`.
    """
    p = ops.tile(ops.expand_dims(unigram, 0), (ops.shape(places[0])[0], 1))
    for contexts, table in zip(places[:-1], tables, strict=True):
        p = p * ops.expand_dims(entries_at(table.backoffs, contexts, 1.0), 1)
        p = add_to_successors(p, contexts, table, table.shares)
    return p


def add_to_successors(x, contexts, table, entries, at=None):
    """Adds to every row the entries of the k-grams that go on from its context.

    Gradients flow to x and to the entries. On TensorFlow it works on lists as long as the k-grams
    are many, which XLA cannot compile.

    Args:
        x: Float tensor `(N, V)`.
        contexts: int32 `(N,)`, places of (k-1)-grams, or -1.
        table: `Successors` or `NGramTable` of order k.
        entries: Float tensor or variable `(E,)`, of x's dtype.
        at: Function from places of k-grams, int32, to those of their entries; None: the same.

    Returns:
        x plus the entries, `(N, V)`.
    """
    if table.words.shape[0] == 0:
        return x
    rows, size = ops.shape(x)
    words = ops.convert_to_tensor(table.words)
    run = _at_once if keras.backend.backend() == "tensorflow" else _in_parts

    def over_successors(function, start):
        """Returns start plus `function(cells of x, entries, which are real)` of all k-grams."""

        def of_items(row, place, real):
            cells = row * size + ops.take(words, place)
            return function(cells, place if at is None else at(place), real)

        return run(of_items, start, contexts, table)

    @ops.custom_gradient
    def add(x, entries):
        def to_cells(cells, found, real):
            added = _zero_unless(real, ops.take(entries, found))
            return ops.reshape(ops.segment_sum(added, cells, rows * size), (rows, size))

        def gradient(*by_outputs, upstream=None):
            by_y = by_outputs[0] if upstream is None else upstream

            def to_entries(cells, found, real):
                added = _zero_unless(real, ops.take(ops.reshape(by_y, (-1,)), cells))
                return ops.segment_sum(added, found, ops.shape(entries)[0])

            return by_y, over_successors(to_entries, ops.zeros_like(entries))

        return over_successors(to_cells, x), gradient

    # Of a variable the value: `custom_gradient` does not take variables.
    return add(x, ops.reshape(entries, (-1,)))


def _at_once(function, start, contexts, table):
    """Returns start plus `function(rows, places, None)` of all successors of the contexts."""
    import tensorflow as tf

    begin, length = _successors(contexts, table)
    offset = begin - (tf.cumsum(length) - length)
    row = tf.repeat(tf.range(tf.shape(length)[0]), length)
    place = tf.range(tf.shape(row)[0]) + tf.gather(offset, row)
    return start + function(row, place, None)


def _in_parts(function, start, contexts, table):
    """Returns what `_at_once` does, from parts of the list that are all of one size.

    Contexts differ much in how many words they have, and no shape may depend on that.
    """
    rows = contexts.shape[0]
    begin, length = _successors(contexts, table)
    ends = ops.cumsum(length)  # of each row's part of the list
    offset = begin - (ends - length)
    total = ops.sum(length)
    part = rows * _SUCCESSORS_PER_ROW

    def step(done, so_far):
        items = done + ops.arange(part, dtype="int32")
        row = ops.cast(ops.searchsorted(ends, items, side="right"), "int32")
        row = ops.minimum(row, rows - 1)
        real = items < total
        place = ops.where(real, ops.take(offset, row) + items, 0)
        return done + part, so_far + function(row, place, real)

    return ops.while_loop(lambda done, _: done < total, step, (ops.zeros((), "int32"), start))[1]


def _zero_unless(real, x):
    return x if real is None else ops.where(real, x, 0.0)


def _successors(contexts, table):
    """Returns `(begin, length)` of the k-grams that go on from each context; none from -1."""
    known = ops.maximum(contexts, 0)
    begin = ops.take(table.begins, known)
    length = ops.take(table.begins, known + 1) - begin
    return begin, ops.where(contexts >= 0, length, 0)


def entries_at(entries, places, otherwise):
    """Returns the entries at places, and `otherwise` where a place is -1."""
    if entries.shape[0] == 0:
        return ops.full_like(places, otherwise, dtype=entries.dtype)
    return ops.where(places >= 0, ops.take(entries, ops.maximum(places, 0)), otherwise)
