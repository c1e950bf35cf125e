import keras
import numpy as np
import pytest

from seqkeras.cells.elman import Elman, ElmanCell
from seqkeras.cells.rnn import RNN
from seqkeras.cells.simple_rnn import SimpleRNN
from tests.cells.numpy_cells import randomized
from tests.contract import check_layer_contract, with_and_without_xla

N, M, K = 4, 2, 3  # units, features, outputs
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0 = RNG.normal(size=(3, N)).astype("float32")
PARAMETERS = N * (N + M) + N + N * K + K
ACTIVATIONS = {
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "linear": lambda a: a,
}


def oracle(weights, x, h, phi_h, phi_y):
    """Notes B (1)-(2), step by step."""
    W, U, b, V, c = weights
    outputs = []
    for t in range(x.shape[1]):
        h = phi_h(x[:, t] @ W + h @ U + b)
        outputs.append(phi_y(h @ V + c))
    return np.stack(outputs, axis=1), h


@pytest.mark.covers("Elman", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: Elman(N, "sigmoid", output_units=K, output_activation="tanh"),
        {"sequences": X},
        parameters=PARAMETERS,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("ElmanCell", kind="contract")
def test_cell_contract():
    check_layer_contract(
        lambda: ElmanCell(N, output_units=K, output_initializer="he_normal", use_bias=False),
        {"inputs": X[:, 0], "states": [H0]},
        parameters=PARAMETERS - N - K,
    )


@pytest.mark.covers("Elman", "ElmanCell", kind="oracle")
@pytest.mark.parametrize(
    ("phi_h", "phi_y"), list(zip(ACTIVATIONS, reversed(ACTIVATIONS), strict=True))
)
def test_equals_a_loop_in_numpy(phi_h, phi_y):
    layer = Elman(
        N,
        phi_h,
        output_units=K,
        output_activation=phi_y,
        return_sequences=True,
        return_state=True,
    )
    randomized(layer, X)
    expected = oracle(layer.get_weights(), X, H0, ACTIVATIONS[phi_h], ACTIVATIONS[phi_y])
    for ours, theirs in zip(layer(X, initial_state=[H0]), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_without_an_output_map_it_is_a_simple_rnn():
    theirs = randomized(SimpleRNN(N, return_sequences=True), X)
    ours = Elman(N, return_sequences=True)
    ours.build(X.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_array_equal(ours(X), theirs(X))


def test_the_output_does_not_feed_back():
    """So a `SimpleRNN` and a `Dense` after it compute the same."""
    layer = randomized(Elman(N, output_units=K, return_sequences=True), X)
    W, U, b, V, c = layer.get_weights()
    simple, dense = SimpleRNN(N, return_sequences=True), keras.layers.Dense(K)
    simple.build(X.shape)
    dense.build((None, None, N))
    simple.set_weights([W, U, b])
    dense.set_weights([V, c])
    np.testing.assert_allclose(layer(X), dense(simple(X)), rtol=1e-5, atol=1e-6)


def test_runs_in_the_rnn_of_keras():
    cell = ElmanCell(N, output_units=K, output_activation="softmax")
    ours = randomized(RNN(cell, return_sequences=True), X)
    theirs = keras.layers.RNN(cell, return_sequences=True)
    np.testing.assert_allclose(theirs(X), ours(X), rtol=1e-5, atol=1e-6)


def test_a_cell_above_another_reads_its_output():
    stack = RNN([ElmanCell(N, output_units=K), ElmanCell(N)])
    stack(X)
    assert tuple(stack.cell.cells[1].kernel.shape) == (K, N)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_units": 0}, "output_units: expected a positive integer, got 0"),
        ({"output_activation": "tanh"}, "expected output_units"),
        ({"output_initializer": "zeros"}, "expected output_units"),
    ],
)
def test_a_wrong_output_map_raises(options, message):
    with pytest.raises(ValueError, match=message):
        ElmanCell(N, **options)
