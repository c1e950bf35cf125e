"""Highway layer, Srivastava et al. 2015 (arXiv:1505.00387), equation 3.

    t = sigmoid(x W_t + b_t)                      transform gate
    y = t * relu(x W + b) + (1 - t) * x           t = 0 hands x on

Conventions: the carry gate is 1 - t; b_t starts below 0, so a new layer is nearly the identity.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="seqkeras")
class Highway(keras.Layer):
    """A layer that learns which of its inputs to transform, and hands the others on.

    Args:
        activation: Of what is transformed.
        gate_bias: float, where b_t starts.

    Call arguments:
        inputs: Float tensor `(..., D)`.

    Returns:
        Float tensor `(..., D)`.

    Masking: the mask is passed on.

    Example:

    >>> import numpy as np
    >>> Highway()(np.ones((2, 5, 16))).shape
    TensorShape([2, 5, 16])
    """

    def __init__(self, activation="relu", gate_bias=-2.0, **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.gate_bias = gate_bias
        self.supports_masking = True

    def build(self, inputs_shape):
        dim = inputs_shape[-1]
        self.kernel = self.add_weight((dim, 2 * dim), "glorot_uniform", name="kernel")
        self.bias = self.add_weight((2 * dim,), self._initial_bias, name="bias")

    def _initial_bias(self, shape, dtype):
        half = (shape[0] // 2,)
        return ops.concatenate([ops.zeros(half, dtype), ops.full(half, self.gate_bias, dtype)])

    def call(self, inputs):
        both = ops.matmul(inputs, self.kernel) + self.bias
        y, gate = ops.split(both, 2, axis=-1)
        t = ops.sigmoid(gate)
        return t * self.activation(y) + (1.0 - t) * inputs

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        config = {
            "activation": keras.activations.serialize(self.activation),
            "gate_bias": self.gate_bias,
        }
        return {**super().get_config(), **config}
