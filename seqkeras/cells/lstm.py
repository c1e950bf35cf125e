"""Long short-term memory, Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000;
notes A (14)-(18), notes B (7)-(12).

    i  = sigmoid(x W_i + h U_i + b_i)         input gate
    f  = sigmoid(x W_f + h U_f + b_f)         forget gate
    g  = tanh(x W_c + h U_c + b_c)            candidate
    o  = sigmoid(x W_o + h U_o + b_o)         output gate
    c' = f * c + i * g                        |c_t| < t, not < 1 (erratum X01)
    h' = o * tanh(c')

Conventions: gates in the order i, f, c, o, states [h, c], one bias, as in Keras (PyTorch orders
i, f, g, o, the same, and has two biases). `unit_forget_bias` starts b_f at 1.
"""

import keras
from keras import ops

from seqkeras.cells.base import RecurrentCell
from seqkeras.cells.cell_rnn import CellRNN


def lstm_step(z_t, h, c, recurrent_kernel, activation, gate, dot=ops.matmul):
    """Returns (h', c'), each `(B, H)`, from the projected input z_t `(B, 4H)`, h and c `(B, H)`."""
    a = z_t + dot(h, recurrent_kernel)  # (B, 4H)
    a_i, a_f, a_c, a_o = ops.split(a, 4, axis=-1)
    c = gate(a_f) * c + gate(a_i) * activation(a_c)
    return gate(a_o) * activation(c), c


@keras.saving.register_keras_serializable(package="seqkeras")
class LSTMCell(RecurrentCell):
    """One step of a long short-term memory; `LSTM` runs it over time.

    The cell state c is changed by addition only, so what the forget gate keeps survives many steps,
    and so does its gradient.

    Args:
        units: int > 0. Size H of the states.
        activation: Activation of the candidate and of the output.
        recurrent_activation: Activation of the gates.
        unit_forget_bias: If True, the forget gate's bias starts at 1 (Jozefowicz et al. 2015),
            unless the bias initializer is one that chooses it, as `ChronoLSTM` does.
        **options: see `RecurrentCell`.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h, c]`, float tensors `(B, H)`.

    Returns:
        `(h', [h', c'])`: the output and the next states.

    Masking: done by `RNN`, which keeps the states where its mask is False.
    """

    blocks = 4

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        *args,
        unit_forget_bias=True,
        **options,
    ):
        super().__init__(units, activation, *args, **options)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias

    @property
    def state_size(self):
        return [self.units, self.units]

    def initial_bias(self, shape, dtype=None):
        bias = super().initial_bias(shape, dtype)
        chosen = getattr(self.bias_initializer, "sets_forget_bias", False)
        if chosen or not self.unit_forget_bias:
            return bias
        forget = ops.arange(4 * self.units) // self.units == 1
        return ops.where(forget, ops.ones_like(bias), bias)

    @property
    def fused(self):
        standard = (self.activation, self.recurrent_activation) == (
            keras.activations.tanh,
            keras.activations.sigmoid,
        )
        return ("lstm", {}) if standard else None

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h, c = states
        h = h if noise is None else h * noise
        kernel = weights["recurrent_kernel"]
        h, c = lstm_step(z_t, h, c, kernel, self.activation, self.recurrent_activation, dot)
        return h, [h, c]

    def get_config(self):
        config = {
            "recurrent_activation": keras.activations.serialize(self.recurrent_activation),
            "unit_forget_bias": self.unit_forget_bias,
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="seqkeras")
class LSTM(CellRNN):
    """A long short-term memory over time; a drop-in for `keras.layers.LSTM`.

    Args: those of `LSTMCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> output, h, c = LSTM(4, return_state=True)(np.zeros((2, 5, 3)))
    >>> output.shape, c.shape
    (TensorShape([2, 4]), TensorShape([2, 4]))
    """

    cell_class = LSTMCell
    takes_cudnn = True
