"""Rotary positions, Su et al. 2021 (arXiv:2104.09864), (34).

    (x_2i, x_2i+1) -> (x_2i cos a - x_2i+1 sin a, x_2i sin a + x_2i+1 cos a)
    a = n / base^(2i/d)

Each pair of features of a query or key at position n is turned by n times an angle of its own, so
the score of a query at t and a key at s depends on their distance alone:

    (R(t) q)^T R(s) k = q^T R(s - t) k

Neighbours are pairs, as in the paper; GPT-NeoX and Llama pair feature i with i + d/2 instead, which
is the same up to a permutation of the columns that make queries and keys.
"""

from keras import ops

from seqkeras.ops.sinusoids import sines_and_cosines


def rotate(x, positions, base=10000.0):
    """Turns each pair of features by angles that grow with the position.

    For queries and keys, not for values. A cache holds keys that are turned already.

    Args:
        x: Float tensor `(B, N, T, d)`, d even.
        positions: Integer tensor or NumPy array `(T,)` or `(B, T)`.
        base: float > 1, of the frequencies.

    Returns:
        Tensor of the shape and dtype of x; each row keeps its length.

    Raises:
        ValueError: if d is odd.

    Example:

    >>> q = ops.ones((1, 1, 3, 4))
    >>> rotate(q, ops.arange(3)).shape
    TensorShape([1, 1, 3, 4])
    """
    size = x.shape[-1]
    if size % 2:
        raise ValueError(f"rotate: expected an even number of features to pair, got {size}.")
    sin, cos = (ops.cast(a, x.dtype) for a in sines_and_cosines(positions, size, base))
    if len(positions.shape) == 2:
        sin, cos = ops.expand_dims(sin, 1), ops.expand_dims(cos, 1)  # (B, 1, T, d / 2)
    shape = ops.shape(x)
    pairs = ops.reshape(x, (*shape[:-1], size // 2, 2))
    even, odd = pairs[..., 0], pairs[..., 1]  # (B, N, T, d / 2)
    turned = ops.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
    return ops.reshape(turned, shape)
