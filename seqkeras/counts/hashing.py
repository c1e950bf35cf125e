"""Many things on few weights."""

import numpy as np

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio


def hashed(numbers, slots):
    """Returns int64 slots from 0 to slots - 1 of integers of at least 0, an array of their shape.

    Multiplicative hashing: Knuth 1973, The Art of Computer Programming 3, section 6.4.
    """
    mixed = np.asarray(numbers).astype(np.uint64) * _MULTIPLIER
    return ((mixed >> np.uint64(32)) % np.uint64(slots)).astype(np.int64)
