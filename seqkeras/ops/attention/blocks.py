"""Cutting tensors of queries into blocks of rows, and putting them together again."""

from keras import ops


def block_count(length, rows):
    """Returns how many blocks of C rows hold T queries, int or int tensor, at least 1."""
    count = -(-length // rows)
    return max(count, 1) if isinstance(count, int) else ops.maximum(count, 1)


def stack(x, rows, count):
    """Turns `(B, N, T, D)` into blocks `(count, B, N, C, D)`, with zeros after the last row."""
    batch, heads, length, size = ops.shape(x)
    x = ops.pad(x, [[0, 0], [0, 0], [0, count * rows - length], [0, 0]])
    return ops.transpose(ops.reshape(x, (batch, heads, count, rows, size)), (2, 0, 1, 3, 4))


def unstack(x):
    """Turns blocks `(count, B, N, C, D)` into `(B, N, count C, D)`."""
    count, batch, heads, rows, size = ops.shape(x)
    return ops.reshape(ops.transpose(x, (1, 2, 0, 3, 4)), (batch, heads, count * rows, size))


def stack_rows(x, rows, count):
    """Turns `(..., T, S)` into blocks `(count, ..., C, S)`; one row for all stays one row."""
    rank = len(x.shape)
    if rank < 2 or x.shape[-2] == 1:
        x = x if rank >= 2 else x[None]
        return ops.broadcast_to(x[None], (count, *ops.shape(x)))
    *others, length, keys = ops.shape(x)
    x = ops.pad(x, [[0, 0]] * (rank - 2) + [[0, count * rows - length], [0, 0]])
    return ops.moveaxis(ops.reshape(x, (*others, count, rows, keys)), -3, 0)


def part(x, axis, begin, end):
    """Returns x from `begin` to `end` on an axis; x itself where it is None or broadcasts there.

    Args:
        x: Tensor or None.
        axis: Negative int, counted from the end.
        begin, end: ints.
    """
    if x is None or len(x.shape) < -axis or x.shape[axis] == 1:
        return x
    index = [slice(None)] * len(x.shape)
    index[axis] = slice(begin, end)
    return x[tuple(index)]
