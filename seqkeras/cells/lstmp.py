"""LSTM with a projection (LSTMP), Sak et al. 2014 (arXiv:1402.1128); the large models of notes A,
Fig. 14 (LSTM-2048-512 is units=2048, projection_units=512).

    m  = o * tanh(c')        `(B, H)`, the output of an LSTM of H units
    h' = m P                 `(B, R)`, the output, and what enters the gates of the next step

With n units, m inputs and p projected units it has 4((m + p)n + n) + np parameters, where an LSTM
that puts out as many has 4((m + n)n + n): the memory is large, the recurrence is not.

Conventions: P has no bias, peepholes stay outside it (they look at c, with n entries), states are
[h, c] of sizes R and H. The paper's second, non-recurrent projection is a Dense layer beside this
one. PyTorch calls `projection_units` `proj_size`.
"""

import keras
from keras import constraints, initializers, ops, regularizers

from seqkeras.cells.cell_rnn import CellRNN
from seqkeras.cells.peephole_lstm import PeepholeLSTMCell, peephole_lstm_step


@keras.saving.register_keras_serializable(package="seqkeras")
class ProjectedLSTMCell(PeepholeLSTMCell):
    """One step of an LSTM whose output is projected; `ProjectedLSTM` runs it over time.

    For a cell state much larger than what the recurrence, and the layer above, can afford to read.

    Args:
        units: int > 0. Size H of the cell state.
        projection_units: int > 0. Size R of the output.
        peepholes: If True, the gates look at the cell state, as in the paper.
        projection_initializer: Keras initializer of P `(H, R)`.
        projection_regularizer: Keras regularizer or None.
        projection_constraint: Keras constraint or None.
        **options: see `PeepholeLSTMCell`.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h, c]`, float tensors `(B, R)` and `(B, H)`.

    Returns:
        `(h', [h', c'])`: the output `(B, R)` and the next states.

    Masking: done by `RNN`, which keeps the states where its mask is False.

    Raises:
        ValueError: if `projection_units` is not positive.
    """

    def __init__(
        self,
        units,
        projection_units,
        *args,
        peepholes=False,
        projection_initializer="glorot_uniform",
        projection_regularizer=None,
        projection_constraint=None,
        **options,
    ):
        super().__init__(units, *args, peepholes=peepholes, **options)
        if not isinstance(projection_units, int) or projection_units <= 0:
            raise ValueError(
                f"projection_units: expected a positive integer, got {projection_units!r}."
            )
        self.projection_units = projection_units
        self.projection_initializer = initializers.get(projection_initializer)
        self.projection_regularizer = regularizers.get(projection_regularizer)
        self.projection_constraint = constraints.get(projection_constraint)

    @property
    def state_size(self):
        return [self.projection_units, self.units]

    @property
    def output_size(self):
        return self.projection_units

    def build(self, input_shape):
        super().build(input_shape)
        shape = (self.units, self.projection_units)
        self.projection_kernel = self._add("projection_kernel", shape, "projection")

    def loop_weights(self):
        projection = ops.convert_to_tensor(self.projection_kernel)
        return {**super().loop_weights(), "projection_kernel": projection}

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h, c = states
        h = h if noise is None else h * noise
        functions = (self.activation, self.recurrent_activation, self.cell_clip, dot)
        m, c = peephole_lstm_step(z_t, h, c, weights, *functions)
        h = dot(m, weights["projection_kernel"])
        return h, [h, c]

    def get_config(self):
        config = {
            "projection_units": self.projection_units,
            "projection_initializer": initializers.serialize(self.projection_initializer),
            "projection_regularizer": regularizers.serialize(self.projection_regularizer),
            "projection_constraint": constraints.serialize(self.projection_constraint),
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="seqkeras")
class ProjectedLSTM(CellRNN):
    """An LSTM with a projection over time (LSTMP).

    Args: those of `ProjectedLSTMCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> output, h, c = ProjectedLSTM(8, 3, return_state=True)(np.zeros((2, 5, 3)))
    >>> output.shape, c.shape
    (TensorShape([2, 3]), TensorShape([2, 8]))
    """

    cell_class = ProjectedLSTMCell
