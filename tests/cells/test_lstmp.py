import pathlib

import numpy as np
import pytest

from seqkeras.cells.lstmp import ProjectedLSTM, ProjectedLSTMCell
from seqkeras.layers import LSTM
from tests.cells.cell_checks import CHECKS
from tests.cells.numpy_cells import lstm, randomized, run, sigmoid
from tests.contract import check_layer_contract, with_and_without_xla

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens" / "torch_recurrent.npz"
N, R, M = 4, 3, 2  # units, projected units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0 = RNG.normal(size=(3, R)).astype("float32")
C0 = RNG.normal(size=(3, N)).astype("float32")
SEQUENCES = {"return_sequences": True, "return_state": True}


def parameter_count(n, m, p):
    return 4 * ((m + p) * n + n) + n * p


def lstmp(x_t, states, weights):
    """A step of an LSTM in NumPy, with its output projected; with or without peepholes."""
    *weights, projection = weights
    if len(weights) == 3:
        m, (_, c) = lstm(x_t, states, weights)
    else:
        kernel, recurrent, bias, (p_i, p_f, p_o) = weights
        h, c_old = states
        i, f, g, o = np.split(x_t @ kernel + h @ recurrent + bias, 4, axis=-1)
        c = sigmoid(f + p_f * c_old) * c_old + sigmoid(i + p_i * c_old) * np.tanh(g)
        m = sigmoid(o + p_o * c) * np.tanh(c)
    return m @ projection, [m @ projection, c]


def random_layer(**options):
    return randomized(ProjectedLSTM(N, R, **SEQUENCES, **options), X)


@pytest.mark.covers("ProjectedLSTM", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: ProjectedLSTM(N, R, peepholes=True, cell_clip=5.0, **SEQUENCES),
        {"sequences": X, "initial_state": [H0, C0]},
        parameters=parameter_count(N, M, R) + 3 * N,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("ProjectedLSTMCell", kind="contract")
def test_cell_contract():
    check_layer_contract(
        lambda: ProjectedLSTMCell(N, R, projection_regularizer="l2"),
        {"inputs": X[:, 0], "states": [H0, C0]},
        parameters=parameter_count(N, M, R),
    )


@pytest.mark.covers("ProjectedLSTM", "ProjectedLSTMCell", kind="oracle")
@pytest.mark.parametrize("peepholes", [False, True])
def test_equals_a_loop_in_numpy(peepholes):
    layer = random_layer(peepholes=peepholes)
    expected, states = run(lstmp, layer.get_weights(), X, [H0, C0])
    outputs = layer(X, initial_state=[H0, C0])
    for ours, oracle in zip(outputs, (expected, *states), strict=True):
        np.testing.assert_allclose(ours, oracle, rtol=1e-5, atol=1e-6)


def test_equals_pytorch_with_its_weights():
    """nn.LSTM(proj_size=...): its kernels transposed, its two biases added, gates i, f, g, o."""
    with np.load(GOLDENS) as file:
        golden = {
            name.removeprefix("lstm_projected/"): file[name]
            for name in file.files
            if name.startswith("lstm_projected/")
        }
    w_ih, w_hh, b_ih, b_hh, w_hr = (golden[f"weight_{k}"] for k in range(5))
    layer = ProjectedLSTM(N, R, **SEQUENCES)
    layer.build(golden["x"].shape)
    layer.set_weights([w_ih.T, w_hh.T, b_ih + b_hh, w_hr.T])
    outputs = layer(golden["x"], initial_state=[golden["first_0"][0], golden["first_1"][0]])
    expected = (golden["outputs"], golden["last_0"][0], golden["last_1"][0])
    for ours, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("check", CHECKS)
def test_does_what_every_cell_does(check):
    check(lambda **options: ProjectedLSTMCell(N, R, **options))


@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout"])
def test_dropout_equals_a_loop_in_numpy_with_its_masks(option):
    """Row B06; a twin with the same seed shows the mask: `(B, D)` on x, `(B, R)` on h."""
    layer, twin = (random_layer(seed=4, **{option: 0.5}) for _ in range(2))
    x_mask = h_mask = 1.0
    if option == "dropout":
        x_mask = np.asarray(twin.cell.draw_input_mask(3, M, training=True))[:, None]
    else:
        h_mask = np.asarray(twin.cell.draw_noise(3, training=True))
        assert h_mask.shape == (3, R)

    def step(x_t, states, weights):
        return lstmp(x_t, [states[0] * h_mask, states[1]], weights)

    expected, _ = run(step, layer.get_weights(), X * x_mask, [H0, C0])
    outputs = layer(X, initial_state=[H0, C0], training=True)[0]
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_the_identity_as_projection_gives_an_lstm():
    plain = randomized(LSTM(N, **SEQUENCES), X)
    layer = ProjectedLSTM(N, N, **SEQUENCES)
    layer.build(X.shape)
    layer.set_weights([*plain.get_weights(), np.eye(N)])
    for ours, expected in zip(layer(X), plain(X), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n", "m", "p"), [(4, 2, 3), (8, 5, 2)])
def test_parameter_count(n, m, p):
    layer = ProjectedLSTM(n, p)
    layer.build((None, None, m))
    assert layer.count_params() == 4 * ((m + p) * n + n) + n * p


def test_the_output_is_linear_in_the_projection():
    """P is behind the last nonlinearity: after one step from h = 0, 2 P gives twice the output."""
    layer = random_layer()
    once = np.asarray(layer(X[:, :1])[0])
    *weights, projection = layer.get_weights()
    layer.set_weights([*weights, 2 * projection])
    np.testing.assert_allclose(layer(X[:, :1])[0], 2 * once, rtol=1e-5)


def test_options_of_the_projection_reach_it():
    cell = ProjectedLSTMCell(
        N, R, projection_initializer="ones", projection_regularizer="l1",
        projection_constraint="non_neg",
    )  # fmt: skip
    cell.build((None, M))
    np.testing.assert_array_equal(cell.projection_kernel, np.ones((N, R)))
    np.testing.assert_allclose(cell.losses, [0.01 * N * R], rtol=1e-6)
    assert cell.projection_kernel.constraint is cell.projection_constraint


@pytest.mark.parametrize("size", [0, 1.5])
def test_errors_say_what_to_do(size):
    with pytest.raises(ValueError, match="projection_units: expected a positive integer"):
        ProjectedLSTMCell(N, size)
