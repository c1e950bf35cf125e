"""Blocks of queries give what the whole matrix gives, values and gradients, without the matrix."""

import math
import re

import keras
import numpy as np
import pytest
from keras import ops, tree

from seqkeras.ops.attention import (
    Visibility,
    additive,
    block_rows,
    chunked_attention,
    weights_of,
    whole_attention,
)
from seqkeras.ops.attention.whole import grouped_matmul, scaled
from seqkeras.ops.dropout import fold_in, keep_mask
from tests.gradients import value_and_gradients
from tests.ops.attention import naive

B, N, T, S, D, DV = 3, 4, 19, 17, 6, 2
RNG = np.random.default_rng(0)
KEYS = np.arange(S) < np.array([[17], [9], [0]])
QUERIES = np.arange(T) < np.array([[19], [5], [0]])
PATTERN = RNG.random((B, N, T, S)) < 0.6
CAUSAL = Visibility(causal=True)

# Parts of the mask, groups of keys, rows of a block, shape of the bias.
CASES = {
    "plain": (Visibility(), N, 4, None),
    "one block": (Visibility(), N, 32, None),
    "blocks that come out even": (Visibility(), N, 19, None),
    "groups": (Visibility(KEYS), 2, 4, None),
    "one group": (Visibility(KEYS), 1, 5, (T, S)),
    "keys": (Visibility(KEYS), N, 4, None),
    "queries": (Visibility(KEYS, queries=QUERIES), N, 4, None),
    "causal": (CAUSAL, 2, 2, (N, T, S)),
    "causal, later queries": (CAUSAL._replace(keys=KEYS, offset=3), N, 4, (B, N, T, S)),
    "causal, earlier queries": (CAUSAL._replace(offset=-5), N, 3, None),
    "window": (Visibility(window=3), N, 4, None),
    "causal window": (CAUSAL._replace(window=3, keys=KEYS), N, 4, None),
    "window, later queries": (Visibility(KEYS, window=2, offset=6), 2, 2, (N, T, S)),
    "window, earlier queries": (Visibility(window=4, offset=-9), N, 3, (S,)),
    "causal window, later queries": (CAUSAL._replace(window=2, offset=3), N, 2, (B, N, T, S)),
    "pattern in a window": (Visibility(pattern=PATTERN, window=5), N, 4, None),
    "pattern": (Visibility(pattern=PATTERN[0, 0]), N, 4, None),
    "pattern of keys": (Visibility(pattern=PATTERN[0, 0, 0]), N, 4, None),
    "causal pattern of keys": (CAUSAL._replace(pattern=PATTERN[0, 0, 0]), N, 4, None),
    "pattern of each head": (Visibility(KEYS, PATTERN), 2, 4, None),
    "bias": (Visibility(KEYS), N, 4, (B, N, T, S)),
    "bias of each head": (Visibility(), N, 4, (N, T, S)),
    "bias of keys": (Visibility(), N, 4, (S,)),
    "bias of keys and heads": (Visibility(), N, 4, (N, 1, S)),
    "bias of examples": (CAUSAL, N, 4, (B, 1, T, S)),
    "everything": (Visibility(KEYS, PATTERN, True, 7, 1, QUERIES), 2, 3, (1, N, T, S)),
}


def tensors(groups=N, t=T, s=S, scale=1.0, batch=B):
    rng = np.random.default_rng(1)
    shapes = [(batch, N, t, D), (batch, groups, s, D), (batch, groups, s, DV)]
    query, key, value = (rng.normal(size=shape).astype("float32") for shape in shapes)
    return [scale * query, key, value]


def loss(context):
    return ops.sum(ops.sin(ops.cast(context, "float32")))


