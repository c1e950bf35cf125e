import numpy as np
import pytest
from keras import ops

from seqkeras.ops.orthogonal import entry_of_angle, rotation, skew_symmetric
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(0)


def oracle(parameters, size):
    """Q by the eigenvalues i*l of A: each becomes exp(4i atan(l / 4)). In float64."""
    A = np.zeros((size, size))
    A[np.triu_indices(size, 1)] = parameters
    A = A - A.T
    values, vectors = np.linalg.eigh(A / 1j)  # A / i is Hermitian
    return (vectors * np.exp(4j * np.arctan(values / 4))) @ vectors.conj().T


def parameters_of(size, scale=1.0):
    return scale * RNG.normal(size=size * (size - 1) // 2)


def test_entries_go_above_the_diagonal_row_by_row():
    A = skew_symmetric(np.arange(1.0, 7.0, dtype="float32"), 4)
    expected = [[0, 1, 2, 3], [-1, 0, 4, 5], [-2, -4, 0, 6], [-3, -5, -6, 0]]
    np.testing.assert_array_equal(A, expected)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_values(size):
    parameters = parameters_of(size)
    Q = rotation(parameters.astype("float32"), size)
    expected = oracle(parameters, size)
    np.testing.assert_allclose(expected.imag, 0, atol=1e-12)
    np.testing.assert_allclose(Q, expected.real, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0])
def test_is_a_rotation_whatever_the_parameters(scale):
    size = 96
    Q = ops.convert_to_numpy(rotation(parameters_of(size, scale).astype("float32"), size))
    Q = Q.astype("float64")
    assert np.linalg.norm(Q.T @ Q - np.eye(size), 2) <= 1e-5
    assert np.linalg.det(Q) == pytest.approx(1.0, abs=1e-3)


def test_is_the_exponential_to_third_order():
    """|Q - exp(A)| shrinks eightfold when A is halved."""
    parameters = parameters_of(5, 0.2)
    errors = []
    for scale in (1.0, 0.5):
        A = np.zeros((5, 5))
        A[np.triu_indices(5, 1)] = scale * parameters
        values, vectors = np.linalg.eigh((A - A.T) / 1j)
        exponential = (vectors * np.exp(1j * values)) @ vectors.conj().T
        errors.append(np.linalg.norm(oracle(scale * parameters, 5) - exponential))
        Q = rotation((scale * parameters).astype("float32"), 5)
        np.testing.assert_allclose(Q, exponential.real, atol=1.1 * errors[-1] + 1e-6)
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize("angle", [0.3, -1.2, np.pi / 2, np.pi])
def test_an_entry_turns_its_plane_by_its_angle(angle):
    """A half turn too, which the Cayley transform itself does not reach."""
    entry = ops.convert_to_numpy(entry_of_angle(np.float32(angle)))
    cos, sin = np.cos(angle), np.sin(angle)
    np.testing.assert_allclose(rotation(entry.reshape(1), 2), [[cos, sin], [-sin, cos]], atol=1e-6)


def test_gradients_are_finite_differences():
    size = 5
    parameters, random = parameters_of(size), RNG.normal(size=(size, size))

    def ours(p):
        return ops.sum(rotation(p, size) * random.astype("float32"))

    _, (gradient,), _ = value_and_gradients(ours, [parameters.astype("float32")])
    step = 1e-6
    for k, unit in enumerate(step * np.eye(len(parameters))):
        change = (oracle(parameters + unit, size) - oracle(parameters - unit, size)).real
        expected = (change * random).sum() / (2 * step)
        np.testing.assert_allclose(gradient[k], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.tensorflow
def test_gradients_are_dense():
    """Optimizers take a sparse one for that of an embedding, most rows of which had no part."""
    import tensorflow as tf

    parameters = tf.Variable(parameters_of(4).astype("float32"))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(rotation(tf.convert_to_tensor(parameters), 4))
    assert isinstance(tape.gradient(value, parameters), tf.Tensor)
