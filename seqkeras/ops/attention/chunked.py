"""Exact attention without the `(T, S)` matrix: a block of queries at a time.

    for a block of C queries:   s = Q K^T / sqrt(d) + bias,  m = max s,  e = exp(s - m)
                                context = (e V) / sum e,     lse = m + log sum e
    and back:                   p = exp(s - lse),  dV += p^T dO,  dS = p (dO V^T - sum dO O)
                                dQ = dS K / sqrt(d),  dK += dS^T Q / sqrt(d)

The softmax is of a row, and a block holds whole rows, so that no running maximum is needed (compare
Rabe & Staats 2021, arXiv:2112.05682, and Dao et al. 2022, arXiv:2205.14135, who also cut the keys).
Memory: O(C S) instead of O(T S), for the forward pass and for the gradients, which make the weights
again from lse. Time: one matmul more than with the whole matrix. Where queries see no later key, or
none beyond a window, they are cut into segments that read only the keys one of them may see: with a
window w the time is O(T w), down to `_MOST_SEGMENTS` for all queries.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from seqkeras.ops.attention import blocks as blocked
from seqkeras.ops.attention.masks import Visibility, hidden_bias, visible
from seqkeras.ops.attention.whole import (
    grouped_matmul,
    scaled,
    softmax_gradient,
    transposed_matmul,
)
from seqkeras.ops.dropout import fold_in, keep_mask
from seqkeras.ops.scan import scan

_BLOCK = 2**21  # scores of a block for each example: 8 MiB
# Each block adds S D numbers to the gradients of the keys, and makes C S scores: C exceeds most D.
_FEWEST_ROWS, _ROUND_TO = 128, 8
_SEGMENTS, _MOST_SEGMENTS = 4, 32
_LOWEST = -1e20  # above HIDDEN, below every score: the maximum of a row that sees nothing


def block_rows(heads, keys):
    """Returns C, the queries of a block, for N heads and S keys."""
    rows = _BLOCK // max(heads * keys, 1) // _ROUND_TO * _ROUND_TO
    return max(rows, _FEWEST_ROWS)


def chunked_attention(query, key, value, parts, rows, bias=None, dropout=0.0, seed=None):
    """Returns the context `(B, N, T, Dv)`; values and gradients are those of `whole_attention`.

    Args:
        query, key, value, bias, dropout, seed: as for `whole_attention`. The dropout's noise of a
            block `(B, N, C, S)` is drawn with `fold_in(seed, t)`, t its first query.
        parts: `Visibility`.
        rows: int C, the most queries of a block.
    """
    query = scaled(query)
    if query.shape[2]:  # no more rows than needed, so that the last block is about full
        rows = -(-query.shape[2] // -(-query.shape[2] // rows))
    made = [
        _attend(piece, _Shared(parts, rows, ops.shape(piece.key)[2], dropout, seed))
        for piece in _segments(_Piece(0, query, key, value, parts, bias), rows)
    ]
    context = made[0] if len(made) == 1 else ops.concatenate(made, axis=2)
    if parts.queries is None:
        return context
    real = ops.cast(parts.queries, "bool")[:, None, :, None]
    return ops.where(real, context, ops.zeros((), context.dtype))


class _Piece(NamedTuple):
    """Queries next to each other, from `begin` on, and all that they see."""

    begin: int
    query: Any
    key: Any
    value: Any
    parts: Visibility
    bias: Any


def _segments(whole, rows):
    """Yields pieces of the queries, each with the keys from its first visible one to its last."""
    _, query, key, value, parts, bias = whole
    length, keys = query.shape[2], key.shape[2]
    limited = (parts.causal or parts.window is not None) and isinstance(parts.offset, int)
    if not limited or length is None or length <= rows:
        yield whole
        return
    count = _SEGMENTS
    if parts.window is not None:
        count = max(count, min(length // parts.window, _MOST_SEGMENTS))
    size = -(-length // min(count, length // rows))
    size = -(-size // rows) * rows  # whole blocks
    for begin in range(0, length, size):
        end = min(begin + size, length)
        first, stop = _visible_keys(parts, begin, end, keys)

        def cut(x, begin=begin, end=end, first=first, stop=stop):
            return blocked.part(blocked.part(x, -2, begin, end), -1, first, stop)

        yield _Piece(
            begin,
            query[:, :, begin:end],
            key[:, :, first:stop],
            value[:, :, first:stop],
            parts._replace(
                keys=blocked.part(parts.keys, -1, first, stop),
                pattern=cut(parts.pattern),
                offset=parts.offset - first,
            ),
            cut(bias),
        )


def _visible_keys(parts, begin, end, keys):
    """Returns the first key that queries `begin` to `end` may see, and the one after their last.

    There is a rule, or a window; `keys`, how many there are, is None where it is not known.
    """
    first, stops = 0, [] if keys is None else [keys]
    if parts.causal:
        stops.append(end + parts.offset)
    if parts.window is not None:
        first = max(begin + parts.offset - parts.window + 1, 0)
        stops.append(end + parts.offset + parts.window - 1)
    stop = max(min(stops), 0)
    return min(first, stop), stop


def _attend(piece, shared):
    """Returns the context `(B, N, T, Dv)` of a piece."""
    rows, length = shared.rows, ops.shape(piece.query)[2]
    count = blocked.block_count(length, rows)
    begins = ops.arange(count, dtype="int32") * rows + piece.begin
    constants = {"begin": begins}
    if piece.parts.pattern is not None:
        pattern = ops.cast(piece.parts.pattern, "bool")
        constants["pattern"] = blocked.stack_rows(pattern, rows, count)
    shared = shared._replace(parts=piece.parts)
    query = blocked.stack(piece.query, rows, count)
    bias = []
    if piece.bias is not None:
        bias = [blocked.stack_rows(ops.convert_to_tensor(piece.bias), rows, count)]
    run = _tensorflow if keras.backend.backend() == "tensorflow" else _jax
    context = run(shared, constants, query, piece.key, piece.value, *bias)
    return blocked.unstack(context)[:, :, :length]


def _inputs(constants, query, bias):
    """Returns what a block reads, as a dict; no entry for what there is not."""
    inputs = {**constants, "query": query}
    return {**inputs, "bias": bias[0]} if bias else inputs


class _Shared(NamedTuple):
    """What all blocks have in common, and what is done with each: a dict of `_inputs`."""

    parts: Visibility
    rows: int
    keys: Any
    dropout: float
    seed: Any

    def scores(self, x, turned_key):
        """Returns the float32 scores `(B, N, C, S)` of a block, with the mask in them."""
        scores = ops.cast(grouped_matmul(x["query"], turned_key), "float32")
        if "bias" in x:
            scores = scores + ops.cast(x["bias"], "float32")
        parts = self.parts._replace(pattern=x.get("pattern"))
        mask = visible(parts, self.rows, self.keys, x["begin"])
        return scores if mask is None else scores + hidden_bias(mask)

    def keep(self, x, weights):
        """Returns the dropout noise of a block, like its weights."""
        seed = fold_in(self.seed, x["begin"])
        return keep_mask(ops.shape(weights), self.dropout, seed, weights.dtype)

    def forward(self, x, turned_key, value):
        """Returns `(context (B, N, C, Dv), lse (B, N, C, 1))` of a block."""
        scores = self.scores(x, turned_key)
        highest = ops.max(scores, axis=-1, keepdims=True, initial=_LOWEST)
        weights = ops.exp(scores - highest)
        total = ops.sum(weights, axis=-1, keepdims=True)
        total = ops.where(total > 0.0, total, 1.0)
        lse = highest + ops.log(total)
        if self.dropout:
            weights = weights * self.keep(x, weights)
        if keras.backend.standardize_dtype(value.dtype) == "float16":
            # Divided before they are summed: float16 ends at 65,504.
            return grouped_matmul(ops.cast(weights / total, value.dtype), value), lse
        context = grouped_matmul(ops.cast(weights, value.dtype), value)
        return ops.cast(ops.cast(context, "float32") / total, value.dtype), lse


def _jax(shared, constants, query, key, value, *bias):
    """Returns the contexts of all blocks; their gradient makes each block again."""
    import jax

    dtype = query.dtype
    # In float32, so that the gradients of the blocks are summed in float32.
    turned_key = ops.cast(ops.swapaxes(key, -1, -2), "float32")
    value = ops.cast(value, "float32")

    @jax.checkpoint
    def block(x):
        return shared.forward(x, ops.cast(turned_key, dtype), ops.cast(value, dtype))[0]

    return scan(lambda x, _: (block(x), ()), (), _inputs(constants, query, bias))[0]


def _tensorflow(shared, constants, query, key, value, *bias):
    """Returns the contexts of all blocks, with the gradient of `_backward`."""
    import tensorflow as tf

    @tf.custom_gradient
    def attend(query, key, value, *bias):
        inputs = _inputs(constants, query, bias)
        turned_key = ops.swapaxes(key, -1, -2)

        def forward(x, states):
            return shared.forward(x, turned_key, value), states

        (context, lse), _ = scan(forward, (), inputs, in_turn=True)

        def gradient(by_context):
            made = {**inputs, "context": context, "lse": lse, "by_context": by_context}
            return _backward(shared, made, key, value)

        return context, gradient

    return attend(query, key, value, *bias)


def _backward(shared, inputs, key, value):
    """Returns the gradients by the blocks of queries, key, value and the blocks of the bias."""
    import tensorflow as tf

    dtype = key.dtype
    turned_key, turned_value = (ops.swapaxes(x, -1, -2) for x in (key, value))

    def step(x, sums):
        weights = tf.exp(shared.scores(x, turned_key) - x["lse"])
        by_weights = tf.cast(grouped_matmul(x["by_context"], turned_value), tf.float32)
        used = weights
        if shared.dropout:
            keep = shared.keep(x, weights)
            by_weights, used = by_weights * keep, weights * keep
        by_scores = softmax_gradient(weights, by_weights, x["context"], x["by_context"])
        flow = tf.cast(by_scores, dtype)
        by_key = transposed_matmul(flow, x["query"], key.shape[1])
        by_value = transposed_matmul(tf.cast(used, dtype), x["by_context"], key.shape[1])
        made = [grouped_matmul(flow, key)]
        if "bias" in x:
            made.append(_sum_to(by_scores, x["bias"]))
        return made, [
            sums[0] + tf.cast(by_key, tf.float32),
            sums[1] + tf.cast(by_value, tf.float32),
        ]

    # In float32: a sum over many blocks.
    zeros = [tf.zeros_like(x, tf.float32) for x in (key, value)]
    (by_query, *by_bias), (by_key, by_value) = scan(step, zeros, inputs, in_turn=True)
    return by_query, tf.cast(by_key, dtype), tf.cast(by_value, dtype), *by_bias


def _sum_to(gradient, like):
    """Returns the gradient `(B, N, C, S)` summed over the axes on which `like` broadcasts."""
    import tensorflow as tf

    shapes = tf.shape(like), tf.shape(gradient)
    axes, _ = tf.raw_ops.BroadcastGradientArgs(s0=shapes[0], s1=shapes[1])
    return tf.cast(tf.reshape(tf.reduce_sum(gradient, axes), shapes[0]), like.dtype)
