import math

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import DotAttention, GeneralAttention, ScaledDotAttention
from tests.contract import check_layer_contract, with_and_without_xla

B, T, S, D = 2, 3, 4, 5
REAL = np.arange(S) < np.array([[4], [2]])


@pytest.fixture
def tensors():
    """Query `(B, T, D)`, value `(B, S, 2)` and key `(B, S, D)`."""
    rng = np.random.default_rng(0)
    shapes = [(B, T, D), (B, S, 2), (B, S, D)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def check_values(attention, tensors, score):
    """Compares with a loop over every query and key."""
    query, value, key = tensors
    context, weights = attention(query, value, key, value_mask=REAL, return_attention_scores=True)
    for b in range(B):
        n = REAL[b].sum()
        for t in range(T):
            e = [score(query[b, t], k) for k in key[b, :n]]
            alpha = np.exp(e) / np.exp(e).sum()
            np.testing.assert_allclose(weights[b, t, :n], alpha, rtol=1e-4)
            np.testing.assert_allclose(context[b, t], alpha @ value[b, :n], rtol=1e-4, atol=1e-6)


@pytest.mark.covers("DotAttention", kind="oracle")
def test_dot_attention_equals_its_equation(tensors):
    check_values(DotAttention(), tensors, lambda q, k: q @ k)


@pytest.mark.covers("ScaledDotAttention", kind="oracle")
def test_scaled_dot_attention_has_the_scale_inside_the_softmax(tensors):
    """X16: divided outside of it, the weights would sum to 1 / sqrt(d)."""
    check_values(ScaledDotAttention(), tensors, lambda q, k: q @ k / math.sqrt(D))


@pytest.mark.covers("GeneralAttention", kind="oracle")
def test_general_attention_equals_its_equation_for_different_sizes(tensors):
    query, value, key = tensors
    tensors = [query[..., :3], value, key]
    attention = GeneralAttention()
    attention(*tensors)
    kernel = ops.convert_to_numpy(attention.kernel)
    assert kernel.shape == (3, D)
    check_values(attention, tensors, lambda q, k: q @ kernel @ k)


@pytest.mark.parametrize(
    ("attention", "scale"), [(DotAttention, 1.0), (ScaledDotAttention, D**-0.5)]
)
def test_equals_keras_attention(attention, scale, tensors):
    query, value, key = tensors
    theirs = keras.layers.Attention(use_scale=True, score_mode="dot")
    theirs.build([x.shape for x in tensors])
    theirs.set_weights([np.array(scale)])
    expected = theirs([query, value, key], mask=[None, REAL], return_attention_scores=True)
    found = attention()(query, value, key, value_mask=REAL, return_attention_scores=True)
    for ours, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-4, atol=1e-6)


def test_general_with_the_identity_is_dot(tensors):
    general = GeneralAttention(kernel_initializer="identity")
    found = general(*tensors, value_mask=REAL, return_attention_scores=True)
    expected = DotAttention()(*tensors, value_mask=REAL, return_attention_scores=True)
    for ours, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-5)


def test_scaling_keeps_the_variance_of_the_scores():
    """Var(q . k) = n for independent entries of variance 1; divided by sqrt(n) it is 1."""
    n, pairs = 64, 300
    rng = np.random.default_rng(5)
    query, key = ops.convert_to_tensor(rng.normal(size=(2, 1, pairs, n)).astype("float32"))
    variance = np.var(ops.convert_to_numpy(DotAttention().score(query, key)))
    scaled = np.var(ops.convert_to_numpy(ScaledDotAttention().score(query, key)))
    assert variance == pytest.approx(n, rel=0.05)
    assert scaled == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("attention", [DotAttention, ScaledDotAttention])
def test_query_and_key_of_different_sizes_raise(attention, tensors):
    query, value, key = tensors
    with pytest.raises(ValueError, match="query and key of one size, got 3 and 5"):
        attention()(query[..., :3], value, key)


@pytest.mark.covers("DotAttention", "ScaledDotAttention", "GeneralAttention", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize(
    ("factory", "parameters"),
    [
        (DotAttention, 0),
        (ScaledDotAttention, 0),
        (lambda: GeneralAttention(kernel_initializer="he_normal"), D * D),
    ],
    ids=["dot", "scaled_dot", "general"],
)
def test_contract(factory, parameters, jit_compile):
    rng = np.random.default_rng(2)
    sizes = {"query": (3, T, D), "value": (3, S, 2), "key": (3, S, D)}
    check_layer_contract(
        factory,
        {name: rng.normal(size=size).astype("float32") for name, size in sizes.items()},
        parameters=parameters,
        masks={"query": "query_mask", "value": "value_mask", "key": "key_mask"},
        jit_compile=jit_compile,
    )
