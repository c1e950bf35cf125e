import numpy as np
import pytest
from keras import ops

from seqkeras.ops.rotary import rotate

B, N, T, S, D = 2, 3, 4, 5, 6
RNG = np.random.default_rng(0)
Q = RNG.normal(size=(B, N, T, D)).astype("float32")
K = RNG.normal(size=(B, N, S, D)).astype("float32")


def rotation(n, size=D, base=10000.0):
    """The block-diagonal matrix R(n) of the paper."""
    matrix = np.zeros((size, size))
    for i in range(0, size, 2):
        a = n / base ** (i / size)
        matrix[i : i + 2, i : i + 2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return matrix


def scores(q, k, q_positions, k_positions):
    return ops.convert_to_numpy(
        ops.einsum("bntd,bnsd->bnts", rotate(q, q_positions), rotate(k, k_positions))
    )


@pytest.mark.parametrize("base", [10000.0, 100.0])
def test_every_row_is_turned_by_the_matrix_of_its_position(base):
    positions = np.array([0, 3, 1, 40])
    found = ops.convert_to_numpy(rotate(Q, positions, base))
    for t, n in enumerate(positions):
        expected = Q[:, :, t] @ rotation(n, base=base).T
        np.testing.assert_allclose(found[:, :, t], expected, rtol=1e-4, atol=1e-5)


def test_positions_may_differ_from_row_to_row():
    positions = np.array([[0, 1, 2, 3], [5, 6, 7, 8]], "int32")
    found = ops.convert_to_numpy(rotate(Q, ops.convert_to_tensor(positions)))
    for b in range(B):
        alone = ops.convert_to_numpy(rotate(Q[b : b + 1], positions[b]))
        np.testing.assert_allclose(found[b : b + 1], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shift", [1, 100, 3000])
def test_scores_depend_on_the_distance_alone(shift):
    expected = scores(Q, K, np.arange(T), np.arange(S))
    found = scores(Q, K, ops.arange(T) + shift, ops.arange(S) + shift)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    moved = scores(Q, K, np.arange(T) + 1, np.arange(S))
    assert np.abs(moved - expected).max() > 1e-2


def test_lengths_stay_and_position_0_does_not_turn():
    found = ops.convert_to_numpy(rotate(Q, np.arange(T)))
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=-1), np.linalg.norm(Q, axis=-1), rtol=1e-5
    )
    np.testing.assert_array_equal(found[:, :, 0], Q[:, :, 0])


def test_one_position_at_a_time_is_the_sequence():
    whole = ops.convert_to_numpy(rotate(Q, np.arange(T)))
    for t in range(T):
        step = ops.convert_to_numpy(rotate(Q[:, :, t : t + 1], ops.array([t])))
        np.testing.assert_allclose(step, whole[:, :, t : t + 1], rtol=1e-5, atol=1e-5)


def test_an_odd_size_is_refused():
    with pytest.raises(ValueError, match="expected an even number of features to pair, got 5"):
        rotate(Q[..., :5], np.arange(T))
