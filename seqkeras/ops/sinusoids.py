"""Sines and cosines of positions, whose frequencies fall geometrically; notes B (16).

    angle(n, i) = n / base^(2i/d)          i = 0, 1, ..., one for each pair of d features

Shared by sinusoidal and by rotary positions.
"""

import functools

import numpy as np
from keras import ops

_EXACT_BITS = 8  # of a part of the frequency: its product with n < 2^16 is exact in float32


def sines_and_cosines(positions, size, base=10000.0):
    """Returns the sine and cosine of the angles of each position.

    Exact to about 1e-6 up to n = 2^16: n times a rounded frequency would be off by 1e-4 at n = 1000
    already, and a position of its own would differ from the same one in a sequence. So the turns of
    n are counted in two parts, the first of which is exact, and only what is left of a turn becomes
    an angle.

    Args:
        positions: NumPy array, or int or float tensor, of any shape `(...)`.
        size: int. d; an odd one has a last pair of which only the sine is used.
        base: float > 1.

    Returns:
        `(sines, cosines)`, float32 of shape `(..., ceil(d / 2))`; NumPy arrays if positions are.
    """
    if isinstance(positions, np.ndarray):
        angles = positions[..., None] * _frequencies(size, base)
        return np.sin(angles).astype("float32"), np.cos(angles).astype("float32")
    coarse, fine = _turns(size, base)
    n = ops.expand_dims(ops.cast(positions, "float32"), -1)
    turns = n * coarse
    angles = (turns - ops.floor(turns) + n * fine) * np.float32(2.0 * np.pi)
    return ops.sin(angles), ops.cos(angles)


def _frequencies(size, base):
    return base ** (-np.arange(0, size, 2) / size)


@functools.lru_cache(maxsize=64)
def _turns(size, base):
    """Returns the turns for each step of n, as the sum of two parts."""
    turns = _frequencies(size, base) / (2.0 * np.pi)
    mantissa, exponent = np.frexp(turns)
    coarse = np.ldexp(np.floor(mantissa * 2**_EXACT_BITS), exponent - _EXACT_BITS)
    return coarse.astype("float32"), (turns - coarse).astype("float32")
