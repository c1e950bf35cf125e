"""Back-off n-gram models as array programs: p(w | h) = a(hw) + b(h) p(w | h').

The k-grams of an order k >= 2 stand in one array, sorted by their context (the k-gram without its
last word), then by that word; `begins[h] : begins[h + 1]` are those that go on from the context at
place h of the order below. The place of a 1-gram is its id; place -1 means that an n-gram does not
occur. Places and offsets are int32.
"""

from typing import Any, NamedTuple

from keras import ops

_SUCCESSORS_PER_ROW = 256  # how many are added at once, as a mean over the rows


class NGramTable(NamedTuple):
    """One order k of a back-off model.

    Attributes:
        begins: int32 `(M_(k-1) + 1,)`, where each context's k-grams begin.
        words: int32 `(M_k,)`, the last word of each k-gram, ascending within a context.
        shares: Float `(M_k,)`. a(hw).
        backoffs: Float `(M_(k-1),)`. b(h).
    """

    begins: Any
    words: Any
    shares: Any
    backoffs: Any


def ngram_places(ids, tables):
    """Finds the n-grams that end at every position.

    Args:
        ids: int32 `(B, T)`, from 0 to V-1.
        tables: List of `NGramTable`, of the orders 2..n.

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
        table: `NGramTable` of order k.
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
        p = _at(table.backoffs, contexts, 1.0) * p + _at(table.shares, found, 0.0)
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
        p = p * ops.expand_dims(_at(table.backoffs, contexts, 1.0), 1)
        p = _add_shares(p, contexts, table)
    return p


def _add_shares(p, contexts, table):
    """Adds a(hw) to p `(N, V)` for the words w that went on from each row's context h `(N,)`.

    Contexts differ much in how many words they have, so the successors of all rows are worked off
    as one list, a part of fixed size at a time.
    """
    if table.words.shape[0] == 0:
        return p
    rows = ops.shape(p)[0]
    part = rows * _SUCCESSORS_PER_ROW
    begin, length = _successors(contexts, table)
    ends = ops.cumsum(length)  # of each row's part of the list
    offset = begin - (ends - length)
    total = ops.sum(length)

    def unfinished(done, _):
        return done < total

    def add(done, p):
        items = done + ops.arange(part, dtype="int32")
        row = ops.cast(ops.searchsorted(ends, items, side="right"), "int32")
        row = ops.minimum(row, rows - 1)
        real = items < total
        place = ops.where(real, ops.take(offset, row) + items, 0)
        words = ops.take(table.words, place)
        shares = ops.where(real, ops.take(table.shares, place), 0.0)
        p = ops.scatter_update(p, ops.stack([row, words], axis=1), shares, reduction="add")
        return done + part, p

    return ops.while_loop(unfinished, add, (ops.zeros((), "int32"), p))[1]


def _successors(contexts, table):
    """Returns `(begin, length)` of the k-grams that go on from each context; none from -1."""
    known = ops.maximum(contexts, 0)
    begin = ops.take(table.begins, known)
    length = ops.take(table.begins, known + 1) - begin
    return begin, ops.where(contexts >= 0, length, 0)


def _at(entries, places, otherwise):
    """Returns the entries at places, and `otherwise` where a place is -1."""
    if entries.shape[0] == 0:
        return ops.full_like(places, otherwise, dtype=entries.dtype)
    return ops.where(places >= 0, ops.take(entries, ops.maximum(places, 0)), otherwise)
