"""A sparse non-negative matrix language model in a graph; notes A Fig. 14.

    p(w | h) = sum_f M(f, w) / sum_f R(f)      f: the contexts of h that occurred, of every kind
    R(f)     = sum_w M(f, w)

Shazeer, Pelemans & Chelba 2015 (arXiv:1412.1454). `seqkeras.counts` learns M, and has the same
model in NumPy and float64.
"""

import itertools
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from seqkeras.blocks.counted_model import CountedModel, check_sizes, log_of
from seqkeras.ops.ngrams import (
    Successors,
    add_to_successors,
    assign_successors,
    entries_at,
    find_successors,
    tokens_before,
)
from seqkeras.ops.uniform_words import uniform_words


class _Feature(NamedTuple):
    """The tables of one kind: `Successors` of each length of context, M and R."""

    tree: list
    entries: Any
    totals: Any


@keras.saving.register_keras_serializable(package="seqkeras")
class SparseMatrix(CountedModel):
    """Predicts the next token by the n-grams and skip-grams that end in it.

    Its tables are weights that do not train; `from_tables` sets them. Until then, every token is as
    likely.

    Args:
        vocabulary_size: int. V.
        kinds: For each kind of skip-gram a pair: the distances of its context from the last word,
            the farthest first, and the sizes of its tables, one for each distance.

    Call arguments, returns, masking: as of `NGram`.

    Raises:
        ValueError: for kinds that are no such pairs, sizes that are negative or do not fit int32,
            inputs that are no integers `(B, T)`. Ids out of range fail when the graph runs, as
            `seqkeras.ops.require` says.

    Example:

    >>> from seqkeras.counts import sparse_nonnegative
    >>> tables = sparse_nonnegative([[4, 5, 2], [4, 2]], order=3, vocabulary_size=6, gaps=True)
    >>> layer = SparseMatrix.from_tables(tables)
    >>> layer(np.array([[1, 4]])).shape
    TensorShape([1, 2, 6])
    """

    def __init__(self, vocabulary_size, kinds, **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        self.kinds = tuple((tuple(distances), tuple(sizes)) for distances, sizes in kinds)
        for distances, sizes in self.kinds:
            falling = all(a > b for a, b in itertools.pairwise((*distances, 0)))
            if not distances or not falling or len(sizes) != len(distances):
                raise ValueError(
                    "kinds: expected falling distances above 0 and a size for each, got "
                    f"{distances} and {sizes}."
                )
            check_sizes(sizes)

    @property
    def context_length(self):
        return max((distances[0] - 1 for distances, _ in self.kinds), default=0)

    @classmethod
    def from_tables(cls, tables, **kwargs):
        """Returns a layer of a `seqkeras.counts.SparseNonNegative`; kwargs are a layer's."""
        kinds = [(f.kind.distances, [len(keys) for keys in f.keys]) for f in tables.features]
        layer = cls(tables.vocabulary_size, kinds, **kwargs)
        layer.build()
        layer._base.assign(tables.base.astype("float32"))
        for ours, feature in zip(layer._features, tables.features, strict=True):
            assign_successors(ours.tree, feature.keys, tables.vocabulary_size)
            ours.entries.assign(feature.entries.astype("float32"))
            ours.totals.assign(feature.totals.astype("float32"))
        return layer

    def build(self, inputs_shape=None):
        if self.built:
            return
        self._base = self._table("base", uniform_words(self.vocabulary_size).astype("float32"))
        self._features = []
        for distances, sizes in self.kinds:
            name = "_".join(map(str, distances))
            tree, contexts = [], self.vocabulary_size
            for k, size in enumerate(sizes):
                begins = self._table(f"begins_{name}_{k}", np.zeros(contexts + 1, "int32"))
                words = self._table(f"words_{name}_{k}", np.zeros(size, "int32"))
                tree.append(Successors(begins, words))
                last, contexts = contexts, size
            entries = self._table(f"entries_{name}", np.zeros(size, "float32"))
            totals = self._table(f"totals_{name}", np.zeros(last, "float32"))
            self._features.append(_Feature(tree, entries, totals))
        self.built = True

    def call(self, inputs):
        self._check("inputs", inputs)
        ids = self._in_range(inputs)
        base = ops.convert_to_tensor(self._base)
        above = ops.tile(ops.expand_dims(base, 0), (ops.size(ids), 1))
        below = ops.sum(base)
        for (distances, _), feature in zip(self.kinds, self._features, strict=True):
            contexts = tokens_before(ids, distances[0])
            for distance, table in zip(distances[1:], feature.tree, strict=False):
                contexts = find_successors(contexts, tokens_before(ids, distance), table)
            contexts = ops.reshape(contexts, (-1,))
            above = add_to_successors(above, contexts, feature.tree[-1], feature.entries)
            below = below + entries_at(feature.totals, contexts, 0.0)
        p = above / ops.expand_dims(below, -1)
        p = ops.reshape(p, (*ops.shape(inputs), self.vocabulary_size))
        return self._require_range(log_of(p), inputs)

    def get_config(self):
        kinds = [[list(distances), list(sizes)] for distances, sizes in self.kinds]
        return {**super().get_config(), "kinds": kinds}
