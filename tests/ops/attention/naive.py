"""Attention in NumPy and float64, one query at a time over the keys that it sees and no others."""

import numpy as np


def attention(query, key, value, visible=None, bias=None, keep=None):
    """Returns `(context (B, N, T, Dv), weights (B, N, T, S))`.

    Args:
        query, key, value: Arrays `(B, N, T, D)`, `(B, G, S, D)`, `(B, G, S, Dv)`.
        visible: Boolean that broadcasts to `(B, N, T, S)`.
        bias: Added to the scores; `keep`: what the weights are multiplied with. Both broadcast.
    """
    batch, heads, length, size = query.shape
    groups, keys = key.shape[1:3]
    shape = (batch, heads, length, keys)
    context = np.zeros((batch, heads, length, value.shape[-1]))
    weights = np.zeros(shape)
    visible = np.broadcast_to(True if visible is None else visible, shape)
    bias = np.broadcast_to(0.0 if bias is None else bias, shape).astype("float64")
    keep = np.broadcast_to(1.0 if keep is None else keep, shape)
    for b, n, t in np.ndindex(shape[:3]):
        seen = np.flatnonzero(visible[b, n, t])
        if not seen.size:
            continue
        g = n // (heads // groups)
        scores = key[b, g, seen].astype("float64") @ query[b, n, t] / np.sqrt(size)
        scores = scores + bias[b, n, t, seen]
        e = np.exp(scores - scores.max())
        weights[b, n, t, seen] = e / e.sum()
        used = weights[b, n, t, seen] * keep[b, n, t, seen]
        context[b, n, t] = used @ value[b, g, seen].astype("float64")
    return context, weights


def visible(batch, queries, keys, parts, begin=0):
    """Returns what `parts`, a `Visibility`, lets queries see, `(B, N or 1, T, S)`, by its rule."""
    pattern = True if parts.pattern is None else parts.pattern
    heads = pattern.shape[1] if np.ndim(pattern) == 4 else 1
    seen = np.zeros((batch, heads, queries, keys), bool)
    pattern = np.broadcast_to(pattern, seen.shape)
    for b, n, t, s in np.ndindex(seen.shape):
        position = begin + t + parts.offset
        seen[b, n, t, s] = (
            (parts.keys is None or parts.keys[b, s])
            and (parts.queries is None or parts.queries[b, t])
            and pattern[b, n, t, s]
            and (not parts.causal or s <= position)
            and (parts.window is None or abs(position - s) < parts.window)
        )
    return seen
