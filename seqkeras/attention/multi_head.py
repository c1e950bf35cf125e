"""Multi-head attention, Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.2; notes A (25), notes
B (13). The equations stand in `seqkeras.attention.heads`.
"""

import keras

from seqkeras.attention.heads import HeadedAttention, is_size


@keras.saving.register_keras_serializable(package="seqkeras")
class MultiHeadAttention(HeadedAttention):
    """Attends in `num_heads` subspaces at once: `keras.layers.MultiHeadAttention`.

    Each head may look for something else, at the cost of one head of full size. Constructor and
    weights are those of Keras' layer.

    Args:
        num_heads: int. N.
        key_dim: int. D, the size of a head's queries and keys.
        value_dim: int or None. Dv, the size of a head's values; default: D.
        output_shape: int or tuple of ints, the features E of the output; default: the query's.
        attention_axes: int or tuple of ints, which axes of inputs `(B, ..., D)` attention runs
            over; default: all but the first and the last.
        Others: see `HeadedAttention`.

    Call arguments:
        query: Float tensor `(B, T, Dq)`.
        value: Float tensor `(B, S, Dv)`.
        key: Float tensor `(B, S, Dk)`; default: `value`.
        query_mask: Boolean `(B, T)`.
        value_mask, key_mask: Boolean `(B, S)`; a position masked in either has weight exactly 0.
        attention_mask: Boolean `(T, S)`, `(B, T, S)` or, for each head, `(B, N, T, S)`, True where
            a query may look.
        return_attention_scores: If True, the weights are returned too; the output is the same.
        training: If True, weights are dropped out.
        use_causal_mask: If True, query t sees positions s <= t only.

    Returns:
        The output `(B, T, E)`, or `(output, weights (B, N, T, S))`.

    Masking, Errors: see `HeadedAttention`.

    Example:

    >>> import numpy as np
    >>> attention = MultiHeadAttention(num_heads=4, key_dim=8)
    >>> attention(np.ones((2, 3, 32)), np.ones((2, 5, 32))).shape
    TensorShape([2, 3, 32])
    """

    def __init__(
        self,
        num_heads,
        key_dim,
        value_dim=None,
        dropout=0.0,
        use_bias=True,
        output_shape=None,
        attention_axes=None,
        **options,
    ):
        sizes = (("num_heads", num_heads), ("key_dim", key_dim), ("value_dim", value_dim))
        for name, value in sizes:
            if not is_size(value) and (name != "value_dim" or value is not None):
                raise ValueError(f"argument `{name}`: expected a positive integer, got {value!r}.")
        super().__init__(dropout, use_bias, **options)
        features = (output_shape,) if isinstance(output_shape, int) else output_shape
        if features is not None and not (
            isinstance(features, tuple | list) and features and all(map(is_size, features))
        ):
            raise ValueError(
                f"Invalid `output_shape`: expected an int or a tuple of ints, got {output_shape!r}."
            )
        axes = (attention_axes,) if isinstance(attention_axes, int) else attention_axes
        self.num_heads, self.key_dim = num_heads, key_dim
        self.value_dim = value_dim or key_dim
        self.attention_axes = axes
        features = None if features is None else tuple(features)
        self._set_sizes(num_heads, num_heads, key_dim, self.value_dim, features, axes)

    def get_config(self):
        config = {
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "output_shape": self._features,
            "attention_axes": self.attention_axes,
        }
        return {**super().get_config(), **config}
