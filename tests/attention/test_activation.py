"""The row-wise activation as an argument of every attention by score; notes B 4.3."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import BahdanauAttention, DotAttention, GeneralAttention, ScaledDotAttention
from tests.contract import check_layer_contract
from tests.gradients import value_and_gradients

B, T, S, D = 3, 2, 4, 5
REAL = np.arange(S) < np.array([[4], [2], [0]])


@keras.saving.register_keras_serializable(package="seqkeras_tests")
def scaled_tanh(scores):
    return 0.5 * ops.tanh(scores)


ACTIVATIONS = {
    "hard": lambda e: np.eye(len(e))[np.argmax(e)],
    "identity": lambda e: e,
    "softplus": lambda e: np.log1p(np.exp(e)),
    scaled_tanh: lambda e: 0.5 * np.tanh(e),
}
every_activation = pytest.mark.parametrize(
    "activation", ACTIVATIONS, ids=lambda f: getattr(f, "__name__", f)
)


@pytest.fixture
def tensors():
    """Query `(B, T, D)`, value `(B, S, 2)` and key `(B, S, D)`."""
    rng = np.random.default_rng(0)
    shapes = [(B, T, D), (B, S, 2), (B, S, D)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def padded(array):
    return np.where(REAL[..., None], array, np.nan).astype("float32")


@every_activation
def test_attention_with_an_activation_equals_its_equation(activation, tensors):
    """(9): a(Q K^T / sqrt d) V, row by row over the real keys; a row without any is zero (X17)."""
    query, value, key = tensors
    context, weights = ScaledDotAttention(activation=activation)(
        query, padded(value), padded(key), value_mask=REAL, return_attention_scores=True
    )
    expected = np.zeros((B, T, S))
    for b in range(2):
        n = REAL[b].sum()
        for t in range(T):
            scores = key[b, :n] @ query[b, t].astype(float) / np.sqrt(D)
            expected[b, t, :n] = ACTIVATIONS[activation](scores)
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(context, expected @ value, rtol=1e-4, atol=1e-6)


@every_activation
def test_what_is_masked_has_no_influence_and_no_gradient(activation, tensors):
    """E07; the third row may look nowhere."""
    attention = BahdanauAttention(3, activation=activation)
    query, value, key = tensors
    attention(*tensors)

    def loss(query, value, key):
        return ops.sum(ops.sin(attention(query, value, key, value_mask=REAL)))

    found, of_inputs, of_weights = value_and_gradients(
        loss, [query, padded(value), padded(key)], attention.trainable_variables
    )
    clean, _, _ = value_and_gradients(loss, tensors)
    assert found == pytest.approx(clean, rel=1e-6)
    assert all(np.isfinite(gradient).all() for gradient in (*of_inputs, *of_weights))
    for gradient in of_inputs[1:]:
        np.testing.assert_array_equal(gradient[~REAL], 0.0)
    assert of_inputs[1][REAL].any()


def test_keras_has_the_default_by_another_name(tensors):
    """E06: scaled dot with the softmax is Keras' attention."""
    query, value, key = tensors
    theirs = keras.layers.Attention(use_scale=True)
    theirs.build([x.shape for x in tensors])
    theirs.set_weights([np.array(D**-0.5)])
    expected = theirs([query, value, key], mask=[None, REAL[:2].repeat([1, 2], 0)])
    found = ScaledDotAttention()(query, value, key, value_mask=REAL[:2].repeat([1, 2], 0))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_identity_is_associative(tensors):
    """Without a row's normaliser (Q K^T) V = Q (K^T V): attention in linear time."""
    query, value, key = tensors
    found = DotAttention(activation="identity")(query, value, key)
    np.testing.assert_allclose(found, query @ (key.swapaxes(1, 2) @ value), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "form", [DotAttention, GeneralAttention, lambda **o: BahdanauAttention(3, **o)]
)
def test_an_unknown_activation_raises_at_construction(form):
    with pytest.raises(ValueError, match="activation: expected one of .* got 'sotfmax'"):
        form(activation="sotfmax")


@pytest.mark.parametrize(
    ("activation", "parameters"), [("sigmoid", D * D), ("identity", D * D), (scaled_tanh, D * D)]
)
def test_contract_with_an_activation(activation, parameters):
    rng = np.random.default_rng(2)
    sizes = {"query": (3, T, D), "value": (3, S, 2), "key": (3, S, D)}
    check_layer_contract(
        lambda: GeneralAttention(activation=activation),
        {name: rng.normal(size=size).astype("float32") for name, size in sizes.items()},
        parameters=parameters,
        masks={"query": "query_mask", "value": "value_mask", "key": "key_mask"},
    )
