import numpy as np
import pytest
from keras import ops

from seqkeras.cells.peephole_lstm import PeepholeLSTM, PeepholeLSTMCell
from seqkeras.layers import LSTM, LSTMCell
from tests.cells.cell_checks import CHECKS
from tests.cells.numpy_cells import randomized, run, sigmoid
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

N, M = 4, 2  # units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0, C0 = RNG.normal(size=(2, 3, N)).astype("float32")
PARAMETERS = 4 * (N * (N + M) + N)
SEQUENCES = {"return_sequences": True, "return_state": True}


def peephole_lstm(clip):
    """A step with peepholes in NumPy."""

    def step(x_t, states, weights):
        kernel, recurrent, bias, (p_i, p_f, p_o) = weights
        h, c = states
        i, f, g, o = np.split(x_t @ kernel + h @ recurrent + bias, 4, axis=-1)
        c_new = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g)
        c_new = np.clip(c_new, -clip, clip)
        h = sigmoid(o + p_o * c_new) * np.tanh(c_new)
        return h, [h, c_new]

    return step


def random_layer(**options):
    return randomized(PeepholeLSTM(N, **SEQUENCES, **options), X)


@pytest.mark.covers("PeepholeLSTM", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: PeepholeLSTM(N, cell_clip=5.0, **SEQUENCES),
        {"sequences": X, "initial_state": [H0, C0]},
        parameters=PARAMETERS + 3 * N,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("PeepholeLSTMCell", kind="contract")
@pytest.mark.parametrize("peepholes", [True, False])
def test_cell_contract(peepholes):
    check_layer_contract(
        lambda: PeepholeLSTMCell(N, peepholes=peepholes, peephole_regularizer="l2"),
        {"inputs": X[:, 0], "states": [H0, C0]},
        parameters=PARAMETERS + 3 * N * peepholes,
    )


@pytest.mark.covers("PeepholeLSTM", "PeepholeLSTMCell", kind="oracle")
@pytest.mark.parametrize("clip", [None, 0.5])
def test_equals_a_loop_in_numpy(clip):
    layer = random_layer(cell_clip=clip)
    step = peephole_lstm(np.inf if clip is None else clip)
    expected, states = run(step, layer.get_weights(), X, [H0, C0])
    outputs = layer(X, initial_state=[H0, C0])
    for ours, oracle in zip(outputs, (expected, *states), strict=True):
        np.testing.assert_allclose(ours, oracle, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("check", CHECKS)
def test_does_what_every_cell_does(check):
    check(lambda **options: PeepholeLSTMCell(N, cell_clip=1.0, **options))


def test_starts_as_an_lstm():
    layer, lstm = PeepholeLSTM(N, **SEQUENCES), randomized(LSTM(N, **SEQUENCES), X)
    layer.build(X.shape)
    *_, peepholes = layer.get_weights()
    layer.set_weights([*lstm.get_weights(), peepholes])
    for ours, expected in zip(layer(X), lstm(X), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_without_peepholes_it_has_the_weights_of_an_lstm():
    layer, lstm = random_layer(peepholes=False, cell_clip=100.0), LSTM(N, **SEQUENCES)
    lstm.build(X.shape)
    lstm.set_weights(layer.get_weights())
    for ours, expected in zip(layer(X), lstm(X), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_the_clip_bounds_the_cell_state():
    """Where an LSTM counts steps (erratum X01) the clip stops it."""
    layer = random_layer(cell_clip=2.5)
    kernel, recurrent, bias, peepholes = layer.get_weights()
    bias[:] = 200.0
    layer.set_weights([kernel, recurrent, bias, peepholes])
    for steps, expected in ((2, 2.0), (5, 2.5)):
        _, _, c = layer(X[:, :steps])
        np.testing.assert_allclose(c, np.full(c.shape, expected), rtol=1e-6)


def with_gates(cell, **biases):
    """Sets the biases of the gates named to values that saturate them."""
    kernel, recurrent, bias, peepholes = cell.get_weights()
    for gate, value in biases.items():
        place = "ifco".index(gate) * N
        bias[place : place + N] = value
    cell.set_weights([kernel, recurrent, bias, peepholes])
    return cell


def random_cell(cell_class=PeepholeLSTMCell):
    return randomized(cell_class(N), X[:, 0], [H0, C0])


def test_the_candidate_does_not_read_the_cell_state():
    """Erratum X28 holds with peepholes too: only the gates look at c."""
    cell = with_gates(random_cell(), f=-200.0, i=200.0)
    _, (_, c) = cell(X[:, 0], [H0, C0])
    _, (_, other) = cell(X[:, 0], [H0, C0 + 7.0])
    np.testing.assert_array_equal(c, other)


def test_behind_a_closed_output_gate_the_cell_state_still_moves_the_gates():
    """The point of peepholes (Gers & Schmidhuber 2000): a plain LSTM's gates see h = 0 only."""
    zeros = np.zeros_like(H0)
    plain, peephole = random_cell(LSTMCell), random_cell()
    peephole.set_weights([*plain.get_weights(), peephole.get_weights()[-1]])

    def forget_gates(cell):
        """f at two values of c, from c' = f * c as i = 0."""
        kernel, recurrent, bias, *peepholes = cell.get_weights()
        bias[:N] = -200.0
        cell.set_weights([kernel, recurrent, bias, *peepholes])
        return [np.asarray(cell(X[:, 0], [zeros, zeros + c])[1][1]) / c for c in (1.0, 2.0)]

    at_1, at_2 = forget_gates(plain)
    np.testing.assert_allclose(at_1, at_2, rtol=1e-5)
    at_1, at_2 = forget_gates(peephole)
    assert np.abs(at_1 - at_2).min() > 1e-4


def test_a_clipped_entry_passes_no_gradient_on():
    layer = random_layer(cell_clip=0.5)
    layer.set_weights([w * 0.0 for w in layer.get_weights()])  # c' = c / 2
    c_0 = np.tile([0.2, 4.0, -4.0, -0.2], (3, 1)).astype("float32")

    def last_cell_state(c):
        return ops.sum(layer(X[:, :1], initial_state=[H0, c])[2])

    _, (gradient,), _ = value_and_gradients(last_cell_state, [c_0])
    np.testing.assert_allclose(gradient, np.tile([0.5, 0.0, 0.0, 0.5], (3, 1)))


def test_options_of_the_peepholes_reach_them():
    cell = PeepholeLSTMCell(
        N, peephole_initializer="ones", peephole_regularizer="l1", peephole_constraint="non_neg"
    )
    cell.build((None, M))
    np.testing.assert_array_equal(cell.peephole_kernel, np.ones((3, N)))
    np.testing.assert_allclose(cell.losses, [0.01 * 3 * N], rtol=1e-6)
    assert cell.peephole_kernel.constraint is cell.peephole_constraint


@pytest.mark.parametrize("clip", [0, -1.0])
def test_errors_say_what_to_do(clip):
    with pytest.raises(ValueError, match="cell_clip: expected a positive number or None"):
        PeepholeLSTMCell(N, cell_clip=clip)
