"""IRNN, a ReLU network that starts at the identity, Le et al. 2015 (arXiv:1504.00941); notes B,
App. A.1.

    h' = relu(x W + h U + b),   U = I, b = 0, W ~ N(0, 0.001^2) at the start

As long as every pre-activation is positive the Jacobian dh'/dh is then the identity exactly. (The
notes print its slope as that of W_x x alone; it is that of h + W_x x: erratum X23.) Training may
leave the identity, and then gradients can explode: clip them.
"""

import keras

from seqkeras.cells.cell_rnn import CellRNN
from seqkeras.cells.simple_rnn import SimpleRNNCell


@keras.saving.register_keras_serializable(package="seqkeras")
class IRNNCell(SimpleRNNCell):
    """One step of an IRNN; `IRNN` runs it over time.

    A `SimpleRNNCell` with other defaults: it copies its state and adds the inputs to it until it
    learns otherwise.

    Args:
        units: int > 0. Size H of the state.
        activation: As in the paper, ReLU.
        kernel_initializer: Of W; default: normal with deviation 0.001, as in the paper.
        recurrent_initializer: Of U; `keras.initializers.Identity(gain=0.01)` is the paper's scaled
            identity, for tasks of short memory.
        **options: see `RecurrentCell`.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h]`, one float tensor `(B, H)`.

    Returns:
        `(h', [h'])`.

    Masking: done by `RNN`, which keeps the state where its mask is False.
    """

    def __init__(
        self,
        units,
        activation="relu",
        use_bias=True,
        kernel_initializer=None,
        recurrent_initializer="identity",
        *args,
        **options,
    ):
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.RandomNormal(stddev=0.001)
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            *args,
            **options,
        )


@keras.saving.register_keras_serializable(package="seqkeras")
class IRNN(CellRNN):
    """An IRNN over time.

    Args: those of `IRNNCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> IRNN(4, return_sequences=True)(np.zeros((2, 5, 3))).shape
    TensorShape([2, 5, 4])
    """

    cell_class = IRNNCell
