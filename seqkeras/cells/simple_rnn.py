"""Elman's recurrent network, Elman 1990; notes A (2), notes B (1).

    h' = phi(x W + h U + b)

Conventions: row vectors, so the notes' W h + U x is h U + x W; b is one bias.
"""

import keras
from keras import ops

from seqkeras.cells.base import RecurrentCell
from seqkeras.cells.cell_rnn import CellRNN


def elman_step(z_t, h, recurrent_kernel, activation, dot=ops.matmul):
    """Returns h' `(B, H)` from the projected input z_t `(B, H)` and h `(B, H)`."""
    return activation(z_t + dot(h, recurrent_kernel))


@keras.saving.register_keras_serializable(package="seqkeras")
class SimpleRNNCell(RecurrentCell):
    """One step of an Elman network; `SimpleRNN` runs it over time.

    The plainest memory: every step mixes the old state with the input and squashes the sum. Its
    gradient vanishes or explodes with the lag, which is what LSTM and GRU are for.

    Args: see `RecurrentCell`.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h]`, one float tensor `(B, H)`.

    Returns:
        `(h', [h'])`.

    Masking: done by `RNN`, which keeps the state where its mask is False.
    """

    @property
    def fused(self):
        name = getattr(self.activation, "__name__", None)
        known = name in ("tanh", "sigmoid", "relu", "linear")
        if known and self.activation is getattr(keras.activations, name):
            return "elman", {"activation": name}
        return None

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h = states[0] if noise is None else states[0] * noise
        h = elman_step(z_t, h, weights["recurrent_kernel"], self.activation, dot)
        return h, [h]


@keras.saving.register_keras_serializable(package="seqkeras")
class SimpleRNN(CellRNN):
    """An Elman network over time; a drop-in for `keras.layers.SimpleRNN`.

    Args: those of `SimpleRNNCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> SimpleRNN(4)(np.zeros((2, 5, 3))).shape
    TensorShape([2, 4])
    """

    cell_class = SimpleRNNCell
