import numpy as np
import pytest
from keras import ops

from seqkeras.ops.unitary import unitary_matrix
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(0)


def random_parameters(n):
    angles = RNG.uniform(-np.pi, np.pi, size=(3, n))
    return np.concatenate([angles, RNG.uniform(-1, 1, size=(4, n))])


def oracle(parameters, permutation):
    """W, multiplied out of its complex factors; it acts on columns."""
    n = len(permutation)
    D1, D2, D3 = (np.diag(np.exp(1j * w)) for w in parameters[:3])
    R1, R2 = (
        np.eye(n) - 2 * np.outer(v, v.conj()) / np.vdot(v, v)
        for v in (parameters[3] + 1j * parameters[4], parameters[5] + 1j * parameters[6])
    )
    F = np.fft.fft(np.eye(n)) / np.sqrt(n)
    Pi = np.eye(n)[permutation]
    return D3 @ R2 @ np.linalg.inv(F) @ D2 @ Pi @ R1 @ F @ D1


def real_form(W):
    """What [Re h, Im h] is multiplied with from the right to give [Re W h, Im W h]."""
    return np.block([[W.real.T, W.imag.T], [-W.imag.T, W.real.T]])


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_values(n):
    parameters, permutation = random_parameters(n), RNG.permutation(n)
    M = unitary_matrix(parameters.astype("float32"), permutation)
    np.testing.assert_allclose(M, real_form(oracle(parameters, permutation)), atol=2e-6)


def test_acts_on_real_and_imaginary_parts_as_on_complex_numbers():
    parameters, permutation = random_parameters(6), RNG.permutation(6)
    h = RNG.normal(size=6) + 1j * RNG.normal(size=6)
    row = np.concatenate([h.real, h.imag]).astype("float32")
    M = ops.convert_to_numpy(unitary_matrix(parameters.astype("float32"), permutation))
    expected = oracle(parameters, permutation) @ h
    np.testing.assert_allclose(row @ M, [*expected.real, *expected.imag], atol=1e-5)


def test_the_permutation_matters():
    parameters = random_parameters(6).astype("float32")
    one, other = (unitary_matrix(parameters, p) for p in (np.arange(6), np.arange(6)[::-1].copy()))
    assert np.abs(ops.convert_to_numpy(one) - ops.convert_to_numpy(other)).max() > 0.1


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_is_unitary_whatever_the_parameters(scale):
    n = 64
    M = unitary_matrix((scale * random_parameters(n)).astype("float32"), RNG.permutation(n))
    M = ops.convert_to_numpy(M).astype("float64")
    assert np.linalg.norm(M.T @ M - np.eye(2 * n), 2) <= 1e-5


def test_a_reflection_by_nothing_is_the_identity():
    parameters = np.zeros((7, 4), "float32")
    M = unitary_matrix(parameters, np.arange(4))
    np.testing.assert_allclose(M, np.eye(8), atol=1e-6)


def test_gradients_are_finite_differences():
    n = 4
    parameters, permutation = random_parameters(n), RNG.permutation(n)
    random = RNG.normal(size=(2 * n, 2 * n))

    def ours(p):
        return ops.sum(unitary_matrix(p, permutation) * random.astype("float32"))

    _, (gradient,), _ = value_and_gradients(ours, [parameters.astype("float32")])
    step = 1e-6
    for place in np.ndindex(7, n):
        unit = np.zeros((7, n))
        unit[place] = step
        change = oracle(parameters + unit, permutation) - oracle(parameters - unit, permutation)
        expected = (real_form(change) * random).sum() / (2 * step)
        np.testing.assert_allclose(gradient[place], expected, rtol=1e-3, atol=1e-5)
