"""Adaptive softmax, Grave et al. 2017 (arXiv:1609.04309), section 4.

    words 0 .. c_1 - 1 are the short list, words c_i .. c_{i+1} - 1 are cluster i
    p(w | h)  = softmax(h . E_0 + b_0)_w                              in the short list
    p(w | h)  = softmax(h . E_0 + b_0)_{c_1 + i} softmax(h P_i . E_i + b_i)_w     in cluster i

The short list's softmax has one place more for each cluster. A cluster's vectors have H / f^i
entries, i counted from 1. With frequent words first, most targets end in the short list.
"""

import itertools

import keras
from keras import ops

from seqkeras.heads.base import VocabularyHead
from seqkeras.ops.linear_crossentropy import linear_crossentropy, vocabulary_logits
from seqkeras.ops.selected_rows import on_selected_rows


@keras.saving.register_keras_serializable(package="seqkeras")
class AdaptiveSoftmaxHead(VocabularyHead):
    """A softmax whose rare words cost less: they have short vectors and are asked for when needed.

    Exact in training. The words must be sorted by falling frequency, as vocabularies are here. On
    TensorFlow a cluster is computed for the tokens that fall into it, which XLA cannot do; JAX
    computes all.

    Args:
        vocabulary_size: int > 0. V.
        cutoffs: Ascending ints in (0, V): where each cluster begins. None: at V // 5 and V // 2.
        factor: float >= 1. f, by which vectors shrink from cluster to cluster.

    Call arguments and returns: as in `VocabularyHead`; the logits are log-probabilities.

    Raises:
        ValueError: for cutoffs that do not ascend or do not lie between 0 and V, or a factor < 1.

    Example:

    >>> import numpy as np
    >>> head = AdaptiveSoftmaxHead(50, cutoffs=(10, 25))
    >>> hidden, targets = np.ones((2, 3, 16)), np.array([[4, 15, 46], [7, 0, 0]])
    >>> head(hidden, targets, training=True).shape, head(hidden).shape
    (TensorShape([2, 3]), TensorShape([2, 3, 50]))
    """

    def __init__(self, vocabulary_size, cutoffs=None, factor=4.0, **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        if cutoffs is None:
            cutoffs = sorted({vocabulary_size // 5, vocabulary_size // 2} - {0})
        bounds = [0, *cutoffs, vocabulary_size]
        if any(a >= b for a, b in itertools.pairwise(bounds)):
            raise ValueError(
                f"cutoffs: expected ascending numbers between 0 and {vocabulary_size}, got "
                f"{tuple(cutoffs)}."
            )
        if factor < 1.0:
            raise ValueError(f"factor: expected at least 1, got {factor}.")
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self.cutoffs = list(cutoffs)
        self.factor = factor
        self.clusters = list(itertools.pairwise(bounds[1:]))

    def build(self, inputs_shape, targets_shape=None):
        del targets_shape
        units = inputs_shape[-1]
        size = (self.clusters[0][0] if self.clusters else self.vocabulary_size) + len(self.clusters)
        self.short_list = self._matrix("short_list", size, units)
        self.tails = []
        for index, (begin, end) in enumerate(self.clusters):
            dim = max(int(units / self.factor ** (index + 1)), 1)
            name = f"cluster_{index}"
            projection = self.add_weight((units, dim), "glorot_uniform", name=f"{name}_projection")
            self.tails.append((projection, *self._matrix(name, end - begin, dim)))

    def _matrix(self, name, size, dim):
        table = self.add_weight((size, dim), "glorot_uniform", name=f"{name}_table")
        return table, self.add_weight((size,), "zeros", name=f"{name}_bias")

    def _logits(self, hidden):
        first = ops.log_softmax(vocabulary_logits(hidden, *self.short_list))
        size = self.short_list[0].shape[0] - len(self.tails)
        parts = [first[..., :size]]
        for index, tail in enumerate(self.tails):
            of_cluster = first[..., size + index, None]
            projection, table, bias = tail
            logits = vocabulary_logits(_project(hidden, projection), table, bias)
            parts.append(of_cluster + ops.log_softmax(logits))
        return ops.concatenate(parts, axis=-1)

    def _objective(self, rows, labels, real, smoothing):
        del smoothing
        places = labels
        size = self.short_list[0].shape[0] - len(self.tails)
        for index, (begin, end) in enumerate(self.clusters):
            places = ops.where(_within(labels, begin, end), size + index, places)
        losses = linear_crossentropy(rows, *self.short_list, places)
        for (begin, end), tail in zip(self.clusters, self.tails, strict=True):

            def of_cluster(rows, labels, tail=tail, last=end - begin - 1):
                projection, table, bias = tail
                # Where all rows are computed, some labels are of other clusters.
                labels = ops.clip(labels, 0, last)
                return linear_crossentropy(_project(rows, projection), table, bias, labels)

            inside = ops.logical_and(real, _within(labels, begin, end))
            losses = losses + on_selected_rows(of_cluster, inside, rows, labels - begin)
        return losses

    def get_config(self):
        return {**super().get_config(), "cutoffs": self.cutoffs, "factor": self.factor}


def _within(labels, begin, end):
    return ops.logical_and(labels >= begin, labels < end)


def _project(hidden, projection):
    return ops.matmul(hidden, ops.cast(projection, hidden.dtype))
