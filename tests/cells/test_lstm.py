import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import LSTM, LSTMCell
from tests.cells.numpy_cells import lstm, randomized, run, sigmoid
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

N, M = 4, 2  # units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0, C0 = RNG.normal(size=(2, 3, N)).astype("float32")
PARAMETERS = 4 * (N * (N + M) + N)
GATES = {"i": 0, "f": 1, "c": 2, "o": 3}


def clamped(layer, **biases):
    """Sets the biases of some gates to values that saturate them whatever x and h are."""
    kernel, recurrent, bias = layer.get_weights()
    for gate, value in biases.items():
        bias[GATES[gate] * N : (GATES[gate] + 1) * N] = value
    layer.set_weights([kernel, recurrent, bias])
    return layer


def random_lstm(**options):
    return randomized(LSTM(N, **options), X)


def random_cell():
    return randomized(LSTMCell(N), X[:, 0], [H0, C0])


@pytest.mark.covers("LSTM", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: LSTM(N, return_sequences=True, return_state=True, unit_forget_bias=False),
        {"sequences": X, "initial_state": [H0, C0]},
        parameters=PARAMETERS,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("LSTMCell", kind="contract")
def test_cell_contract():
    check_layer_contract(
        lambda: LSTMCell(N, recurrent_activation="hard_sigmoid", bias_regularizer="l1"),
        {"inputs": X[:, 0], "states": [H0, C0]},
        parameters=PARAMETERS,
    )


@pytest.mark.covers("LSTM", "LSTMCell", kind="oracle")
def test_equals_a_loop_in_numpy():
    """Erratum X02 in passing: the h that enters step t is o_{t-1} * tanh(c_{t-1})."""
    layer = random_lstm(return_sequences=True, return_state=True)
    expected, (h, c) = run(lstm, layer.get_weights(), X, [H0, C0])
    outputs = layer(X, initial_state=[H0, C0])
    for ours, oracle in zip(outputs, (expected, h, c), strict=True):
        np.testing.assert_allclose(ours, oracle, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("use_bias", [True, False])
def test_equals_keras_with_its_weights(use_bias):
    theirs = randomized(keras.layers.LSTM(N, use_bias=use_bias, return_sequences=True), X)
    ours = LSTM(N, use_bias=use_bias, return_sequences=True)
    ours.build(X.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(X), theirs(X), rtol=1e-5, atol=1e-6)


def forget_biases_at_one(model):
    bias = model.get_weights()[2]
    np.testing.assert_array_equal(bias, np.repeat([0.0, 1.0, 0.0, 0.0], N))


def test_the_forget_bias_starts_at_one():
    layer = LSTM(N)
    layer.build(X.shape)
    forget_biases_at_one(layer)


def test_the_forget_bias_starts_at_one_when_fit_builds_the_model():
    model = keras.Sequential([LSTM(N)])
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    model.fit(X, H0, verbose=0)
    forget_biases_at_one(model)


def test_the_gates_are_logistic():
    """Erratum X06: 1 / (1 + e^-x)."""
    gate = LSTMCell(N).recurrent_activation
    values = ops.convert_to_numpy(gate(ops.convert_to_tensor([-1.0, 1.0])))
    np.testing.assert_allclose(values, [1 / (1 + np.e), 1 / (1 + 1 / np.e)], rtol=1e-6)


def test_open_forget_and_closed_input_gate_keep_the_cell_state():
    """f = 1 and i = 0: c is constant and dc_T/dc_0 is the identity."""
    layer = clamped(random_lstm(return_state=True), f=200.0, i=-200.0)
    direction = RNG.normal(size=C0.shape).astype("float32")

    def projected(c_0):
        _, _, c = layer(X, initial_state=[H0, c_0])
        return ops.sum(c * direction)

    _, _, c = layer(X, initial_state=[H0, C0])
    np.testing.assert_array_equal(c, C0)
    _, (gradient,), _ = value_and_gradients(projected, [C0])
    np.testing.assert_allclose(gradient, direction, rtol=1e-6)


def test_the_cell_state_counts_steps():
    """Erratum X01: with i = f = 1 and a candidate near 1, c_t is t: not bounded by 1."""
    layer = clamped(random_lstm(return_state=True), i=200.0, f=200.0, c=200.0)
    _, _, c = layer(X)
    np.testing.assert_allclose(c, np.full(c.shape, X.shape[1]), rtol=1e-6)


def test_states_are_bounded():
    """|h_t| < 1 and |c_t| < t from c_0 = 0, with weights large enough to come near."""
    cell = LSTMCell(N)
    cell.build((None, M))
    cell.set_weights([RNG.normal(size=w.shape, scale=3) for w in cell.get_weights()])
    states = cell.get_initial_state(batch_size=len(X))
    for t in range(X.shape[1]):
        _, states = cell(X[:, t], states)
        h, c = (np.abs(ops.convert_to_numpy(s)) for s in states)
        assert h.max() < 1
        assert c.max() < t + 1


def test_the_candidate_does_not_read_the_cell_state():
    """Erratum X28: with f = 0 and i = 1 the new c is the candidate, whatever c_{t-1} was."""
    cell = clamped(random_cell(), f=-200.0, i=200.0)
    _, (_, c) = cell(X[:, 0], [H0, C0])
    _, (_, other) = cell(X[:, 0], [H0, C0 + 7.0])
    np.testing.assert_array_equal(c, other)


def test_jacobian_of_the_cell_state():
    """Notes B (21) as corrected by erratum X21, with o_{t-1} held fixed:

    dc_t/dc_{t-1} = diag(f) + J_h diag(o_{t-1} * (1 - tanh(c_{t-1})^2)),  J_h = dc_t/dh_{t-1}.
    """
    cell = random_cell()
    x, c_old = X[:1, 0], C0[:1]
    o_old = sigmoid(RNG.normal(size=(1, N))).astype("float32")

    def component(k):
        def c_new(c):
            _, (_, c) = cell(x, [o_old * ops.tanh(c), c])
            return c[0, k]

        return c_new

    rows = [value_and_gradients(component(k), [c_old])[1][0][0] for k in range(N)]
    kernel, recurrent, bias = cell.get_weights()
    i, f, g, _ = np.split(x @ kernel + o_old * np.tanh(c_old) @ recurrent + bias, 4, axis=1)
    i, f, g = sigmoid(i), sigmoid(f), np.tanh(g)
    U_i, U_f, U_c, _ = (U.T for U in np.split(recurrent, 4, axis=1))
    J_h = (g * i * (1 - i)).T * U_i + (c_old * f * (1 - f)).T * U_f + (i * (1 - g**2)).T * U_c
    expected = np.diag(f[0]) + J_h * (o_old * (1 - np.tanh(c_old) ** 2))
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)
