"""Positions for attention, which by itself does not see order; notes A "Other Design Choices" 2,
notes B App. B.1 (15)-(16).

    y_n = x_n + PE(n)   or   y_n = [x_n; PE(n)]        n = offset, offset + 1, ...

    PE(n, 2i)     = sin(n / 10000^(2i/d))              Vaswani et al. 2017 (arXiv:1706.03762), 3.5
    PE(n, 2i + 1) = cos(n / 10000^(2i/d))              or rows of a learned matrix

Sines and cosines take turns, as printed; some libraries put all the sines first. The last pair ends
at 2I + 1, so d = 2I + 2 (the notes stop at 2I: erratum X25); an odd d lacks the last cosine.
Positions count from 0.
"""

import keras
import numpy as np
from keras import initializers, ops

from seqkeras.ops.masks import zero_masked
from seqkeras.ops.require import require
from seqkeras.ops.sinusoids import sines_and_cosines

COMBINATIONS = ("add", "concat")


def sinusoids(positions, size, base=10000.0):
    """Returns PE(n), float32 `(..., d)`.

    Args:
        positions: NumPy array or tensor of positions n, of any shape `(...)`.
        size: int. d.
        base: float, 10000 above.
    """
    pair = sines_and_cosines(positions, size, base)
    if isinstance(positions, np.ndarray):
        return np.stack(pair, axis=-1).reshape(*positions.shape, -1)[..., :size]
    taken = ops.stack(pair, axis=-1)  # (..., ceil(d / 2), 2)
    shape = ops.shape(taken)
    return ops.reshape(taken, (*shape[:-2], shape[-2] * 2))[..., :size]


class Positions(keras.Layer):
    """What both kinds share; a subclass defines `encodings(length, offset)` -> `(T, d)`."""

    def __init__(self, combine="add", dim=None, **kwargs):
        super().__init__(**kwargs)
        if combine not in COMBINATIONS:
            raise ValueError(f"combine: expected one of {COMBINATIONS}, got {combine!r}.")
        if dim is not None and (combine == "add" or not isinstance(dim, int) or dim <= 0):
            raise ValueError(
                "dim: expected a positive integer with combine='concat', or None for the size of "
                f"the inputs, got {dim!r} with combine={combine!r}."
            )
        self.combine = combine
        self.dim = dim
        self.supports_masking = True

    def encodings(self, length, offset, size):
        """Returns PE `(T, d)` of the positions from `offset` on, in the compute dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define encodings().")

    def call(self, inputs, offset=0, mask=None):
        length, size = ops.shape(inputs)[1], self.dim or inputs.shape[-1]
        offset = offset if isinstance(offset, int) else ops.cast(offset, "int32")
        encodings = ops.cast(self.encodings(length, offset, size), inputs.dtype)
        encodings = ops.expand_dims(encodings, 0)  # (1, T, d)
        if self.combine == "add":
            return zero_masked(ops.add(inputs, encodings), mask)
        encodings = ops.broadcast_to(encodings, (ops.shape(inputs)[0], length, size))
        return zero_masked(ops.concatenate([inputs, encodings], axis=-1), mask)

    def compute_output_spec(self, inputs, offset=0, mask=None):
        *steps, size = inputs.shape
        size += (self.dim or size) if self.combine == "concat" else 0
        return keras.KerasTensor((*steps, size), dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "combine": self.combine, "dim": self.dim}


@keras.saving.register_keras_serializable(package="seqkeras")
class SinusoidalPositions(Positions):
    """Marks positions with waves of many lengths: no weights, and no longest sequence.

    PE(n + k) is a rotation of PE(n) that depends on k alone, so a head can learn to look k back.

    Args:
        combine: "add", or "concat" for encodings of their own beside the features.
        dim: int or None, the size d of the encodings in "concat"; default: the size of the inputs.
        base: float > 1. The longest wave is about 2 pi base long.

    Call arguments:
        inputs: Float tensor `(B, T, D)`.
        offset: int or int scalar tensor, the position of inputs[:, 0]; for decoding with a cache.
        mask: Boolean tensor `(B, T)`, or None.

    Returns:
        Float tensor `(B, T, D)`, or `(B, T, D + d)` for "concat".

    Masking: masked positions come out as zeros; the mask is passed on.

    Raises:
        ValueError: for an unknown `combine`, a `dim` with "add", or a base of 1 or less.

    Example:

    >>> import numpy as np
    >>> y = SinusoidalPositions()(np.zeros((1, 2, 4)))
    >>> [[round(float(v), 2) for v in row] for row in y[0]]
    [[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]
    """

    def __init__(self, combine="add", dim=None, base=10000.0, **kwargs):
        super().__init__(combine, dim, **kwargs)
        if not base > 1:
            raise ValueError(f"base: expected a number above 1, got {base!r}.")
        self.base = base

    def encodings(self, length, offset, size):
        if isinstance(length, int) and isinstance(offset, int):
            # A constant of the graph. Eagerly it is cheap enough beside the call itself.
            return ops.convert_to_tensor(
                sinusoids(offset + np.arange(length), size, self.base), "float32"
            )
        return sinusoids(offset + ops.arange(length, dtype="int32"), size, self.base)

    def get_config(self):
        return {**super().get_config(), "base": self.base}


@keras.saving.register_keras_serializable(package="seqkeras")
class LearnedPositions(Positions):
    """Marks each position with a vector of its own, which is learned.

    For sequences whose longest length is known. Positions that are rare in training stay nearly
    unlearned.

    Args:
        max_length: int > 0, the number of positions.
        combine, dim: as in `SinusoidalPositions`.
        embeddings_initializer: Keras initializer of the vectors `(max_length, d)`.

    Call arguments, Returns, Masking: see `SinusoidalPositions`.

    Raises:
        ValueError: as `SinusoidalPositions`, if `max_length` is not positive, and for a sequence
            that goes beyond it. Where its length or offset is known in the graph only, the graph
            fails; one that XLA compiled cannot, and all encodings are NaN.

    Example:

    >>> import numpy as np
    >>> LearnedPositions(10, combine="concat", dim=3)(np.zeros((2, 5, 4))).shape
    TensorShape([2, 5, 7])
    """

    def __init__(
        self, max_length, combine="add", dim=None, embeddings_initializer="uniform", **kwargs
    ):
        super().__init__(combine, dim, **kwargs)
        if not isinstance(max_length, int) or max_length <= 0:
            raise ValueError(f"max_length: expected a positive integer, got {max_length!r}.")
        self.max_length = max_length
        self.embeddings_initializer = initializers.get(embeddings_initializer)

    def build(self, inputs_shape):
        shape = (self.max_length, self.dim or inputs_shape[-1])
        self.embeddings = self.add_weight(shape, self.embeddings_initializer, name="embeddings")

    def encodings(self, length, offset, size):
        table = ops.convert_to_tensor(self.embeddings)
        if isinstance(length, int) and isinstance(offset, int):
            if offset + length > self.max_length:
                raise ValueError(f"{self._too_long()}, got {length} positions from {offset} on.")
            return table[offset : offset + length]
        positions = offset + ops.arange(length, dtype="int32")
        rows = ops.take(table, ops.minimum(positions, self.max_length - 1), axis=0)
        return require(offset + length <= self.max_length, self._too_long(), rows)

    def _too_long(self):
        return (
            f"{self.name}: expected at most max_length={self.max_length} positions; raise "
            "max_length, shorten the sequences or use SinusoidalPositions"
        )

    def get_config(self):
        config = {
            "max_length": self.max_length,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
        }
        return {**super().get_config(), **config}
