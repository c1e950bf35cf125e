import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import SimpleRNN, SimpleRNNCell
from tests.cells.numpy_cells import elman, randomized, run
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

N, M = 4, 2  # units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0 = RNG.normal(size=(3, N)).astype("float32")
PARAMETERS = N * (N + M) + N


@pytest.mark.covers("SimpleRNN", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: SimpleRNN(N, activation="sigmoid"),
        {"sequences": X},
        parameters=PARAMETERS,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("SimpleRNNCell", kind="contract")
def test_cell_contract():
    check_layer_contract(
        lambda: SimpleRNNCell(N, kernel_regularizer="l2", recurrent_constraint="max_norm"),
        {"inputs": X[:, 0], "states": [H0]},
        parameters=PARAMETERS,
    )


@pytest.mark.covers("SimpleRNN", "SimpleRNNCell", kind="oracle")
def test_equals_a_loop_in_numpy():
    layer = randomized(SimpleRNN(N, return_sequences=True), X)
    expected, _ = run(elman, layer.get_weights(), X, [H0])
    np.testing.assert_allclose(layer(X, initial_state=[H0]), expected, rtol=1e-5, atol=1e-6)


def test_equals_keras_with_its_weights():
    theirs = randomized(keras.layers.SimpleRNN(N, activation="relu", return_sequences=True), X)
    ours = SimpleRNN(N, activation="relu", return_sequences=True)
    ours.build(X.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(X), theirs(X), rtol=1e-5, atol=1e-6)


def test_is_a_feed_forward_net_with_tied_weights():
    """Notes A (5): the gradient of the tied U is the sum of those of its copies, one for each t."""
    layer = randomized(SimpleRNN(N), X)
    kernel, recurrent, bias = layer.get_weights()

    def untied(*copies):
        h = ops.zeros((len(X), N))
        for t, U_t in enumerate(copies):
            h = ops.tanh(ops.matmul(X[:, t], kernel) + ops.matmul(h, U_t) + bias)
        return ops.sum(ops.square(h))

    def tied():
        return ops.sum(ops.square(layer(X)))

    steps = X.shape[1]
    value, of_copies, _ = value_and_gradients(untied, [recurrent] * steps)
    tied_value, _, of_weights = value_and_gradients(tied, [], layer.trainable_weights)
    np.testing.assert_allclose(tied_value, value, rtol=1e-6)
    np.testing.assert_allclose(of_weights[1], sum(of_copies), rtol=1e-4, atol=1e-5)
    assert all(np.abs(gradient).max() > 1e-4 for gradient in of_copies[1:])
