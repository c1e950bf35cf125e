"""Keras' two attention layers that take a list, over our kernels; Luong et al. 2015
(arXiv:1508.04025), Bahdanau et al. 2015 (arXiv:1409.0473).

    dot       a(q, k) = g q . k                      g = 1 without `use_scale`
    concat    a(q, k) = w sum_d tanh(g (q + k))_d
    additive  a(q, k) = sum_d g_d tanh(q + k)_d      g in R^D

For new models our own forms have one call for all (`DotAttention`, `ScaledDotAttention`,
`BahdanauAttention`, ...); these are for models that were written for Keras.
"""

import keras
from keras import ops

from seqkeras.ops import attention as kernels
from seqkeras.ops.masks import both, causal_mask, zero_masked

SCORE_MODES = ("dot", "concat")


class ListAttention(keras.Layer):
    """What both layers share: all but the score.

    Args:
        use_scale: If True, the score has the weight g.
        dropout: Rate in [0, 1) at which weights are dropped in training.
        seed: int or None, of the dropout.

    Call arguments:
        inputs: List `[query, value]` or `[query, value, key]` of float tensors `(B, T, D)`,
            `(B, S, Dv)` and `(B, S, D)`, or with further axes after B, over which there is no
            attention; without a key the value is it.
        mask: List `[query_mask, value_mask]`, or with a key mask, of booleans `(B, T)` and `(B, S)`
            or None.
        training: If True, weights are dropped out.
        return_attention_scores: If True, the weights are returned too, after the dropout.
        use_causal_mask: If True, query t sees positions s <= t only.

    Returns:
        The context `(B, T, Dv)`, or `(context, weights (B, T, S))`.

    Masking: what stands in a masked value, key or query changes nothing, NaN included; a value that
    is masked has weight exactly 0. A masked query gets a zero context, one that may look nowhere
    zero weights too, with finite gradients. (In Keras it gets the mean of the values, a key mask is
    ignored, and NaN in the padding comes through.)

    Raises:
        ValueError: if inputs or mask are not such lists, and at build for sizes that do not match.
    """

    def __init__(self, use_scale, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout: expected a rate in [0, 1), got {dropout!r}.")
        self.use_scale = use_scale
        self.dropout = dropout
        self.seed = seed
        self.supports_masking = True
        if dropout:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        self._check_lists(input_shape)
        query, value, key = (*input_shape, input_shape[1])[:3]
        if query[-1] != key[-1] or value[-2] != key[-2]:
            raise ValueError(
                f"{type(self).__name__}: expected query and key of one size, and as many keys as "
                f"values, got query {tuple(query)}, value {tuple(value)}, key {tuple(key)}."
            )
        self.scale = None
        self.build_score(query[-1])

    def build_score(self, size):
        """Makes the weights of the score, for query and key of size D."""
        raise NotImplementedError(f"{type(self).__name__} must define build_score().")

    def score(self, query, key):
        """Returns the scores `(B, T, S)` of query `(B, T, D)` and key `(B, S, D)`."""
        raise NotImplementedError(f"{type(self).__name__} must define score().")

    def call(
        self,
        inputs,
        mask=None,
        training=False,
        return_attention_scores=False,
        use_causal_mask=False,
    ):
        self._check_lists(inputs, mask)
        query_mask, value_mask, key_mask = (*(mask or (None, None)), None)[:3]
        real = both(value_mask, key_mask)
        query, value, key = (*inputs, inputs[1])[:3]
        query, value, key = (
            zero_masked(x, m) for x, m in ((query, query_mask), (value, real), (key, real))
        )
        scores = ops.cast(self.score(query, key), "float32")
        seen = None if real is None else ops.expand_dims(ops.cast(real, "bool"), -2)  # (B, 1, S)
        if use_causal_mask:
            seen = both(seen, causal_mask(*ops.shape(scores)[-2:]))
        weights = kernels.weights_of(scores, kernels.from_visible(seen))
        weights = ops.cast(weights, self.compute_dtype)
        if training and self.dropout:
            weights = kernels.dropped(weights, self.dropout, self.seed_generator.next())
        context = zero_masked(ops.matmul(weights, value), query_mask)
        return (context, weights) if return_attention_scores else context

    def _check_lists(self, inputs, mask=None):
        name = type(self).__name__
        if not isinstance(inputs, list):
            raise ValueError(
                f"{name} must be called on a list, [query, value] or [query, value, key], got "
                f"{inputs!r}."
            )
        if len(inputs) not in (2, 3):
            raise ValueError(
                f"{name}: expected inputs of length 2 or 3, [query, value] or [query, value, key], "
                f"got {len(inputs)}."
            )
        if mask is None:
            return
        if not isinstance(mask, list):
            raise ValueError(
                f"{name} layer mask must be a list, [query_mask, value_mask], got {mask!r}."
            )
        if len(mask) not in (2, 3):
            raise ValueError(f"{name}: expected a mask of length 2 or 3, got {len(mask)}.")

    def compute_mask(self, inputs, mask=None):
        self._check_lists(inputs, mask)
        return None if mask is None or mask[0] is None else ops.convert_to_tensor(mask[0])

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], input_shape[1][-1])

    def compute_output_spec(
        self, inputs, mask=None, return_attention_scores=False, **unused_options
    ):
        self._check_lists(inputs, mask)
        shapes = [x.shape for x in inputs]
        context = keras.KerasTensor(self.compute_output_shape(shapes), dtype=self.compute_dtype)
        if not return_attention_scores:
            return context
        weights = (*shapes[0][:-1], shapes[1][-2])
        return context, keras.KerasTensor(weights, dtype=self.compute_dtype)

    def get_config(self):
        config = {"use_scale": self.use_scale, "dropout": self.dropout, "seed": self.seed}
        return {**super().get_config(), **config}


