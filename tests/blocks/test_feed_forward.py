import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import FeedForward
from tests.contract import check_layer_contract, with_and_without_xla

B, T, D, H = 3, 4, 5, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, D)).astype("float32")
F = {
    "swiglu": lambda a: a / (1 + np.exp(-a)),
    "reglu": lambda a: np.maximum(a, 0),
    "glu": lambda a: 1 / (1 + np.exp(-a)),
    "geglu": lambda a: ops.convert_to_numpy(keras.activations.gelu(a.astype("float32"))),
}


def randomized(*args, **options):
    layer = FeedForward(*args, **options)
    layer.build(X.shape)
    layer.set_weights([RNG.normal(size=w.shape) for w in layer.weights])
    return layer


def weights_of(layer):
    return [ops.convert_to_numpy(w) for w in layer.weights]


@pytest.mark.covers("FeedForward", kind="oracle")
@pytest.mark.parametrize("use_bias", [True, False])
def test_equals_the_equation_at_every_position(use_bias):
    layer = randomized(H, use_bias=use_bias)
    named = {w.name: ops.convert_to_numpy(w) for w in layer.weights}
    W, U = named["hidden_kernel"], named["output_kernel"]
    b, c = (named.get(name, 0.0) for name in ("hidden_bias", "output_bias"))
    expected = [[np.maximum(x @ W + b, 0.0) @ U + c for x in row] for row in X]
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.covers("FeedForward", kind="oracle")
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_equals_two_1x1_convolutions_of_keras(activation):
    layer = randomized(H, activation)
    convolutions = keras.Sequential(
        [keras.layers.Conv1D(H, 1, activation=activation), keras.layers.Conv1D(D, 1)]
    )
    convolutions.build(X.shape)
    W, b, U, c = weights_of(layer)
    convolutions.set_weights([W[None], b, U[None], c])
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(X)),
        ops.convert_to_numpy(convolutions(X)),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.covers("FeedForward", kind="oracle")
@pytest.mark.parametrize("activation", sorted(F))
def test_gated_forms_equal_their_equation(activation):
    layer = randomized(H, activation)
    kernel, bias, U, c = weights_of(layer)
    (W, V), (b, d) = np.split(kernel, 2, axis=1), np.split(bias, 2)
    expected = (F[activation](X @ W + b) * (X @ V + d)) @ U + c
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), expected, rtol=1e-4, atol=1e-4)


def test_a_position_depends_on_itself_only():
    layer = randomized(H)
    changed = X.copy()
    changed[:, 2] = 9.0
    before, after = (ops.convert_to_numpy(layer(x)) for x in (X, changed))
    np.testing.assert_array_equal(np.delete(after, 2, axis=1), np.delete(before, 2, axis=1))
    assert (after[:, 2] != before[:, 2]).any()


def test_any_rank():
    layer = randomized(H)
    whole = ops.convert_to_numpy(layer(X))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X[:, 1])), whole[:, 1], rtol=1e-5)


def test_dropout_is_on_the_hidden_layer_and_only_in_training():
    """With U = I, what was dropped shows as zeros."""
    layer = FeedForward(D, "linear", dropout=0.5, seed=1)
    layer.build(X.shape)
    layer.output_kernel.assign(np.eye(D))
    plain, dropped = (ops.convert_to_numpy(layer(X, training=t)) for t in (False, True))
    zero = dropped == 0
    assert 0 < zero.sum() < zero.size
    np.testing.assert_allclose(dropped[~zero], 2 * plain[~zero], rtol=1e-5)


def test_an_activation_may_be_a_function():
    layer = FeedForward(H, keras.activations.gelu)
    assert layer.get_config()["activation"] == "gelu"
    assert FeedForward.from_config(FeedForward(H, "geglu").get_config()).gated == "geglu"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_units": 0}, "hidden_units: expected a positive integer, got 0"),
        ({"hidden_units": 4, "activation": "swishglu"}, "swishglu"),
        ({"hidden_units": 4, "dropout": 1.5}, "1.5"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        FeedForward(**options)


@pytest.mark.covers("FeedForward", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize(
    ("activation", "use_bias", "parameters"),
    [("relu", True, D * H + H + H * D + D), ("swiglu", False, 3 * D * H)],
)
def test_contract(activation, use_bias, parameters, jit_compile):
    check_layer_contract(
        lambda: FeedForward(
            H, activation, use_bias=use_bias, kernel_initializer="he_normal", seed=3
        ),
        {"inputs": X},
        parameters=parameters,
        masks={"inputs": "mask"},
        zero_when_masked=False,
        jit_compile=jit_compile,
    )
