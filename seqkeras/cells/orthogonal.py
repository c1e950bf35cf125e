"""A recurrent network whose matrix stays orthogonal while it trains; notes B, App. A.1.

    h' = modReLU(x W + h Q(p)),   Q orthogonal for every p

Jacobians of h over any number of steps are products of Q and of slopes of modReLU, which are 0 or
1: none can explode, and where no unit is cut off none vanishes (notes A (9) with equality).

Q is the squared Cayley transform of a skew-symmetric matrix; see `seqkeras.ops.orthogonal` for why.
It starts as plane rotations by random angles, which keep what they are given (Henaff et al. 2016,
arXiv:1602.06662). `SimpleRNN` only *starts* orthogonal (Saxe et al. 2014, arXiv:1312.6120): its
default is `recurrent_initializer="orthogonal"`, and the first step of the optimizer leaves it.
"""

import math

import keras
import numpy as np
from keras import ops

from seqkeras.cells.cell_rnn import CellRNN
from seqkeras.cells.norm_preserving import NormPreservingCell
from seqkeras.ops.modrelu import modrelu
from seqkeras.ops.orthogonal import entry_of_angle, rotation


@keras.saving.register_keras_serializable(package="seqkeras")
class PlaneRotations(keras.initializers.Initializer):
    """Parameters with which Q turns the planes (1, 2), (3, 4)... by random angles.

    Angles of the whole circle tell every step from every other, which copying needs; small ones,
    such as pi/8, nearly add the inputs up, which suits sums over a sequence.

    Args:
        max_angle: Angles are uniform in [-max_angle, max_angle], in radians, at most pi.
        seed: int or None.

    Raises:
        ValueError: if `max_angle` is outside [0, pi].
    """

    def __init__(self, max_angle=math.pi, seed=None):
        if not 0.0 <= max_angle <= math.pi:
            raise ValueError(f"max_angle: expected an angle in [0, pi], got {max_angle!r}.")
        self.max_angle = max_angle
        self.seed = seed

    def __call__(self, shape, dtype=None):
        if len(shape) != 1:
            raise ValueError(
                f"PlaneRotations: expected the shape (n(n-1)/2,) of the parameters of an "
                f"OrthogonalRNN, got {tuple(shape)}."
            )
        count = shape[0]
        size = (1 + math.isqrt(1 + 8 * count)) // 2
        first = np.arange(0, size - 1, 2)  # rows i of the entries (i, i + 1) of A
        places = first * size - first * (first + 1) // 2
        angles = keras.random.uniform(
            (len(first),), -self.max_angle, self.max_angle, dtype=dtype, seed=self.seed
        )
        return ops.scatter(places[:, None], entry_of_angle(angles), (count,))

    def get_config(self):
        return {"max_angle": self.max_angle, "seed": self.seed}


@keras.saving.register_keras_serializable(package="seqkeras")
class OrthogonalRNNCell(NormPreservingCell):
    """One step of an orthogonal recurrent network; `OrthogonalRNN` runs it over time.

    A plain network that can carry gradients over hundreds of steps, with n(n-1)/2 recurrent
    parameters. Give them a smaller learning rate than the rest if training is not smooth.

    Args:
        units: int > 1. Size H of the state.
        activation: "modrelu", or any Keras activation.
        recurrent_initializer: Of the H(H-1)/2 parameters; default `PlaneRotations()`. "zeros"
            starts at the identity.
        **options: see `NormPreservingCell`.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h]`, one float tensor `(B, H)`.

    Returns:
        `(h', [h'])`.

    Masking: done by `RNN`, which keeps the state where its mask is False.

    Raises:
        ValueError: if `units` is 1, where there is nothing to rotate.
    """

    def __init__(self, units, activation="modrelu", *args, recurrent_initializer=None, **options):
        if recurrent_initializer is None:
            recurrent_initializer = PlaneRotations()
        options["recurrent_initializer"] = recurrent_initializer
        super().__init__(units, activation, *args, **options)
        if units < 2:
            raise ValueError(f"units: expected at least 2, to have a plane to rotate, got {units}.")

    @property
    def parameter_shape(self):
        return (self.units * (self.units - 1) // 2,)

    def recurrent_matrix(self):
        return rotation(ops.convert_to_tensor(self.recurrent_parameters), self.units)

    def modrelu(self, z, b):
        return modrelu(z, b)


@keras.saving.register_keras_serializable(package="seqkeras")
class OrthogonalRNN(CellRNN):
    """An orthogonal recurrent network over time.

    Args: those of `OrthogonalRNNCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> layer = OrthogonalRNN(4)
    >>> layer(np.zeros((2, 5, 3))).shape
    TensorShape([2, 4])
    >>> Q = np.array(layer.recurrent_matrix())
    >>> bool(np.allclose(Q.T @ Q, np.eye(4), atol=1e-5))
    True
    """

    cell_class = OrthogonalRNNCell
