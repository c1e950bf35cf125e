"""What every form of attention must do; the values of each form are in its own file."""

import keras
import numpy as np
import pytest
from keras import ops, tree

from seqkeras.attention.base import ScoredAttention
from seqkeras.layers import (
    BahdanauAttention,
    DotAttention,
    GeneralAttention,
    HardAttention,
    MLPAttention,
    ScaledDotAttention,
)
from tests.gradients import value_and_gradients

FORMS = {
    "bahdanau": lambda: BahdanauAttention(6),
    "dot": DotAttention,
    "general": GeneralAttention,
    "hard": lambda: HardAttention(GeneralAttention()),
    "mlp": lambda: MLPAttention((6, 5), hidden_activation="softplus"),
    "scaled_dot": ScaledDotAttention,
}
B, T, S, D = 3, 4, 5, 6
LENGTHS = [5, 3, 1]
REAL = np.arange(S) < np.array(LENGTHS)[:, None]


@pytest.fixture(params=sorted(FORMS))
def attention(request):
    keras.utils.set_random_seed(1)
    return FORMS[request.param]()


@pytest.fixture
def tensors():
    """Query `(B, T, D)`, value and key `(B, S, D)`."""
    rng = np.random.default_rng(2)
    return [rng.normal(size=(B, size, D)).astype("float32") for size in (T, S, S)]


def run(attention, *args, **kwargs):
    """Returns context and weights as arrays."""
    outputs = attention(*args, return_attention_scores=True, **kwargs)
    return [ops.convert_to_numpy(output) for output in outputs]


def garbage(array, mask):
    """The array with NaN where the mask is False."""
    return np.where(mask[..., None], array, np.nan).astype("float32")


def test_weights_of_a_query_sum_to_one(attention, tensors):
    """X26: the softmax of a query runs over the memory. X08: weights have S entries, v has Dv."""
    query, value, key = tensors
    context, weights = run(attention, query, value[..., :2], key, value_mask=REAL)
    assert weights.shape == (B, T, S)
    assert context.shape == (B, T, 2)
    assert np.all(weights >= 0)
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)


def test_context_is_the_mean_of_the_values_by_the_weights(attention, tensors):
    query, value, key = tensors
    context, weights = run(attention, query, value, key)
    np.testing.assert_allclose(context, np.einsum("bts,bsd->btd", weights, value), atol=1e-5)
    inside = (value.min(1, keepdims=True) <= context) & (context <= value.max(1, keepdims=True))
    assert inside.all()  # the convex hull lies in this box


def test_context_over_the_corners_of_the_simplex_is_the_weights(attention, tensors):
    query, _, key = tensors
    corners = np.broadcast_to(np.eye(S, dtype="float32"), (B, S, S))
    context, weights = run(attention, query, corners, key)
    np.testing.assert_allclose(context, weights, atol=1e-6)


def test_one_position_gets_all_the_weight(attention, tensors):
    query, value, _ = tensors
    context, weights = run(attention, query, value[:, :1])
    np.testing.assert_array_equal(weights, np.ones((B, T, 1)))
    np.testing.assert_allclose(context, np.repeat(value[:, :1], T, axis=1), rtol=1e-6)


def test_permuting_the_memory_permutes_the_weights_and_leaves_the_context(attention, tensors):
    """X14: across two sequences, attention is invariant to permuting keys and values together."""
    query, value, key = tensors
    order = np.random.default_rng(0).permutation(S)
    context, weights = run(attention, query, value, key, value_mask=REAL)
    moved = [array[:, order] for array in (value, key, REAL)]
    new_context, new_weights = run(attention, query, *moved[:2], value_mask=moved[2])
    np.testing.assert_allclose(new_weights, weights[:, :, order], atol=1e-6)
    np.testing.assert_allclose(new_context, context, atol=1e-5)


def test_self_attention_is_equivariant(attention, tensors):
    """X14: within one sequence, permuting it permutes the output."""
    _, x, _ = tensors
    order = np.random.default_rng(0).permutation(S)
    context, _ = run(attention, x, x)
    permuted, _ = run(attention, x[:, order], x[:, order])
    np.testing.assert_allclose(permuted, context[:, order], atol=1e-5)


