"""The point-wise feed-forward network of a Transformer, Vaswani et al. 2017 (arXiv:1706.03762),
section 3.3 (2); notes A "Other Design Choices" 1, notes B App. B.3.

    y_t = f(x_t W + b) U + c                       the same map at every position: a 1x1 convolution
    y_t = (f(x_t W + b) * (x_t V + d)) U + c       gated, Shazeer 2020 (arXiv:2002.05202)

W, V: D -> hidden; U: hidden -> D. A gated form keeps W and V in one kernel `(D, 2 hidden)`, W
first.
"""

import keras
from keras import activations, initializers, ops

from seqkeras.blocks.dropout import Dropout
from seqkeras.ops.bias import add_bias
from seqkeras.ops.masks import zero_masked

GATED = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu", "glu": "sigmoid"}  # name -> f


@keras.saving.register_keras_serializable(package="seqkeras")
class FeedForward(keras.Layer):
    """Two dense layers applied to each position by itself, D -> hidden -> D.

    Attention only averages; here is where a Transformer computes with what was gathered, and two
    thirds of its weights.

    Args:
        hidden_units: int > 0, the width in between; 4D in the paper. A gated form has 3/2 of the
            weights of a plain one of that width, so papers take 2/3 of it.
        activation: f, a Keras activation; or a gated form by its name, "swiglu" (f is silu),
            "geglu" (gelu), "reglu" (relu), "glu" (sigmoid).
        dropout: Rate in [0, 1) on the hidden layer.
        use_bias: If False, no b, c, d.
        kernel_initializer, bias_initializer: Keras initializers.
        seed: int or None, of the dropout.

    Call arguments:
        inputs: Float tensor `(..., D)`.
        mask: Boolean tensor `(...)`, or None.
        training: If True, dropout is applied.

    Returns:
        Float tensor `(..., D)`.

    Masking: masked positions count as zeros and come out as f(b) U + c; the mask is passed on.

    Raises:
        ValueError: if `hidden_units` is not positive, or for an unknown activation.

    Example:

    >>> import numpy as np
    >>> FeedForward(64, "swiglu")(np.ones((2, 5, 16))).shape
    TensorShape([2, 5, 16])
    """

    def __init__(
        self,
        hidden_units,
        activation="relu",
        dropout=0.0,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(hidden_units, int) or hidden_units <= 0:
            raise ValueError(f"hidden_units: expected a positive integer, got {hidden_units!r}.")
        self.hidden_units = hidden_units
        self.gated = activation if isinstance(activation, str) and activation in GATED else None
        self.activation = activations.get(GATED[self.gated] if self.gated else activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.seed = seed
        self.dropout = Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, inputs_shape):
        size, hidden = inputs_shape[-1], self.hidden_units
        inner = 2 * hidden if self.gated else hidden
        self.hidden_kernel = self._kernel((size, inner), "hidden_kernel")
        self.hidden_bias = self._bias(inner, "hidden_bias")
        self.output_kernel = self._kernel((hidden, size), "output_kernel")
        self.output_bias = self._bias(size, "output_bias")

    def _kernel(self, shape, name):
        return self.add_weight(shape, self.kernel_initializer, name=name)

    def _bias(self, size, name):
        if not self.use_bias:
            return None
        return self.add_weight((size,), self.bias_initializer, name=name)

    def call(self, inputs, mask=None, training=False):
        hidden = _dense(zero_masked(inputs, mask), self.hidden_kernel, self.hidden_bias)
        if self.gated:
            to_f, gate = ops.split(hidden, 2, axis=-1)
            hidden = self.activation(to_f) * gate
        else:
            hidden = self.activation(hidden)
        hidden = self.dropout(hidden, training=training)
        return _dense(hidden, self.output_kernel, self.output_bias)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        config = {
            "hidden_units": self.hidden_units,
            "activation": self.gated or activations.serialize(self.activation),
            "dropout": self.dropout.rate,
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "seed": self.seed,
        }
        return {**super().get_config(), **config}


def _dense(x, kernel, bias):
    y = ops.matmul(x, kernel)
    return y if bias is None else add_bias(y, bias)
