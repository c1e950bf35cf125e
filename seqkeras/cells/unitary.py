"""Unitary evolution recurrent network, Arjovsky et al. 2016 (arXiv:1511.06464); notes B, App. A.1.

    h' = modReLU(x V + W h),   W = D3 R2 F^-1 D2 Pi R1 F D1,   h in C^n

W is unitary for any values of its 7n parameters, so it keeps the norm of h and of every gradient.
modReLU changes moduli and keeps phases, in which W does its turning.

Conventions: the interface is real. The state and the output are [Re h, Im h], 2n numbers; complex
inputs would be given as real and imaginary parts, too. W is worked out once per sequence, as a real
(2n, 2n) matrix, from the fast transforms of `seqkeras.ops.unitary`: one product per step is faster
than the nine factors up to some hundreds of units, where their O(n log n) would begin to pay.

Where the paper leaves a choice: h_0 is zero, as in every cell here; the paper learns it, which is
`learn_initial_state=True`. V is drawn as one real matrix (D, 2n), its limit after Glorot by those
sizes.
"""

import math

import keras
from keras import ops

from seqkeras.cells.cell_rnn import CellRNN
from seqkeras.cells.norm_preserving import NormPreservingCell
from seqkeras.ops.modrelu import complex_modrelu
from seqkeras.ops.unitary import PARAMETER_ROWS, unitary_matrix


@keras.saving.register_keras_serializable(package="seqkeras")
class UnitaryParameters(keras.initializers.Initializer):
    """The paper's start of W: angles uniform in [-pi, pi], reflections uniform in [-1, 1].

    Args:
        seed: int or None.
    """

    def __init__(self, seed=None):
        self.seed = seed

    def __call__(self, shape, dtype=None):
        drawn = keras.random.uniform(shape, -1.0, 1.0, dtype=dtype, seed=self.seed)
        return ops.concatenate([drawn[:3] * math.pi, drawn[3:]], axis=0)

    def get_config(self):
        return {"seed": self.seed}


@keras.saving.register_keras_serializable(package="seqkeras")
class UnitaryRNNCell(NormPreservingCell):
    """One step of a unitary recurrent network; `UnitaryRNN` runs it over time.

    A large memory for few parameters (7n recurrent ones), whose gradient neither vanishes nor
    explodes: it copies over hundreds of steps where gated cells do not begin to learn.

    Args:
        units: int > 0. Number n of complex units; states and outputs have size 2n.
        activation: "modrelu", or any Keras activation, which then acts on real and imaginary parts.
        recurrent_initializer: Of the parameters `(7, n)`: the angles of D1, D2, D3, then the real
            and the imaginary part of the vectors of R1 and R2. Default: the paper's.
        seed: int or None, of the permutation, which is a weight that does not train, and of the
            dropout masks.
        **options: see `NormPreservingCell`. One number drops a complex unit whole.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h]`, one float tensor `(B, 2n)`.

    Returns:
        `(h', [h'])`.

    Masking: done by `RNN`, which keeps the state where its mask is False.
    """

    def __init__(self, units, activation="modrelu", *args, recurrent_initializer=None, **options):
        if recurrent_initializer is None:
            recurrent_initializer = UnitaryParameters()
        options["recurrent_initializer"] = recurrent_initializer
        super().__init__(units, activation, *args, **options)

    @property
    def state_size(self):
        return 2 * self.units

    @property
    def parameter_shape(self):
        return (PARAMETER_ROWS, self.units)

    def build(self, input_shape):
        super().build(input_shape)
        self.permutation = self.add_weight(
            shape=(self.units,),
            name="permutation",
            initializer=self._draw_permutation,
            dtype="int32",
            trainable=False,
        )

    def _draw_permutation(self, shape, dtype=None):
        return keras.random.shuffle(ops.arange(shape[0], dtype=dtype), seed=self.seed)

    @property
    def noise_size(self):
        return self.units  # a complex number is dropped as one

    def draw_noise(self, batch_size, training=False):
        mask = super().draw_noise(batch_size, training)
        return None if mask is None else ops.concatenate([mask, mask], axis=-1)

    def recurrent_matrix(self):
        parameters = ops.convert_to_tensor(self.recurrent_parameters)
        return unitary_matrix(parameters, ops.convert_to_tensor(self.permutation))

    def modrelu(self, z, b):
        return complex_modrelu(z, b)


@keras.saving.register_keras_serializable(package="seqkeras")
class UnitaryRNN(CellRNN):
    """A unitary recurrent network over time.

    Args: those of `UnitaryRNNCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> UnitaryRNN(4, learn_initial_state=True)(np.zeros((2, 5, 3))).shape
    TensorShape([2, 8])
    """

    cell_class = UnitaryRNNCell
