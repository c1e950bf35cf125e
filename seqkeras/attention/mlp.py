"""Attention whose score is any multilayer perceptron; notes A (20), note 1.

    phi(q, k) = w . h_n,    h_i = f(h_{i-1} W_i + b_i),    h_0 = [q; k]

With no hidden layer phi is linear, w . [q; k] = w_q . q + w_k . k, and the softmax over t ignores
w_q . q, which all keys have in common: the query cancels. What makes it count is f.
"""

import itertools

import keras
from keras import activations, initializers, ops

from seqkeras.attention.base import ScoredAttention


@keras.saving.register_keras_serializable(package="seqkeras")
class MLPAttention(ScoredAttention):
    """Scores by a perceptron of the concatenated query and key, with any number of hidden layers.

    The black box among the scores. With one hidden layer and tanh it is `BahdanauAttention`; more
    layers cost `(B, T, S, A)` activations each.

    Args:
        units: int, or tuple of ints: the sizes A_1, ..., A_n of the hidden layers. `()`: none.
        hidden_activation: f, the name of a Keras activation or a function.
        use_bias: If False, no b_i. An output has none: the softmax would ignore it.
        kernel_initializer: For every W_i and for w.
        activation: The row-wise a(.), see `ScoredAttention`.

    Call arguments, Returns, Masking: see `ScoredAttention`.

    Raises:
        ValueError: for sizes that are not positive integers, or an unknown activation.

    Example:

    >>> import numpy as np
    >>> attention = MLPAttention((16, 8), hidden_activation="relu")
    >>> attention(np.ones((2, 3, 4)), np.ones((2, 5, 6))).shape
    TensorShape([2, 3, 6])
    """

    def __init__(
        self,
        units,
        hidden_activation="tanh",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        sizes = tuple(units) if isinstance(units, (list, tuple)) else (units,)
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(
                f"units: expected a positive integer or a tuple of them, got {units!r}."
            )
        self.units = sizes
        self.hidden_activation = activations.get(hidden_activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build_score(self, query_dim, key_dim):
        self.query_dim = query_dim
        sizes = (query_dim + key_dim, *self.units, 1)
        self.kernels, self.biases = [], []
        for i, shape in enumerate(itertools.pairwise(sizes)):
            init = initializers.get(self.kernel_initializer).clone()
            self.kernels.append(self.add_weight(shape, init, name=f"kernel_{i}"))
            if self.use_bias and i < len(self.units):
                self.biases.append(self.add_weight(shape[1:], "zeros", name=f"bias_{i}"))

    def project_keys(self, key):
        """The key's share of the first layer, `(B, S, A_1)`: [q; k] W = q W_q + k W_k."""
        keys = ops.matmul(key, self.kernels[0][self.query_dim :])
        return keys + self.biases[0] if self.biases else keys

    def score(self, query, keys):
        query = ops.matmul(query, self.kernels[0][: self.query_dim])  # (B, T, A_1)
        h = ops.expand_dims(query, 2) + ops.expand_dims(keys, 1)  # (B, T, S, A_1)
        for i, kernel in enumerate(self.kernels[1:], start=1):
            h = ops.matmul(self.hidden_activation(h), kernel)  # (B, T, S, A_{i+1})
            if i < len(self.biases):
                h = h + self.biases[i]
        return ops.squeeze(h, -1)  # (B, T, S)

    def get_config(self):
        config = {
            "units": list(self.units),
            "hidden_activation": activations.serialize(self.hidden_activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
        }
        return {**super().get_config(), **config}
