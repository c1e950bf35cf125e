"""LSTM whose gates look at the cell state, Gers & Schmidhuber 2000; Graves 2013 (arXiv:1308.0850)
(7)-(11).

    i  = sigmoid(x W_i + h U_i + p_i * c + b_i)
    f  = sigmoid(x W_f + h U_f + p_f * c + b_f)
    g  = tanh(x W_c + h U_c + b_c)
    c' = clip(f * c + i * g)                     to [-cell_clip, cell_clip]
    o  = sigmoid(x W_o + h U_o + p_o * c' + b_o)
    h' = o * tanh(c')

The peepholes p are vectors (a diagonal matrix each): i and f look at the old cell state, o at the
new one, after the clip. Everything else is as in `seqkeras.cells.lstm`.
"""

import keras
from keras import constraints, initializers, ops, regularizers

from seqkeras.cells.cell_rnn import CellRNN
from seqkeras.cells.lstm import LSTMCell

PEEPHOLES = ("input_peephole", "forget_peephole", "output_peephole")


def peephole_lstm_step(z_t, h, c, weights, activation, gate, cell_clip=None, dot=ops.matmul):
    """Returns (h', c'), each `(B, H)`, from the projected input z_t `(B, 4H)`, h and c `(B, H)`.

    `weights` holds the recurrent kernel and, if there are any, the three `PEEPHOLES` `(H,)`.
    """
    p_i, p_f, p_o = (weights.get(name) for name in PEEPHOLES)
    a = z_t + dot(h, weights["recurrent_kernel"])  # (B, 4H)
    a_i, a_f, a_c, a_o = ops.split(a, 4, axis=-1)
    if p_i is not None:
        a_i, a_f = a_i + p_i * c, a_f + p_f * c
    c = gate(a_f) * c + gate(a_i) * activation(a_c)
    if cell_clip is not None:
        c = ops.clip(c, -cell_clip, cell_clip)
    if p_o is not None:
        a_o = a_o + p_o * c
    return gate(a_o) * activation(c), c


@keras.saving.register_keras_serializable(package="seqkeras")
class PeepholeLSTMCell(LSTMCell):
    """One step of an LSTM with peepholes or a clipped cell state; `PeepholeLSTM` runs it over time.

    Behind a closed output gate h says nothing of c, so the gates of a plain LSTM are blind to it;
    with peepholes they can time events by the cell state. The clip keeps c, which is not bounded,
    from growing over long sequences.

    Args:
        units: int > 0. Size H of the states.
        peepholes: If False, there are none, and the cell is an LSTM with `cell_clip`.
        cell_clip: float > 0, the largest |c|, or None. A clipped entry passes no gradient on.
        peephole_initializer: Keras initializer of the peepholes `(3, H)`, those of i, f, o. With
            zeros, the default, the cell starts as an LSTM.
        peephole_regularizer: Keras regularizer or None.
        peephole_constraint: Keras constraint or None.
        **options: see `LSTMCell`.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h, c]`, float tensors `(B, H)`.

    Returns:
        `(h', [h', c'])`: the output and the next states.

    Masking: done by `RNN`, which keeps the states where its mask is False.

    Raises:
        ValueError: if `cell_clip` is not positive.
    """

    def __init__(
        self,
        units,
        *args,
        peepholes=True,
        cell_clip=None,
        peephole_initializer="zeros",
        peephole_regularizer=None,
        peephole_constraint=None,
        **options,
    ):
        super().__init__(units, *args, **options)
        if cell_clip is not None and not cell_clip > 0:
            raise ValueError(f"cell_clip: expected a positive number or None, got {cell_clip!r}.")
        self.peepholes = peepholes
        self.cell_clip = cell_clip
        self.peephole_initializer = initializers.get(peephole_initializer)
        self.peephole_regularizer = regularizers.get(peephole_regularizer)
        self.peephole_constraint = constraints.get(peephole_constraint)

    def build(self, input_shape):
        super().build(input_shape)
        if self.peepholes:
            self.peephole_kernel = self._add("peephole_kernel", (3, self.units), "peephole")

    def loop_weights(self):
        weights = super().loop_weights()
        if self.peepholes:
            rows = ops.unstack(ops.convert_to_tensor(self.peephole_kernel), 3, axis=0)
            weights.update(zip(PEEPHOLES, rows, strict=True))
        return weights

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h, c = states
        h = h if noise is None else h * noise
        functions = (self.activation, self.recurrent_activation, self.cell_clip, dot)
        h, c = peephole_lstm_step(z_t, h, c, weights, *functions)
        return h, [h, c]

    def get_config(self):
        config = {
            "peepholes": self.peepholes,
            "cell_clip": self.cell_clip,
            "peephole_initializer": initializers.serialize(self.peephole_initializer),
            "peephole_regularizer": regularizers.serialize(self.peephole_regularizer),
            "peephole_constraint": constraints.serialize(self.peephole_constraint),
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="seqkeras")
class PeepholeLSTM(CellRNN):
    """An LSTM with peepholes or a clipped cell state over time.

    Args: those of `PeepholeLSTMCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> PeepholeLSTM(4, cell_clip=50.0)(np.zeros((2, 5, 3))).shape
    TensorShape([2, 4])
    """

    cell_class = PeepholeLSTMCell
