import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import BahdanauAttention, MLPAttention
from tests.contract import check_layer_contract, with_and_without_xla

B, T, S = 2, 3, 4
REAL = np.arange(S) < np.array([[4], [2]])


@pytest.fixture
def tensors():
    """Query `(B, T, 3)`, value `(B, S, 2)` and key `(B, S, 5)`: all of different sizes."""
    rng = np.random.default_rng(0)
    shapes = [(B, T, 3), (B, S, 2), (B, S, 5)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def built(attention, tensors):
    """The layer with biases that are not zero."""
    keras.utils.set_random_seed(1)
    attention(*tensors)
    for bias in attention.biases:
        bias.assign(np.linspace(-1, 1, bias.shape[0]))
    return attention


@pytest.mark.covers("MLPAttention", kind="oracle")
@pytest.mark.parametrize("units", [6, (6,), (6, 5), (4, 3, 2)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_mlp_attention_equals_its_equations(units, use_bias, tensors):
    """(20), note 1: phi is a perceptron of [q; k]; the weights are its softmax over the keys."""
    query, value, key = tensors
    attention = built(MLPAttention(units, hidden_activation="relu", use_bias=use_bias), tensors)
    kernels, biases = (
        [ops.convert_to_numpy(x) for x in weights]
        for weights in (attention.kernels, attention.biases)
    )

    def phi(q, k):
        h = np.concatenate([q, k])
        for i, kernel in enumerate(kernels[:-1]):
            h = np.maximum(h @ kernel + (biases[i] if use_bias else 0), 0)
        return (h @ kernels[-1])[0]

    context, weights = attention(query, value, key, value_mask=REAL, return_attention_scores=True)
    for b in range(B):
        n = REAL[b].sum()
        for t in range(T):
            alpha = np.exp([phi(query[b, t], k) for k in key[b, :n]])
            alpha /= alpha.sum()
            np.testing.assert_allclose(weights[b, t, :n], alpha, rtol=1e-4)
            np.testing.assert_allclose(context[b, t], alpha @ value[b, :n], rtol=1e-4, atol=1e-6)


def test_equals_a_model_of_dense_layers_on_the_concatenation(tensors):
    query, value, key = tensors
    attention = built(MLPAttention((6, 5), hidden_activation="gelu"), tensors)
    dense = [keras.layers.Dense(n, "gelu") for n in (6, 5)]
    mlp = keras.Sequential([keras.Input((8,)), *dense, keras.layers.Dense(1, use_bias=False)])
    mlp.set_weights(attention.get_weights())
    pairs = np.concatenate(
        [np.repeat(query[:, :, None], S, axis=2), np.repeat(key[:, None], T, axis=1)], axis=-1
    )
    scores = ops.convert_to_numpy(mlp(pairs.reshape(-1, 8))).reshape(B, T, S)
    found = attention.score(query, attention.project_keys(key))
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-5)


def test_with_one_hidden_layer_of_tanh_it_is_bahdanau_attention(tensors):
    attention = built(MLPAttention(6), tensors)
    kernel, bias, w = attention.get_weights()
    bahdanau = BahdanauAttention(6)
    bahdanau(*tensors)
    bahdanau.set_weights([kernel[:3], kernel[3:], bias, w])
    found = attention(*tensors, value_mask=REAL, return_attention_scores=True)
    expected = bahdanau(*tensors, value_mask=REAL, return_attention_scores=True)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "linear",
    [lambda: MLPAttention(()), lambda: MLPAttention((6, 5), hidden_activation="linear")],
    ids=["no hidden layer", "linear hidden layers"],
)
def test_of_a_linear_phi_the_query_cancels(linear, tensors):
    """phi = w_q . q + w_k . k, and the softmax ignores what all keys have in common."""
    query, value, key = tensors
    attention = built(linear(), tensors)
    _, weights = attention(*tensors, return_attention_scores=True)
    kernel = np.linalg.multi_dot([np.eye(8), *map(ops.convert_to_numpy, attention.kernels)])
    alpha = np.exp(key @ kernel[3:, 0])
    alpha /= alpha.sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, np.repeat(alpha[:, None], T, axis=1), rtol=1e-4)
    _, curved = built(MLPAttention((6, 5)), tensors)(*tensors, return_attention_scores=True)
    assert np.ptp(ops.convert_to_numpy(curved), axis=1).max() > 0.01


@pytest.mark.parametrize("units", [0, -1, 2.0, (4, 0), "4", None])
def test_units_must_be_positive_integers(units):
    with pytest.raises(ValueError, match="units: expected a positive integer or a tuple"):
        MLPAttention(units)


@pytest.mark.covers("MLPAttention", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"units": 6, "activation": "sigmoid"}, (3 + 5 + 1 + 1) * 6),
        (
            {"units": (6, 4), "hidden_activation": "gelu", "kernel_initializer": "he_normal"},
            (3 + 5 + 1) * 6 + (6 + 1) * 4 + 4,
        ),
        ({"units": (6, 4), "use_bias": False}, (3 + 5) * 6 + 6 * 4 + 4),
    ],
    ids=["one", "two", "no_bias"],
)
def test_contract(options, parameters, jit_compile):
    rng = np.random.default_rng(2)
    sizes = {"query": (3, T, 3), "value": (3, S, 2), "key": (3, S, 5)}
    check_layer_contract(
        lambda: MLPAttention(**options),
        {name: rng.normal(size=size).astype("float32") for name, size in sizes.items()},
        parameters=parameters,
        masks={"query": "query_mask", "value": "value_mask", "key": "key_mask"},
        jit_compile=jit_compile,
    )
