import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import BahdanauAttention
from tests.contract import check_layer_contract, with_and_without_xla

B, T, S, A = 2, 3, 4, 5
REAL = np.arange(S) < np.array([[4], [2]])


@pytest.fixture
def tensors():
    """Query `(B, T, 3)`, value `(B, S, 2)` and key `(B, S, 4)`: all of different sizes."""
    rng = np.random.default_rng(0)
    shapes = [(B, T, 3), (B, S, 2), (B, S, 4)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


@pytest.fixture
def attention(tensors):
    keras.utils.set_random_seed(1)
    attention = BahdanauAttention(A)
    attention(*tensors)
    attention.bias.assign(np.linspace(-1, 1, A))
    return attention


def weights_of(attention):
    return [ops.convert_to_numpy(weight) for weight in attention.weights]


@pytest.mark.covers("BahdanauAttention", kind="oracle")
def test_bahdanau_attention_equals_its_equations(attention, tensors):
    """(6): a(q, k) = w . tanh(q W + k U + b); (7) the softmax over t; (8) the context."""
    query, value, key = tensors
    kernel_q, kernel_k, bias, w = weights_of(attention)
    context, weights = attention(query, value, key, value_mask=REAL, return_attention_scores=True)
    for b in range(B):
        n = REAL[b].sum()
        for t in range(T):
            e = [
                w[:, 0] @ np.tanh(query[b, t] @ kernel_q + k @ kernel_k + bias) for k in key[b, :n]
            ]
            alpha = np.exp(e) / np.exp(e).sum()
            np.testing.assert_allclose(weights[b, t, :n], alpha, rtol=1e-5)
            np.testing.assert_allclose(context[b, t], alpha @ value[b, :n], rtol=1e-4, atol=1e-6)


def test_equals_keras_additive_attention_on_projected_queries_and_keys(attention, tensors):
    query, value, key = tensors
    kernel_q, kernel_k, bias, w = weights_of(attention)
    theirs = keras.layers.AdditiveAttention()
    inputs = [query @ kernel_q, value, key @ kernel_k + bias]
    theirs.build([x.shape for x in inputs])
    theirs.set_weights([w[:, 0]])
    expected, expected_weights = theirs(inputs, mask=[None, REAL], return_attention_scores=True)
    context, weights = attention(query, value, key, value_mask=REAL, return_attention_scores=True)
    np.testing.assert_allclose(context, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-4, atol=1e-6)


def test_in_the_linear_range_of_tanh_the_query_cancels(attention, tensors):
    """w . (q W + k U) = w . q W + w . k U, and the softmax ignores what all keys have in common."""
    query, value, key = tensors
    kernel_q, kernel_k, bias, w = weights_of(attention)
    _, weights = attention(query, value, key, return_attention_scores=True)
    assert np.ptp(ops.convert_to_numpy(weights), axis=1).max() > 0.01
    small = 1e-3
    attention.set_weights([kernel_q * small, kernel_k * small, 0 * bias, w / small])
    _, weights = attention(query, value, key, return_attention_scores=True)
    e = key @ kernel_k @ w[:, 0]
    alpha = np.exp(e) / np.exp(e).sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, np.repeat(alpha[:, None], T, axis=1), atol=1e-3)


def test_weights_are_those_of_the_formula(tensors):
    for use_bias in (True, False):
        attention = BahdanauAttention(A, use_bias=use_bias)
        attention(*tensors)
        assert attention.count_params() == 3 * A + 4 * A + A + use_bias * A


@pytest.mark.parametrize("units", [0, -1, 2.0])
def test_units_must_be_a_positive_integer(units):
    with pytest.raises(ValueError, match="units: expected a positive integer"):
        BahdanauAttention(units)


@pytest.mark.covers("BahdanauAttention", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    rng = np.random.default_rng(2)
    sizes = {"query": (3, T, 3), "value": (3, S, 2), "key": (3, S, 4)}
    check_layer_contract(
        lambda: BahdanauAttention(A, use_bias=False, kernel_initializer="he_normal"),
        {name: rng.normal(size=size).astype("float32") for name, size in sizes.items()},
        parameters=(3 + 4 + 1) * A,
        masks={"query": "query_mask", "value": "value_mask", "key": "key_mask"},
        jit_compile=jit_compile,
    )
