"""Drawing many numbers from one distribution over a large set.

    V outcomes are cut into blocks of about sqrt(V): a block is drawn, then an outcome of it, each
    by inverting a cumulative distribution at a uniform number.

One cumulative distribution over all V would not do in float32: near 1 its steps are 6e-8, more than
a rare word of a large vocabulary has.
"""

import math

import numpy as np
from keras import ops


def categorical_tables(shares):
    """Returns what `draw_categorical` needs of probabilities float64 `(V,)`, float32 arrays.

    Returns:
        `(of_blocks (G,), inside (G, S))`, cumulative distributions of blocks, and inside each.
    """
    size = math.isqrt(len(shares) - 1) + 1
    blocks = -(-len(shares) // size)
    padded = np.pad(np.asarray(shares, np.float64), (0, blocks * size - len(shares)))
    inside = np.cumsum(padded.reshape(blocks, size), axis=1)
    masses = inside[:, -1:].copy()
    inside /= np.maximum(masses, np.finfo(np.float64).tiny)
    of_blocks = np.cumsum(masses[:, 0])
    return (of_blocks / of_blocks[-1]).astype(np.float32), inside.astype(np.float32)


def draw_categorical(tables, uniform):
    """Returns int32 `(k,)` outcomes.

    Args:
        tables: What `categorical_tables` returned.
        uniform: Float32 tensor `(2, k)`, uniform in [0, 1).
    """
    of_blocks, inside = map(ops.convert_to_tensor, tables)
    block = ops.searchsorted(of_blocks, uniform[0], side="right")
    block = ops.minimum(ops.cast(block, "int32"), of_blocks.shape[0] - 1)
    rows = ops.take(inside, block, axis=0)  # (k, S)
    steps = rows <= ops.expand_dims(uniform[1], 1)
    # Rounding may leave the last step of a block a little under 1: then it is its last outcome.
    last = ops.argmax(rows, axis=1)
    place = ops.minimum(ops.sum(ops.cast(steps, "int32"), axis=1), ops.cast(last, "int32"))
    return block * inside.shape[1] + place