def _tanh_sum(query, key):
    """Returns tanh(q + k) `(B, T, S, D)` of query `(B, T, D)` and key `(B, S, D)`."""
    return ops.tanh(ops.expand_dims(query, -2) + ops.expand_dims(key, -3))


@keras.saving.register_keras_serializable(package="seqkeras")
class Attention(ListAttention):
    """Attention by inner product, or by a perceptron without weights: `keras.layers.Attention`.

    Args:
        use_scale: If True, the scalar weight g; else 1, and not 1 / sqrt(D).
        score_mode: "dot" or "concat".
        dropout, seed: see `ListAttention`.

    Call arguments, Returns, Masking, Raises: see `ListAttention`.

    Example:

    >>> import numpy as np
    >>> Attention()([np.ones((2, 3, 4)), np.ones((2, 5, 4))]).shape
    TensorShape([2, 3, 4])
    """

    def __init__(self, use_scale=False, score_mode="dot", dropout=0.0, seed=None, **kwargs):
        super().__init__(use_scale, dropout, seed, **kwargs)
        if score_mode not in SCORE_MODES:
            raise ValueError(
                "Invalid value for argument score_mode. Expected one of {'dot', 'concat'}, got "
                f"{score_mode!r}."
            )
        self.score_mode = score_mode

    def build_score(self, size):
        self.concat_score_weight = None
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def score(self, query, key):
        if self.score_mode == "dot":
            query = query if self.scale is None else self.scale * query
            return ops.matmul(query, ops.swapaxes(key, -1, -2))
        if self.scale is not None:
            query, key = self.scale * query, self.scale * key
        return self.concat_score_weight * ops.sum(_tanh_sum(query, key), axis=-1)

    def get_config(self):
        return {**super().get_config(), "score_mode": self.score_mode}


@keras.saving.register_keras_serializable(package="seqkeras")
class AdditiveAttention(ListAttention):
    """Attention by a perceptron without matrices: `keras.layers.AdditiveAttention`.

    `BahdanauAttention` is the one of the paper, which maps query and key first.

    Args:
        use_scale: If True, the weights g `(D,)`; else 1.
        dropout, seed: see `ListAttention`.

    Call arguments, Returns, Masking, Raises: see `ListAttention`.
    """

    def __init__(self, use_scale=True, dropout=0.0, seed=None, **kwargs):
        super().__init__(use_scale, dropout, seed, **kwargs)

    def build_score(self, size):
        if self.use_scale:
            self.scale = self.add_weight((size,), "glorot_uniform", name="scale")

    def score(self, query, key):
        hidden = _tanh_sum(query, key)
        if self.scale is None:
            return ops.sum(hidden, axis=-1)
        return ops.squeeze(ops.matmul(hidden, ops.expand_dims(self.scale, -1)), -1)
