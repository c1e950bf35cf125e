"""Additive attention, Bahdanau et al. 2015 (arXiv:1409.0473); notes A (20) note 1, notes B (6).

    a(q, k) = w . tanh(q W + k U + b)

The score is a perceptron with one hidden layer. With a linear hidden layer the query would cancel
in the softmax.
"""

import keras
from keras import initializers, ops

from seqkeras.attention.base import ScoredAttention


@keras.saving.register_keras_serializable(package="seqkeras")
class BahdanauAttention(ScoredAttention):
    """Scores by a small perceptron of query and key, which may differ in size.

    The most forgiving score for a recurrent decoder, at the price of `(B, T, S, A)` activations.

    Args:
        units: int > 0. Size A of the hidden layer.
        use_bias: If False, no b.
        kernel_initializer: For W, U and w.

    Call arguments, Returns, Masking: see `ScoredAttention`.

    Example:

    >>> import numpy as np
    >>> attention = BahdanauAttention(8)
    >>> attention(np.ones((2, 3, 4)), np.ones((2, 5, 6))).shape
    TensorShape([2, 3, 6])
    """

    def __init__(self, units, use_bias=True, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        if not isinstance(units, int) or units <= 0:
            raise ValueError(f"units: expected a positive integer, got {units!r}.")
        self.units = units
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build_score(self, query_dim, key_dim):
        init = self.kernel_initializer
        self.query_kernel = self.add_weight((query_dim, self.units), init, name="query_kernel")
        self.key_kernel = self.add_weight(
            (key_dim, self.units), initializers.get(init).clone(), name="key_kernel"
        )
        self.bias = self.add_weight((self.units,), "zeros", name="bias") if self.use_bias else None
        self.score_vector = self.add_weight(
            (self.units, 1), initializers.get(init).clone(), name="score_vector"
        )

    def project_keys(self, key):
        keys = ops.matmul(key, self.key_kernel)  # (B, S, A)
        return keys + self.bias if self.use_bias else keys

    def score(self, query, keys):
        query = ops.expand_dims(ops.matmul(query, self.query_kernel), 2)  # (B, T, 1, A)
        hidden = ops.tanh(query + ops.expand_dims(keys, 1))  # (B, T, S, A)
        return ops.squeeze(ops.matmul(hidden, self.score_vector), -1)  # (B, T, S)

    def get_config(self):
        config = {
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
        }
        return {**super().get_config(), **config}
