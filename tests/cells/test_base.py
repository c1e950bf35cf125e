import keras
import numpy as np
import pytest

from seqkeras.cells.base import RecurrentCell
from seqkeras.layers import GRUCell, LSTMCell, SimpleRNNCell
from tests.cells.numpy_cells import randomized

N, M = 4, 3  # units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(2, 5, M)).astype("float32")
H = RNG.normal(size=(2, N)).astype("float32")
CELLS = [SimpleRNNCell, LSTMCell, GRUCell]
EVERY_CELL = pytest.mark.parametrize("cell_class", CELLS)


def random_cell(cell_class, **options):
    cell = cell_class(N, **options)
    return randomized(cell, X[:, 0], cell.get_initial_state(batch_size=2))


@EVERY_CELL
def test_projection_is_one_matmul_and_a_bias(cell_class):
    cell = random_cell(cell_class)
    kernel, _, bias = cell.get_weights()
    expected = X @ kernel + (bias[0] if bias.ndim == 2 else bias)
    np.testing.assert_allclose(cell.project(X), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cell.project(X[:, 2]), expected[:, 2], rtol=1e-5, atol=1e-6)


@EVERY_CELL
def test_a_cell_is_its_two_halves(cell_class):
    cell = random_cell(cell_class)
    states = cell.get_initial_state(batch_size=2)
    halves = cell.step(cell.project(X[:, 0]), states)
    for a, b in zip(
        keras.tree.flatten(cell(X[:, 0], states)), keras.tree.flatten(halves), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@EVERY_CELL
def test_shares_of_the_projection_add_up(cell_class):
    cell = random_cell(cell_class)
    shares = cell.project_rows(X[..., :1], 0) + cell.project_rows(X[..., 1:], 1)
    np.testing.assert_allclose(cell.add_input_bias(shares), cell.project(X), rtol=1e-5, atol=1e-6)


@EVERY_CELL
def test_states_come_back_in_the_form_they_came(cell_class):
    cell = random_cell(cell_class)
    states = cell.get_initial_state(batch_size=2)
    _, as_list = cell(X[:, 0], states)
    assert isinstance(as_list, list)
    if isinstance(cell.state_size, int):
        _, alone = cell(X[:, 0], states[0])
        np.testing.assert_array_equal(alone, as_list[0])


@EVERY_CELL
def test_the_noise_of_recurrent_dropout_is_inverted(cell_class):
    cell = random_cell(cell_class, recurrent_dropout=0.5, seed=1)
    assert cell.draw_noise(64, training=False) is None
    assert random_cell(cell_class, dropout=0.5).draw_noise(64, training=True) is None
    assert set(np.unique(cell.draw_noise(64, training=True))) == {0.0, 2.0}


@EVERY_CELL
def test_a_mask_for_the_inputs_is_drawn_in_training_only(cell_class):
    cell = random_cell(cell_class, dropout=0.5, seed=1)
    assert cell.draw_input_mask(64, 5) is None
    assert random_cell(cell_class).draw_input_mask(64, 5, training=True) is None
    mask = np.asarray(cell.draw_input_mask(64, 5, training=True))
    assert mask.shape == (64, 5)
    assert set(np.unique(mask)) == {0.0, 2.0}


@EVERY_CELL
def test_noise_falls_on_h_where_it_enters_the_gates(cell_class):
    """With all of h dropped a cell does what it does from h = 0; a GRU's z still keeps h itself."""
    cell = random_cell(cell_class)
    z_t, states = cell.project(X[:, 0]), cell.get_initial_state(batch_size=2)
    expected, _ = cell.step(z_t, states)
    with_h = [H, *states[1:]]
    dropped, _ = cell.step(z_t, with_h, np.zeros((2, N), "float32"))
    if cell_class is GRUCell:
        kernel, _, (b, d) = cell.get_weights()
        z = 1 / (1 + np.exp(-(X[:, 0] @ kernel + b + d)[:, :N]))
        expected = expected + z * H
    np.testing.assert_allclose(dropped, expected, rtol=1e-5, atol=1e-6)


def test_regularizers_and_constraints_reach_their_weights():
    cell = SimpleRNNCell(
        N,
        kernel_regularizer=keras.regularizers.L2(0.5),
        recurrent_regularizer=keras.regularizers.L1(2.0),
        bias_constraint="non_neg",
    )
    randomized(cell, X[:, 0], [H])
    kernel, recurrent, _ = cell.get_weights()
    expected = [0.5 * (kernel**2).sum(), 2.0 * np.abs(recurrent).sum()]
    np.testing.assert_allclose(sorted(cell.losses), sorted(expected), rtol=1e-5)
    assert isinstance(cell.bias.constraint, keras.constraints.NonNeg)
    assert cell.kernel.constraint is None


def test_initializers_reach_their_weights():
    cell = GRUCell(N, "tanh", "sigmoid", True, "ones", "zeros", "ones")
    cell.build((None, M))
    for weight, value in zip(cell.get_weights(), (1.0, 0.0, 1.0), strict=True):
        np.testing.assert_array_equal(weight, np.full(weight.shape, value))


def test_without_bias_there_is_none():
    cell = LSTMCell(N, use_bias=False)
    cell.build((None, M))
    assert [w.name for w in cell.weights] == ["kernel", "recurrent_kernel"]


def test_a_cell_must_say_what_a_step_is():
    cell = RecurrentCell(N)
    cell.build((None, M))
    with pytest.raises(NotImplementedError, match="must define advance"):
        cell(X[:, 0], [H])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "units: expected a positive integer, got 0"),
        ({"units": 2.5}, "units: expected a positive integer, got 2.5"),
        ({"units": 2, "dropout": 1.0}, "dropout: expected a rate"),
        ({"units": 2, "recurrent_dropout": -0.1}, "recurrent_dropout: expected a rate"),
    ],
)
def test_errors_say_what_to_do(options, message):
    with pytest.raises(ValueError, match=message):
        SimpleRNNCell(**options)
