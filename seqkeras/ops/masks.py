"""Masks: boolean, True = real, padding on the right.

What lies in the padding never changes a result, NaN and Inf included. Multiplying by zero would not
do (0 * NaN is NaN, in values and in gradients), so masked entries are replaced by `where`, before
any matmul.
"""

from keras import ops

from seqkeras.constants import PAD

HIDDEN = -1e30  # a score so low that its exp is exactly 0 in float32, yet finite


def real_tokens(ids):
    """Returns the mask `(B, T)` of ids `(B, T)`: True where a token is not PAD."""
    return ops.not_equal(ids, PAD)


def zero_masked(x, mask):
    """Returns x `(B, T, D)` with zeros where mask `(B, T)` is False; x itself if mask is None."""
    if mask is None:
        return x
    return ops.where(ops.expand_dims(mask, -1), x, ops.zeros((), dtype=x.dtype))


def both(mask, other):
    """Returns where both masks are True; None hides nothing."""
    if mask is None or other is None:
        return other if mask is None else mask
    return ops.logical_and(mask, other)


def causal_mask(queries, keys, begin=0):
    """Returns the mask `(T, S)` of queries that see no later key: s <= begin + t.

    Args:
        queries, keys: int or int tensor, T and S.
        begin: int or int tensor, the position of the first query among the keys.
    """
    t = ops.arange(queries, dtype="int32") + begin
    return ops.expand_dims(ops.arange(keys, dtype="int32"), 0) <= ops.expand_dims(t, 1)


def softmax(scores):
    """`ops.softmax` over the last axis, without its warning of an axis of size 1: one source token
    is nothing odd.
    """
    if scores.shape[-1] == 1:
        return ops.exp(ops.log_softmax(scores, axis=-1))
    return ops.softmax(scores, axis=-1)


def masked_softmax(scores, mask=None):
    """Softmax over the last axis, in float32, with weight exactly 0 where the mask is False.

    A row without any True is all zeros, with zero gradient (the notes' -inf would make it NaN).

    Args:
        scores: Float tensor `(..., S)`.
        mask: Boolean tensor that broadcasts to `(..., S)`, or None.

    Returns:
        Weights of the shape and dtype of `scores`; each row sums to 1, or to 0 if fully masked.
    """
    logits = ops.cast(scores, "float32")
    if mask is None:
        return ops.cast(softmax(logits), scores.dtype)
    # One pass over the scores keeps NaN out and gradients too. Beside any real score exp makes what
    # is masked exactly 0, so only a row without any needs more: a factor, of the size of the mask.
    weights = softmax(ops.where(mask, logits, HIDDEN))
    sees = ops.any(mask, axis=-1, keepdims=True)
    return ops.cast(weights * ops.cast(sees, "float32"), scores.dtype)


def reverse_padded(x, mask):
    """Reverses the real steps of every row and leaves the padding on the right.

    Args:
        x: Tensor `(B, T)` or `(B, T, D)`.
        mask: Boolean tensor `(B, T)`, True = real, padding on the right.

    Returns:
        Tensor like x. Applying it twice gives x back.
    """
    lengths = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)  # (B, 1)
    steps = ops.expand_dims(ops.arange(ops.shape(x)[1], dtype="int32"), 0)  # (1, T)
    source = ops.where(steps < lengths, lengths - 1 - steps, steps)  # (B, T)
    if len(x.shape) == 3:
        source = ops.expand_dims(source, -1)
    return ops.take_along_axis(x, source, axis=1)
