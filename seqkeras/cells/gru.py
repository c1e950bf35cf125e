"""Gated recurrent unit, Cho et al. 2014 (arXiv:1406.1078); notes A (19), notes B (23)-(26).

    z  = sigmoid(x W_z + h U_z + b_z)         update gate
    r  = sigmoid(x W_r + h U_r + b_r)         reset gate
    c  = tanh(x W_c + (r * h) U_c + b_c)      candidate
    h' = z * h + (1 - z) * c                  z = 1 keeps the old state

Conventions: gates in the order z, r, c; z weighs the *old* state, as in Keras (the notes write
h' = (1 - z) h + z c: the same cell with z negated, erratum X07). Above is `reset_after=False`, the
notes' form. `reset_after=True`, Keras' default: c = tanh(x W_c + b_c + r * (h U_c + d_c)), with a
second bias d. Dropout on h applies where h enters the gates and the candidate, not where z keeps
it.
"""

import keras
from keras import ops

from seqkeras.cells.base import RecurrentCell
from seqkeras.cells.cell_rnn import CellRNN


def reset_before_step(z_t, h, masked_h, gate_kernel, candidate_kernel, activation, gate, dot):
    """Returns h' `(B, H)` from the projected input z_t `(B, 3H)` and h `(B, H)`.

    `masked_h` is h after dropout, or h itself.
    """
    x_z, x_r, x_c = ops.split(z_t, 3, axis=-1)
    h_z, h_r = ops.split(dot(masked_h, gate_kernel), 2, axis=-1)
    z = gate(x_z + h_z)
    r = gate(x_r + h_r)
    c = activation(x_c + dot(r * masked_h, candidate_kernel))
    return z * h + (1.0 - z) * c


def reset_after_step(z_t, h, masked_h, recurrent_kernel, recurrent_bias, activation, gate, dot):
    """As `reset_before_step`, with the reset gate after the matmul and the bias d `(3H,)`."""
    x_z, x_r, x_c = ops.split(z_t, 3, axis=-1)
    inner = dot(masked_h, recurrent_kernel)
    if recurrent_bias is not None:
        inner = inner + recurrent_bias
    h_z, h_r, h_c = ops.split(inner, 3, axis=-1)
    z = gate(x_z + h_z)
    r = gate(x_r + h_r)
    c = activation(x_c + r * h_c)
    return z * h + (1.0 - z) * c


@keras.saving.register_keras_serializable(package="seqkeras")
class GRUCell(RecurrentCell):
    """One step of a gated recurrent unit; `GRU` runs it over time.

    The reset gate decides how much of the past enters the candidate, the update gate how much of
    the past survives.

    Args:
        units: int > 0. Size H of the state.
        activation: Activation of the candidate.
        recurrent_activation: Activation of the gates.
        reset_after: If False, the notes' form, if True, Keras' and cuDNN's: different functions, so
            weights of one do not serve the other.
        **options: see `RecurrentCell`.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h]`, one float tensor `(B, H)`.

    Returns:
        `(h', [h'])`: the output and the next states.

    Masking: done by `RNN`, which keeps the state where its mask is False.
    """

    blocks = 3

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        *args,
        reset_after=True,
        **options,
    ):
        super().__init__(units, activation, *args, **options)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.reset_after = reset_after

    def bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    @property
    def input_bias(self):
        return self.bias[0] if self.reset_after else self.bias

    def loop_weights(self):
        kernel = ops.convert_to_tensor(self.recurrent_kernel)
        if self.reset_after:
            bias = {"recurrent_bias": self.bias[1]} if self.use_bias else {}
            return {"recurrent_kernel": kernel, **bias}
        gates, candidate = ops.split(kernel, [2 * self.units], axis=-1)
        return {"gate_kernel": gates, "candidate_kernel": candidate}

    @property
    def fused(self):
        standard = (self.activation, self.recurrent_activation) == (
            keras.activations.tanh,
            keras.activations.sigmoid,
        )
        if not standard:
            return None
        if self.reset_after:
            return "gru_reset_after", {"use_bias": self.use_bias}
        return "gru_reset_before", {}

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h = states[0]
        masked_h = h if noise is None else h * noise
        functions = (self.activation, self.recurrent_activation, dot)
        if self.reset_after:
            kernel, bias = weights["recurrent_kernel"], weights.get("recurrent_bias")
            h = reset_after_step(z_t, h, masked_h, kernel, bias, *functions)
        else:
            kernels = (weights["gate_kernel"], weights["candidate_kernel"])
            h = reset_before_step(z_t, h, masked_h, *kernels, *functions)
        return h, [h]

    def get_config(self):
        config = {
            "recurrent_activation": keras.activations.serialize(self.recurrent_activation),
            "reset_after": self.reset_after,
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="seqkeras")
class GRU(CellRNN):
    """A gated recurrent unit over time; a drop-in for `keras.layers.GRU`.

    Args: those of `GRUCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> GRU(4, return_sequences=True)(np.zeros((2, 5, 3))).shape
    TensorShape([2, 5, 4])
    """

    cell_class = GRUCell
    takes_cudnn = True
