"""The largest entries of long rows, found block by block.

The k largest of a row lie in the k blocks whose maxima are largest: one pass for the maxima, and
only k blocks are searched. Of equal maxima the earlier block is kept, so that even among equal
entries the earlier ones are found, as by a search of the whole row.
"""

from keras import ops

_PAYS_BELOW = 0.25  # of the row's length, how many entries may be searched after the maxima


def top_k(x, k):
    """Returns `(values, indices int32)`, `(N, k)`: `keras.ops.top_k`, faster on long rows.

    Args:
        x: Float tensor `(N, V)`, V static. The entries found in a row with NaN are any.
        k: int <= V.

    The largest come first; of equal entries the earlier one does.
    """
    size = x.shape[-1]
    width = _block_width(size, k)
    if width is None:
        values, indices = ops.top_k(x, k)
        return values, ops.cast(indices, "int32")
    rows = ops.shape(x)[0]
    blocks = ops.reshape(x, (rows, size // width, width))
    # With an `initial` no check that there are rows at all.
    _, best = ops.top_k(ops.max(blocks, axis=-1, initial=float("-inf")), k)
    best = ops.sort(ops.cast(best, "int32"), axis=-1)  # (N, k), in the order of the row
    found = _take_of_row(
        ops.reshape(x, (rows * (size // width), width)), best, size // width
    )  # (N, k, width)
    values, places = ops.top_k(ops.reshape(found, (rows, k * width)), k)
    places = ops.cast(places, "int32")
    block = _take_of_row(ops.reshape(best, (-1,)), places // width, k)
    return values, block * width + places % width


def first_largest(x):
    """Returns the place of the largest entry of `(..., V)`, int32; of equal ones the first.

    Keras' argmax takes three times as long, for it looks for the sign of every zero, and its bit
    cast does not convert to ONNX.
    """
    return ops.cast(ops.squeeze(ops.top_k(x, 1)[1], -1), "int32")


def _block_width(size, k):
    """Returns the divisor of V that leaves the fewest entries to search; None where none pays."""
    widths = [width for width in range(1, size + 1) if size % width == 0 and size // width >= k]

    def searched(width):
        return size // width + k * width

    best = min(widths, key=searched)
    return best if searched(best) < _PAYS_BELOW * size else None


def _take_of_row(entries, index, length):
    """Returns entries `(N * length, ...)` at `index` `(N, M)` of each row: `(N, M, ...)`."""
    begin = ops.arange(ops.shape(index)[0], dtype="int32")[:, None] * length
    return ops.take(entries, begin + index, axis=0)