def test_values_are_the_default_keys(attention, tensors):
    query, value, _ = tensors
    given, default = run(attention, query, value, value), run(attention, query, value)
    for found, expected in zip(given, default, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_masking_is_deleting(attention, tensors):
    query, value, key = tensors
    context, weights = run(
        attention, query, garbage(value, REAL), garbage(key, REAL), value_mask=REAL
    )
    for b, n in enumerate(LENGTHS):
        alone = run(attention, query[b : b + 1], value[b : b + 1, :n], key[b : b + 1, :n])
        np.testing.assert_allclose(context[b], alone[0][0], atol=1e-5)
        np.testing.assert_allclose(weights[b, :, :n], alone[1][0], atol=1e-6)
        np.testing.assert_array_equal(weights[b, :, n:], 0.0)


def test_value_and_key_mask_both_count(attention, tensors):
    query, value, key = tensors
    value_mask, key_mask = np.random.default_rng(4).random((2, B, S)) < 0.7
    both = run(attention, query, value, key, value_mask=value_mask, key_mask=key_mask)
    one = run(attention, query, value, key, value_mask=value_mask & key_mask)
    np.testing.assert_array_equal(both[1], one[1])
    np.testing.assert_array_equal(both[1][~np.broadcast_to(key_mask[:, None], (B, T, S))], 0.0)


def test_what_is_masked_has_no_gradient(attention, tensors):
    query, value, key = tensors
    attention(query, value, key)

    def loss(query, value, key):
        return ops.sum(ops.sin(attention(query, value, key, value_mask=REAL)))

    padded = [query, garbage(value, REAL), garbage(key, REAL)]
    found = value_and_gradients(loss, padded, attention.trainable_variables)
    clean = value_and_gradients(loss, tensors, attention.trainable_variables)
    for gradient, expected in zip(tree.flatten(found), tree.flatten(clean), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-6)
    for gradient in found[1][1:]:
        np.testing.assert_array_equal(gradient[~REAL], 0.0)
        assert np.any(gradient[REAL])


def test_a_fully_masked_row_is_zero_with_finite_gradients(attention, tensors):
    nowhere = REAL.copy()
    nowhere[1] = False
    query, value, key = tensors[0], garbage(tensors[1], nowhere), garbage(tensors[2], nowhere)
    context, weights = run(attention, query, value, key, value_mask=nowhere)
    np.testing.assert_array_equal(context[1], 0.0)
    np.testing.assert_array_equal(weights[1], 0.0)
    assert np.all(context[0])

    def loss(query, value, key):
        return ops.sum(ops.sin(attention(query, value, key, value_mask=nowhere)))

    found = value_and_gradients(loss, [query, value, key], attention.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in tree.flatten(found))
    for gradient in found[1]:
        np.testing.assert_array_equal(gradient[1], 0.0)


def test_a_masked_query_gets_a_zero_context(attention, tensors):
    query, value, key = tensors
    asks = np.arange(T) < np.array([4, 2, 1])[:, None]
    attention(query, value, key)

    def layer(query):
        return attention(query, value, key, query_mask=asks)

    context = ops.convert_to_numpy(layer(garbage(query, asks)))
    np.testing.assert_array_equal(context[~asks], 0.0)
    np.testing.assert_array_equal(context[asks], run(attention, query, value, key)[0][asks])
    _, [of_query], of_weights = value_and_gradients(
        lambda query: ops.sum(ops.sin(layer(query))),
        [garbage(query, asks)],
        attention.trainable_variables,
    )
    assert all(np.isfinite(gradient).all() for gradient in (of_query, *of_weights))
    np.testing.assert_array_equal(of_query[~asks], 0.0)


def test_attention_mask_chooses_for_every_query(attention, tensors):
    query, value, key = tensors
    may_look = np.random.default_rng(3).random((B, T, S)) < 0.6
    may_look[0, 0] = False
    context, weights = run(attention, query, value, key, attention_mask=may_look)
    np.testing.assert_array_equal(weights[~may_look], 0.0)
    np.testing.assert_array_equal(context[0, 0], 0.0)
    for b, t in np.argwhere(may_look.any(-1)):
        seen = may_look[b, t]
        alone, _ = run(attention, query[b, t][None, None], value[b][seen][None], key[b][seen][None])
        np.testing.assert_allclose(context[b, t], alone[0, 0], atol=1e-5)


def test_causal_mask_is_the_lower_triangle(attention, tensors):
    query, value, key = tensors
    lower = np.tril(np.ones((T, S), bool))[None].repeat(B, 0)
    causal = run(attention, query, value, key, use_causal_mask=True, value_mask=REAL)
    explicit = run(attention, query, value, key, attention_mask=lower, value_mask=REAL)
    np.testing.assert_array_equal(causal[0], explicit[0])
    np.testing.assert_array_equal(causal[1][~lower], 0.0)
    both = run(attention, query, value, key, use_causal_mask=True, attention_mask=~lower)
    np.testing.assert_array_equal(both[1], 0.0)


def test_asking_for_scores_never_changes_the_context(attention, tensors):
    """Keras' own `MultiHeadAttention` does change it, where a row is fully masked."""
    query, value, key = tensors
    nowhere = REAL.copy()
    nowhere[1] = False
    context, _ = run(attention, query, value, key, value_mask=nowhere)
    without = attention(query, value, key, value_mask=nowhere)
    np.testing.assert_array_equal(ops.convert_to_numpy(without), context)


def test_a_prepared_memory_gives_the_same(attention, tensors):
    query, value, key = tensors
    whole = run(attention, query, value, key, value_mask=REAL)
    memory = attention.prepare(value, key, REAL)
    for t in range(T):
        context, weights = attention.attend(ops.convert_to_tensor(query[:, t : t + 1]), memory)
        np.testing.assert_allclose(context[:, 0], whole[0][:, t], atol=1e-6)
        np.testing.assert_allclose(weights[:, 0], whole[1][:, t], atol=1e-6)


def test_masks_that_keras_carries_are_used_and_passed_on(attention):
    query_ids = np.array([[5, 3, 0, 0], [1, 2, 4, 6]])
    value_ids = np.array([[2, 1, 0], [4, 0, 0]])
    embedding = keras.layers.Embedding(8, D, mask_zero=True)
    query, value = embedding(query_ids), embedding(value_ids)
    context = attention(query, value)
    plain = [ops.convert_to_numpy(x) for x in (query, value)]
    expected = attention(*plain, query_mask=query_ids != 0, value_mask=value_ids != 0)
    np.testing.assert_array_equal(ops.convert_to_numpy(context), ops.convert_to_numpy(expected))
    np.testing.assert_array_equal(ops.convert_to_numpy(context._keras_mask), query_ids != 0)


def test_a_form_without_a_score_says_so():
    with pytest.raises(NotImplementedError, match="ScoredAttention must define score"):
        ScoredAttention()(np.ones((1, 2, 3)), np.ones((1, 2, 3)))
