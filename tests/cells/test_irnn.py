import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.cells.irnn import IRNN, IRNNCell
from tests.cells.numpy_cells import randomized
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

N, M = 4, 2  # units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0 = RNG.normal(size=(3, N)).astype("float32")
PARAMETERS = N * (N + M) + N


@pytest.mark.covers("IRNN", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: IRNN(N, kernel_initializer="glorot_uniform", return_sequences=True),
        {"sequences": X},
        parameters=PARAMETERS,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("IRNNCell", kind="contract")
def test_cell_contract():
    check_layer_contract(
        lambda: IRNNCell(N, recurrent_initializer=keras.initializers.Identity(gain=0.5)),
        {"inputs": X[:, 0], "states": [H0]},
        parameters=PARAMETERS,
    )


@pytest.mark.covers("IRNN", "IRNNCell", kind="oracle")
def test_equals_a_loop_in_numpy():
    layer = randomized(IRNN(N, return_sequences=True), X)
    W, U, b = layer.get_weights()
    h, expected = H0, []
    for t in range(X.shape[1]):
        h = np.maximum(X[:, t] @ W + h @ U + b, 0)
        expected.append(h)
    ours = layer(X, initial_state=[H0])
    np.testing.assert_allclose(ours, np.stack(expected, axis=1), rtol=1e-5, atol=1e-6)


def test_starts_as_in_the_paper():
    cell = IRNNCell(200)
    cell.build((None, 100))
    kernel, recurrent, bias = cell.get_weights()
    np.testing.assert_array_equal(recurrent, np.eye(200))
    np.testing.assert_array_equal(bias, np.zeros(200))
    assert kernel.std() == pytest.approx(1e-3, rel=0.05)
    assert abs(kernel.mean()) < 1e-4


def test_the_identity_can_be_scaled():
    cell = IRNNCell(N, recurrent_initializer=keras.initializers.Identity(gain=0.01))
    cell.build((None, M))
    np.testing.assert_allclose(cell.get_weights()[1], 0.01 * np.eye(N))


def jacobian(layer, x, h):
    """dh_T/dh_0 `(H, H)` for one sequence x `(T, D)`; row i is the gradient of unit i."""

    def of(unit):
        def last(h):
            return layer(x[None], initial_state=[h])[0, unit]

        return value_and_gradients(last, [h[None]])[1][0][0]

    return np.stack([of(unit) for unit in range(len(h))])


def test_at_the_start_the_jacobian_is_the_identity_where_all_is_positive():
    """Row A05 of docs/systems.md, over 20 steps: exactly."""
    layer = IRNN(N, kernel_initializer="glorot_uniform")
    x = RNG.normal(size=(20, M)).astype("float32")
    layer(x[None])
    np.testing.assert_array_equal(jacobian(layer, x, np.full(N, 100.0, "float32")), np.eye(N))


def test_the_slope_is_that_of_the_sum():
    """Erratum X23: with h > 0 and W_x x < 0 but a positive sum the slope is 1, not 0."""
    layer = IRNN(1)
    x = np.array([[-1.0]], "float32")
    layer(x[None])
    layer.set_weights([np.array([[0.5]]), np.array([[1.0]]), np.array([0.0])])
    np.testing.assert_array_equal(jacobian(layer, x, np.array([2.0], "float32")), [[1.0]])
    np.testing.assert_array_equal(jacobian(layer, x, np.array([0.2], "float32")), [[0.0]])


def test_at_the_start_it_adds_up_its_inputs():
    layer = IRNN(N, kernel_initializer="ones")
    x = np.abs(X)
    expected = np.tile(x.sum(axis=(1, 2))[:, None], N)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, rtol=1e-5)
