"""Scaled dot-product attention with the whole matrix of weights; notes A (24), notes B (9).

    W = a(Q K^T / sqrt(d) + bias),   context = W V

Head n of N queries reads key-value head n // (N / G), Ainslie et al. 2023 (arXiv:2305.13245): its
queries stand below each other as rows, so that keys and values are never repeated.
"""

import math

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
    return grouped_matmul(dropped(weights, dropout, seed), value), weights


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
