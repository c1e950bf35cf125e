import numpy as np
import pytest
from keras import ops, tree

from seqkeras.ops.attention import Visibility, additive, weights_of, whole_attention
from seqkeras.ops.attention.whole import grouped_matmul
from seqkeras.ops.dropout import keep_mask
from tests.gradients import value_and_gradients
from tests.ops.attention import naive

B, N, T, S, D, DV = 2, 4, 3, 5, 6, 2
KEYS = np.arange(S) < np.array([[5], [3]])
GROUPS = pytest.mark.parametrize("groups", [1, 2, N])


def tensors(groups=N, t=T, s=S, scale=1.0):
    """Query `(B, N, T, D)`, key `(B, G, S, D)` and value `(B, G, S, Dv)`."""
    rng = np.random.default_rng(0)
    shapes = [(B, N, t, D), (B, groups, s, D), (B, groups, s, DV)]
    query, key, value = (rng.normal(size=shape).astype("float32") for shape in shapes)
    return scale * query, key, value


def arrays(outputs):
    return [ops.convert_to_numpy(y).astype("float32") for y in outputs]


@GROUPS
def test_equals_one_query_at_a_time(groups):
    query, key, value = tensors(groups)
    pattern = np.random.default_rng(1).random((B, N, T, S)) < 0.6
    bias = np.random.default_rng(2).normal(size=(N, T, S)).astype("float32")
    parts = Visibility(KEYS, pattern, causal=True, offset=1)
    found = whole_attention(query, key, value, additive(parts, T, S), bias)
    expected = naive.attention(query, key, value, naive.visible(B, T, S, parts), bias)
    for ours, theirs in zip(arrays(found), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_scale_is_that_of_queries_and_keys():
    """X09: sqrt(D) of a head's queries, whatever the size of its values."""
    query, key, value = tensors()
    for size in (D, 2):
        _, weights = whole_attention(query[..., :size], key[..., :size], value)
        scores = np.einsum("bntd,bnsd->bnts", query[..., :size], key[..., :size]) / np.sqrt(size)
        e = np.exp(scores)
        np.testing.assert_allclose(*arrays([weights, e / e.sum(-1, keepdims=True)]), atol=1e-6)


@GROUPS
def test_groups_are_repeated_keys_and_values(groups):
    x, y = np.random.default_rng(3).normal(size=(2, B, N, T, S)).astype("float32")
    y = np.swapaxes(y, 2, 3)[:, :groups]
    found = grouped_matmul(x, y)
    np.testing.assert_allclose(found, x @ np.repeat(y, N // groups, axis=1), atol=1e-5)


def test_masking_is_deleting():
    """E07, values and gradients."""
    query, key, value = tensors()
    mask = additive(Visibility(np.repeat(KEYS[1:], B, axis=0)), T, S)

    def masked(query, key, value):
        return ops.sum(ops.sin(whole_attention(query, key, value, mask)[0]))

    def deleted(query, key, value):
        return ops.sum(ops.sin(whole_attention(query, key[:, :, :3], value[:, :, :3])[0]))

    found = value_and_gradients(masked, [query, key, value])
    expected = value_and_gradients(deleted, [query, key, value])
    for ours, theirs in zip(tree.flatten(found), tree.flatten(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for gradient in found[1][1:]:
        np.testing.assert_array_equal(gradient[:, :, 3:], 0.0)


@pytest.mark.parametrize("nowhere", ["keys", "queries"])
def test_a_row_that_sees_nothing_is_zero_with_zero_gradients(nowhere):
    query, key, value = tensors()
    keys = KEYS & np.array([[True], [False]]) if nowhere == "keys" else KEYS
    queries = np.repeat([[True], [False]], T, axis=1) if nowhere == "queries" else None
    mask = additive(Visibility(keys, queries=queries), T, S)
    context, weights = arrays(whole_attention(query, key, value, mask))
    assert context[0].all()
    np.testing.assert_array_equal(context[1], 0.0)
    np.testing.assert_array_equal(weights[1], 0.0)
    _, gradients, _ = value_and_gradients(
        lambda *x: ops.sum(ops.sin(whole_attention(*x, mask)[0])), [query, key, value]
    )
    for gradient in gradients:
        assert gradient[0].any()
        np.testing.assert_array_equal(gradient[1], 0.0)


def test_dropped_weights_are_those_of_the_seed():
    query, key, value = tensors()
    seed = np.array([3, 4], "uint32")
    context, weights = whole_attention(query, key, value, dropout=0.4, seed=seed)
    keep = ops.convert_to_numpy(keep_mask((B, N, T, S), 0.4, seed))
    np.testing.assert_allclose(np.unique(keep), [0.0, 1 / 0.6], rtol=1e-4)
    expected = naive.attention(query, key, value, keep=keep)
    np.testing.assert_allclose(context, expected[0], atol=1e-5)
    np.testing.assert_allclose(weights, expected[1], atol=1e-5)  # those before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_has_weights_worked_out_in_float32(dtype):
    inputs = tensors()
    mask = additive(Visibility(KEYS), T, S)
    half = whole_attention(*(ops.cast(x, dtype) for x in inputs), mask)
    assert all(dtype in str(y.dtype) for y in half)
    for ours, exact in zip(arrays(half), arrays(whole_attention(*inputs, mask)), strict=True):
        np.testing.assert_allclose(ours, exact, atol=0.03)


def test_scores_of_ten_thousand_are_a_choice():
    query, key, value = tensors(scale=1e4)
    mask = additive(Visibility(KEYS), T, S)
    context, weights = arrays(whole_attention(query, key, value, mask))
    seen = naive.visible(B, T, S, Visibility(KEYS))
    np.testing.assert_allclose(context, naive.attention(query, key, value, seen)[0], atol=1e-4)
    np.testing.assert_allclose(weights.max(-1), 1.0, atol=1e-3)


def test_one_key_gets_all_the_weight():
    query, key, value = tensors(s=1)
    context, weights = arrays(whole_attention(query, key, value))
    np.testing.assert_array_equal(weights, 1.0)
    np.testing.assert_array_equal(context, np.repeat(value, T, axis=2))


@GROUPS
@pytest.mark.parametrize(("t", "s"), [(0, S), (T, 0)])
def test_nothing_to_ask_or_nothing_to_see(t, s, groups):
    context, weights = whole_attention(*tensors(groups, t, s))
    assert tuple(weights.shape) == (B, N, t, s)
    np.testing.assert_array_equal(context, np.zeros((B, N, t, DV)))


def test_another_activation_gets_the_scores_and_what_is_visible():
    seen = {}

    def weigh(scores, mask):
        seen.update(scores=scores, mask=mask)
        return ops.where(mask, scores, 0.0)

    query, key, value = tensors()
    queries = np.arange(T) < np.array([[2], [3]])
    mask = additive(Visibility(KEYS, queries=queries), T, S)
    context, weights = arrays(whole_attention(query, key, value, mask, weigh=weigh))
    scores = np.einsum("bntd,bnsd->bnts", query, key) / np.sqrt(D)
    np.testing.assert_allclose(seen["scores"], scores, atol=1e-5)
    np.testing.assert_array_equal(seen["mask"], KEYS[:, None, None])
    expected = scores * KEYS[:, None, None] * queries[:, None, :, None]
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    np.testing.assert_allclose(context, expected @ value, atol=1e-5)


def test_without_a_mask_the_activation_gets_none():
    scores = ops.ones((B, N, T, S))
    masks = []
    weights_of(scores, None, lambda scores, mask: masks.append(mask) or scores)
    assert masks == [None]
