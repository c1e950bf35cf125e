import numpy as np
import pytest
from keras import ops

from seqkeras.cells.orthogonal import OrthogonalRNN, OrthogonalRNNCell, PlaneRotations
from tests.cells.numpy_cells import run
from tests.contract import check_layer_contract, with_and_without_xla

N, M = 5, 2  # units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0 = RNG.normal(size=(3, N)).astype("float32")
PARAMETERS = N * M + N * (N - 1) // 2 + N


def orthogonal(x_t, states, weights):
    """The equations in NumPy; Q by the eigenvalues of A, the modReLU by its definition."""
    kernel, parameters, b = weights
    A = np.zeros((N, N))
    A[np.triu_indices(N, 1)] = parameters
    values, vectors = np.linalg.eigh((A - A.T) / 1j)
    Q = ((vectors * np.exp(4j * np.arctan(values / 4))) @ vectors.conj().T).real
    z = x_t @ kernel + states[0] @ Q
    h = np.where(np.abs(z) + b >= 0, (np.abs(z) + b) * np.sign(z), 0)
    return h, [h]


@pytest.mark.covers("OrthogonalRNN", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: OrthogonalRNN(N, recurrent_initializer=PlaneRotations(1.0), return_sequences=True),
        {"sequences": X},
        parameters=PARAMETERS,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("OrthogonalRNNCell", kind="contract")
def test_cell_contract():
    check_layer_contract(
        lambda: OrthogonalRNNCell(N, activation="tanh", recurrent_regularizer="l2"),
        {"inputs": X[:, 0], "states": [H0]},
        parameters=PARAMETERS,
    )


@pytest.mark.covers("OrthogonalRNN", "OrthogonalRNNCell", kind="oracle")
def test_equals_a_loop_in_numpy():
    layer = OrthogonalRNN(N, return_sequences=True)
    layer.build(X.shape)
    kernel, parameters = RNG.normal(size=(M, N)), RNG.normal(size=N * (N - 1) // 2)
    layer.set_weights([kernel, parameters, np.array([-2.0, -0.5, 0.0, 0.5, 1.0])])
    expected, _ = run(orthogonal, layer.get_weights(), X, [H0])
    assert (expected == 0).any()
    assert (expected != 0).any()
    np.testing.assert_allclose(layer(X, initial_state=[H0]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("units", [2, 7, 64])
def test_starts_as_rotations_of_planes(units):
    layer = OrthogonalRNN(units)
    layer.build((None, None, M))
    Q = ops.convert_to_numpy(layer.recurrent_matrix())
    expected = np.eye(units)
    angles = []
    for i in range(0, units - 1, 2):
        angles.append(np.arctan2(Q[i, i + 1], Q[i, i]))
        cos, sin = np.cos(angles[-1]), np.sin(angles[-1])
        expected[i : i + 2, i : i + 2] = [[cos, sin], [-sin, cos]]
    np.testing.assert_allclose(Q, expected, atol=1e-5)
    if units == 64:
        assert np.std(angles) == pytest.approx(np.pi / np.sqrt(3), rel=0.25)


def test_angles_are_bounded_and_repeat_with_a_seed():
    values = [ops.convert_to_numpy(PlaneRotations(0.1, seed=3)((2016,))) for _ in range(2)]
    np.testing.assert_array_equal(*values)
    assert np.count_nonzero(values[0]) == 32
    assert 0.05 < np.abs(values[0]).max() < 0.101


def test_zeros_start_at_the_identity():
    layer = OrthogonalRNN(N, recurrent_initializer="zeros")
    layer.build((None, None, M))
    np.testing.assert_allclose(layer.recurrent_matrix(), np.eye(N), atol=1e-6)


@pytest.mark.parametrize("angle", [-0.1, 3.2])
def test_a_wrong_angle_raises(angle):
    with pytest.raises(ValueError, match="max_angle: expected an angle in"):
        PlaneRotations(angle)


def test_a_matrix_has_no_planes():
    with pytest.raises(ValueError, match="PlaneRotations: expected the shape"):
        PlaneRotations()((4, 4))


def test_one_unit_raises():
    with pytest.raises(ValueError, match="units: expected at least 2"):
        OrthogonalRNN(1)