def assert_equal(found, expected, rtol=1e-4, atol=1e-5):
    for ours, theirs in zip(tree.flatten(found), tree.flatten(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("parts", "groups", "rows", "bias"), CASES.values(), ids=CASES)
def test_equals_the_whole_matrix(parts, groups, rows, bias):
    inputs = tensors(groups)
    if bias:
        inputs.append(np.random.default_rng(2).normal(size=bias).astype("float32"))
    mask = additive(parts, T, S)

    def whole(query, key, value, bias=None):
        return loss(whole_attention(query, key, value, mask, bias)[0])

    def chunked(query, key, value, bias=None):
        return loss(chunked_attention(query, key, value, parts, rows, bias))

    assert_equal(value_and_gradients(chunked, inputs), value_and_gradients(whole, inputs))


@pytest.mark.parametrize("name", ["keys", "causal, later queries", "everything"])
def test_equals_one_query_at_a_time(name):
    parts, groups, rows, bias = CASES[name]
    query, key, value = tensors(groups)
    bias = None if bias is None else np.random.default_rng(2).normal(size=bias).astype("float32")
    found = ops.convert_to_numpy(chunked_attention(query, key, value, parts, rows, bias))
    seen = naive.visible(B, T, S, parts)
    expected, _ = naive.attention(query, key, value, seen, bias)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    sees = np.broadcast_to(seen.any(-1), (B, N, T))
    np.testing.assert_array_equal(found[~sees], 0.0)


def test_a_row_that_sees_nothing_has_no_gradient():
    inputs = tensors()
    for name in ("keys", "queries", "everything"):
        parts = CASES[name][0]
        _, gradients, _ = value_and_gradients(
            lambda *x, parts=parts: loss(chunked_attention(*x, parts, 4)), inputs
        )
        for gradient in gradients:
            assert np.isfinite(gradient).all()
            np.testing.assert_array_equal(gradient[2], 0.0)


def noise(seed, rate, rows, t=T, s=S):
    """Returns the dropout noise `(B, N, T, S)`, a block at a time."""
    blocks = [
        ops.convert_to_numpy(keep_mask((B, N, rows, s), rate, fold_in(seed, begin)))
        for begin in range(0, t, rows)
    ]
    return np.concatenate(blocks, axis=2)[:, :, :t]


@pytest.mark.parametrize("rate", [0.3, 0.99])
def test_the_noise_of_a_block_is_drawn_from_the_seed_and_its_first_query(rate):
    inputs = tensors(2)
    parts, rows, seed = Visibility(KEYS), 4, np.array([5, 6], "uint32")
    keep = noise(seed, rate, rows)
    mask = additive(parts, T, S)

    def chunked(query, key, value):
        return loss(chunked_attention(query, key, value, parts, rows, None, rate, seed))

    def whole(query, key, value):
        scores = grouped_matmul(scaled(query), ops.swapaxes(key, -1, -2))
        return loss(grouped_matmul(weights_of(scores, mask) * keep, value))

    found, expected = (value_and_gradients(f, inputs) for f in (chunked, whole))
    assert_equal(found, expected, rtol=1e-3, atol=1e-4)
    context = chunked_attention(*inputs, parts, rows, None, rate, seed)
    expected, _ = naive.attention(*inputs, naive.visible(B, T, S, parts), keep=keep)
    np.testing.assert_allclose(context, expected, atol=1e-5)


def test_no_two_blocks_and_no_two_calls_have_the_same_noise():
    """A generator counts up: the block at 8 must not be the first block of the eighth next call."""
    seeds = [np.array([7, call], "uint32") for call in range(12)]
    drawn = {
        noise(seed, 0.5, 4, t=12)[0, 0, begin : begin + 4].tobytes()
        for seed in seeds
        for begin in (0, 4, 8)
    }
    assert len(drawn) == 12 * 3


def test_causal_dropout_has_the_gradient_of_its_values():
    inputs = tensors(batch=1, t=9, s=9)
    seed = np.array([5, 6], "uint32")
    direction = np.random.default_rng(3).normal(size=inputs[0].shape).astype("float32")

    def chunked(query):
        return loss(chunked_attention(query, *inputs[1:], CAUSAL, 4, None, 0.4, seed))

    _, [gradient], _ = value_and_gradients(chunked, inputs[:1])
    step = 1e-2
    ahead, back = (float(chunked(inputs[0] + sign * step * direction)) for sign in (1, -1))
    assert np.sum(gradient * direction) == pytest.approx((ahead - back) / (2 * step), rel=0.01)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    inputs = tensors(2)
    parts = CAUSAL._replace(keys=KEYS)

    def chunked(*inputs):
        halves = [ops.cast(x, dtype) for x in inputs]
        return loss(chunked_attention(*halves, parts, 4))

    def whole(*inputs):
        return loss(whole_attention(*inputs, additive(parts, T, S))[0])

    found, expected = (value_and_gradients(f, inputs) for f in (chunked, whole))
    assert_equal(found[1], expected[1], rtol=0.02, atol=0.05)
    halves = [ops.cast(x, dtype) for x in inputs]
    context = chunked_attention(*halves, parts, 4)
    assert dtype in str(context.dtype)
    exact = ops.convert_to_numpy(whole_attention(*inputs, additive(parts, T, S))[0])
    np.testing.assert_allclose(ops.convert_to_numpy(context).astype("f"), exact, atol=0.05)


def test_a_mean_of_many_values_fits_into_float16():
    """Their sum, 102,400, does not."""
    query, key = np.zeros((1, 1, 9, 4), "float16"), np.zeros((1, 1, 512, 4), "float16")
    value = np.full((1, 1, 512, 1), 200.0, "float16")
    context = ops.convert_to_numpy(chunked_attention(query, key, value, Visibility(), 4))
    np.testing.assert_allclose(context, 200.0, rtol=1e-2)


def test_gradients_of_many_blocks_are_summed_in_float32():
    """In bfloat16, 1024 + 4 is 1024."""
    t = 4096
    query, key = np.zeros((1, 1, t, 1), "float32"), np.zeros((1, 1, 2, 1), "float32")
    value = np.ones((1, 1, 2, 1), "float32")

    def total(value):
        halves = [ops.cast(x, "bfloat16") for x in (query, key, value)]
        return ops.sum(ops.cast(chunked_attention(*halves, Visibility(), 8), "float32"))

    _, [gradient], _ = value_and_gradients(total, [value])
    np.testing.assert_allclose(gradient, t / 2, rtol=0.01)


def test_scores_of_ten_thousand_are_a_choice():
    inputs = tensors(scale=1e4)
    context = chunked_attention(*inputs, Visibility(KEYS), 4)
    seen = naive.visible(B, T, S, Visibility(KEYS))
    np.testing.assert_allclose(context, naive.attention(*inputs, seen)[0], atol=1e-4)
    _, gradients, _ = value_and_gradients(
        lambda *x: loss(chunked_attention(*x, Visibility(KEYS), 4)), inputs
    )
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("parts", [Visibility(), CAUSAL], ids=["plain", "causal"])
@pytest.mark.parametrize(("t", "s"), [(0, S), (T, 0), (0, 0), (1, 1), (T, 1), (1, S)])
def test_lengths_of_nothing_and_of_one(t, s, parts):
    inputs = tensors(2, t, s)
    context = chunked_attention(*inputs, parts, 4)
    expected, _ = whole_attention(*inputs, additive(parts, t, s))
    np.testing.assert_allclose(context, expected, atol=1e-6)


def test_an_empty_batch():
    context = chunked_attention(*tensors(2, batch=0), CAUSAL, 4)
    assert tuple(context.shape) == (0, N, T, DV)


def test_blocks_hold_two_million_scores_or_as_few_as_pays():
    assert block_rows(8, 512) == 512
    assert block_rows(4, 2048) == 256
    assert block_rows(16, 10**6) == 128
    assert block_rows(1, 0) % 8 == 0


# Compiled, and how much memory that takes.


def gradients_of(query, key, value, parts, chunk):
    """Returns the context and its gradients, as tensors of the backend."""

    def attend(query, key, value):
        if chunk:
            return chunked_attention(query, key, value, parts, chunk)
        mask = additive(parts, ops.shape(query)[2], ops.shape(key)[2])
        return whole_attention(query, key, value, mask)[0]

    if keras.backend.backend() == "jax":
        import jax

        context, pull = jax.vjp(attend, query, key, value)
        return context, *pull(context)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch([query, key, value])
        context = attend(query, key, value)
    return context, *tape.gradient(context, [query, key, value], output_gradients=context)


@pytest.mark.tensorflow
@pytest.mark.parametrize("parts", [CAUSAL, Visibility(window=4)], ids=["causal", "window"])
def test_lengths_that_are_not_known(parts):
    import tensorflow as tf

    signature = [
        tf.TensorSpec([None, heads, None, size]) for heads, size in ((N, D), (2, D), (2, DV))
    ]
    run = tf.function(lambda *x: gradients_of(*x, parts, 4), input_signature=signature)
    for t, s in ((T, S), (4, T), (1, 1), (0, S)):
        inputs = [tf.constant(x) for x in tensors(2, t, s)]
        assert_equal(run(*inputs), gradients_of(*inputs, parts, None))


@pytest.mark.tensorflow
def test_an_offset_that_is_a_tensor():
    import tensorflow as tf

    run = tf.function(
        lambda offset: chunked_attention(*tensors(), CAUSAL._replace(offset=offset), 4)
    )
    for offset in (0, 3):
        parts = CAUSAL._replace(offset=offset)
        expected, _ = whole_attention(*tensors(), additive(parts, T, S))
        np.testing.assert_allclose(run(tf.constant(offset)), expected, atol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["causal", "everything"])
def test_compiled_by_xla(name):
    import tensorflow as tf

    parts, groups, rows, _ = CASES[name]
    inputs = [tf.constant(x) for x in tensors(groups)]
    run = tf.function(lambda *x: gradients_of(*x, parts, rows), jit_compile=True)
    assert_equal(run(*inputs), gradients_of(*inputs, parts, None))


def largest_tensor(parts, length, chunk):
    """Returns the size of the largest tensor in the program of one training step."""
    inputs = [x[:1] for x in tensors(t=length, s=length)]
    if keras.backend.backend() == "jax":
        import jax

        program = jax.jit(lambda *x: gradients_of(*x, parts, chunk)).lower(*inputs).as_text()
        shapes = re.findall(r"tensor<((?:\d+x)+)", program)
    else:
        import tensorflow as tf

        run = tf.function(lambda *x: gradients_of(*x, parts, chunk), jit_compile=True)
        program = run.experimental_get_compiler_ir(*map(tf.constant, inputs))(stage="hlo")
        shapes = re.findall(r"\w\d+\[([\d,]+)\]", program)
    return max(math.prod(map(int, re.findall(r"\d+", shape))) for shape in shapes)


@pytest.mark.parametrize(
    "parts", [Visibility(), CAUSAL, Visibility(window=5)], ids=["plain", "causal", "window"]
)
def test_no_tensor_has_a_query_by_key_axis(parts):
    """Memory O(C S) and O((T + S) D), forwards and back."""
    length, rows = 512, 8
    assert largest_tensor(parts, length, None) >= N * length * length
    assert largest_tensor(parts, length, rows) <= N * length * max(rows, D)


def test_a_block_has_no_more_rows_than_there_are_queries():
    """Also where more are allowed: 24 queries are no block of 512, nor 12 + 12 of them 16 + 16."""
    whole = largest_tensor(Visibility(), 24, None)
    assert largest_tensor(Visibility(), 24, 512) <= whole
    assert largest_tensor(Visibility(), 24, 16) < N * 24 * 16
