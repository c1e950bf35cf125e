"""Scaled dot-product attention with the whole matrix of weights; notes A (24), notes B (9).

    W = a(Q K^T / sqrt(d) + bias),   O = W V, the context
    and back, for the softmax:       dS = W (dO V^T - sum dO O),   dV = W^T dO

The sum over the D numbers of a context is the one over the S products of weights and their
gradients that the softmax's own gradient makes in two more passes over the `(T, S)` matrix.
Head n of N queries reads key-value head n // (N / G), Ainslie et al. 2023 (arXiv:2305.13245): its
queries stand below each other as rows, so that keys and values are never repeated.
"""

import math

import keras
from keras import ops

from seqkeras.ops.dropout import keep_mask
from seqkeras.ops.masks import softmax


def whole_attention(query, key, value, mask=None, bias=None, weigh=None, dropout=0.0, seed=None):
    """Returns `(context (B, N, T, Dv), weights (B, N, T, S))`.

    Args:
        query: Float tensor `(B, N, T, D)`.
        key, value: Float tensors `(B, G, S, D)` and `(B, G, S, Dv)`, G a divisor of N. Finite also
            where masked.
        mask: `AdditiveMask` or None.
        bias: Float tensor that broadcasts to `(B, N, T, S)`, added to the scores, or None.
        weigh: None for softmax, or the row-wise a(.) as a function `(scores, visible) -> weights`
            of `seqkeras.ops.attention_weights`.
        dropout: float, rate at which weights are dropped (the others grow); the returned ones are
            those before.
        seed: int tensor `(2,)`, for the dropout.

    The weights are float32 inside and of the query's dtype outside.
    """
    scores = ops.cast(grouped_matmul(scaled(query), ops.swapaxes(key, -1, -2)), "float32")
    if bias is not None:
        scores = scores + ops.cast(bias, "float32")
    weights = ops.cast(weights_of(scores, mask, weigh), query.dtype)
    if weigh is None and keras.backend.backend() == "tensorflow":
        return _tensorflow(scores, mask, value, dropout, seed), weights
    return grouped_matmul(dropped(weights, dropout, seed), value), weights


def _tensorflow(scores, mask, value, dropout, seed):
    """Returns the context, with the gradient that stands above.

    In a graph the weights in here and those that the caller returns are made once, and only here if
    nobody asks for them.
    """
    import tensorflow as tf

    dtype = value.dtype

    @tf.custom_gradient
    def attend(scores, value):
        weights = weights_of(scores, mask)
        keep = keep_mask(ops.shape(weights), dropout, seed) if dropout else None
        used = tf.cast(weights if keep is None else weights * keep, dtype)
        context = grouped_matmul(used, value)

        def gradient(by_context):
            by_weights = grouped_matmul(by_context, tf.linalg.matrix_transpose(value))
            by_weights = tf.cast(by_weights, tf.float32)
            by_weights = by_weights if keep is None else by_weights * keep
            by_scores = softmax_gradient(weights, by_weights, context, by_context)
            return by_scores, transposed_matmul(used, by_context, value.shape[1])

        return context, gradient

    return attend(scores, value)


def softmax_gradient(weights, by_weights, context, by_context):
    """Returns the gradient by the scores, float32 `(B, N, T, S)`.

    Args:
        weights: float32 `(B, N, T, S)`, before dropout.
        by_weights: float32 `(B, N, T, S)`, the gradient by them.
        context, by_context: Float tensors `(B, N, T, Dv)`, what they made and its gradient.
    """
    products = ops.cast(by_context, "float32") * ops.cast(context, "float32")
    return weights * (by_weights - ops.sum(products, axis=-1, keepdims=True))


def weights_of(scores, mask=None, weigh=None):
    """Returns the float32 weights `(..., T, S)` of float32 scores; arguments as above."""
    hidden = None if mask is None else mask.bias
    if weigh is not None:
        weights = weigh(scores, None if hidden is None else hidden >= 0.0)
    else:
        weights = softmax(scores if hidden is None else scores + hidden)
    return weights if mask is None or mask.rows is None else weights * mask.rows


def dropped(weights, rate, seed):
    """Returns the weights, at a rate set to zero, the others divided by 1 - rate."""
    if not rate:
        return weights
    return weights * keep_mask(ops.shape(weights), rate, seed, weights.dtype)


def scaled(query):
    """Returns query / sqrt(D): cheaper than to scale the scores."""
    return query * (1.0 / math.sqrt(query.shape[-1]))


def grouped_matmul(x, y):
    """Returns x `(B, N, T, M)` times y `(B, G, M, K)`, `(B, N, T, K)`, for G a divisor of N."""
    heads, groups = x.shape[1], y.shape[1]
    if heads == groups:
        return ops.matmul(x, y)
    batch, _, length, inner = ops.shape(x)
    rows = ops.reshape(x, (batch, groups, heads // groups * length, inner))
    return ops.reshape(ops.matmul(rows, y), (batch, heads, length, ops.shape(y)[3]))


def transposed_matmul(x, y, groups):
    """Returns x^T y `(B, G, M, K)` of `(B, N, T, M)` and `(B, N, T, K)`, summed over a group."""
    import tensorflow as tf

    def grouped(t):
        batch, heads, length, size = ops.shape(t)
        if heads == groups:
            return t
        return tf.reshape(t, [batch, groups, heads // groups * length, size])

    return tf.matmul(grouped(x), grouped(y), transpose_a=True)
