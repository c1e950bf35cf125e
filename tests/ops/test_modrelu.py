import numpy as np
import pytest
from keras import ops

from seqkeras.ops.modrelu import complex_modrelu, modrelu
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(6, 5)) + 1j * RNG.normal(size=(6, 5))
B = np.array([-1.0, -0.3, 0.0, 0.4, 2.0])
B32 = B.astype("float32")


def oracle(z, b):
    """The definition, in complex numbers."""
    return np.where(np.abs(z) + b >= 0, (np.abs(z) + b) * z / np.abs(z), 0)


def as_real(z):
    return np.concatenate([z.real, z.imag], axis=-1).astype("float32")


def as_complex(x):
    real, imaginary = np.split(ops.convert_to_numpy(x).astype("float64"), 2, axis=-1)
    return real + 1j * imaginary


def test_real_values():
    z = Z.real.astype("float32")
    np.testing.assert_allclose(modrelu(z, B32), oracle(z, B), rtol=1e-5, atol=1e-6)


def test_complex_values():
    h = as_complex(complex_modrelu(as_real(Z), B32))
    np.testing.assert_allclose(h, oracle(Z, B), rtol=1e-5, atol=1e-6)


def test_the_phase_is_kept():
    h = as_complex(complex_modrelu(as_real(Z), B32))
    alive = np.abs(h) > 0
    assert 0.5 < alive.mean() < 1.0
    np.testing.assert_allclose(np.angle(h[alive]), np.angle(Z[alive]), rtol=1e-4, atol=1e-6)


def test_without_a_bias_it_is_the_identity_exactly():
    np.testing.assert_array_equal(complex_modrelu(as_real(Z), 0 * B32), as_real(Z))
    np.testing.assert_array_equal(modrelu(as_real(Z), np.zeros(10, "f")), as_real(Z))


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_gradients_are_finite_differences(kind):
    z = (Z.real if kind == "real" else Z).astype("complex128" if kind == "complex" else "float64")
    direction = RNG.normal(size=z.shape) + (
        1j * RNG.normal(size=z.shape) if kind == "complex" else 0
    )
    to_array = as_real if kind == "complex" else np.float32
    random = RNG.normal(size=to_array(z).shape).astype("float32")
    function = complex_modrelu if kind == "complex" else modrelu

    def of_oracle(z, b):
        y = oracle(z, b)
        y = np.concatenate([y.real, y.imag], axis=-1) if kind == "complex" else y
        return (y * random).sum()

    def ours(z, b):
        return ops.sum(function(z, b) * random)

    _, (of_z, of_b), _ = value_and_gradients(ours, [to_array(z), B32])
    step = 1e-6
    along = (of_oracle(z + step * direction, B) - of_oracle(z - step * direction, B)) / (2 * step)
    np.testing.assert_allclose((of_z * to_array(direction)).sum(), along, rtol=1e-4)
    for k in np.flatnonzero(B):  # at b = 0 too, but there the two sides may differ
        unit = step * np.eye(5)[k]
        expected = (of_oracle(z, B + unit) - of_oracle(z, B - unit)) / (2 * step)
        np.testing.assert_allclose(of_b[k], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("function", [modrelu, complex_modrelu])
def test_zero_stays_zero_with_slope_one_or_none(function):
    """However many steps without input come first, no gradient blows up, and none is lost."""
    z = np.zeros((1, 2 if function is modrelu else 4), "float32")
    b = np.array([-0.5, 0.5], "float32")
    np.testing.assert_array_equal(function(z, b), z)
    _, (of_z, of_b), _ = value_and_gradients(lambda z, b: ops.sum(function(z, b)), [z, b])
    np.testing.assert_array_equal(of_z[0], np.tile([0.0, 1.0], z.shape[1] // 2))
    np.testing.assert_array_equal(of_b, [0.0, 0.0])


def test_tiny_moduli_have_bounded_slopes_in_half_precision_too():
    z = np.full((1, 2), 1e-7, "float32")
    b = np.ones(1, "float32")
    for dtype in ("float32", "bfloat16", "float16"):
        y, (of_z, _), _ = value_and_gradients(
            lambda z, b, dtype=dtype: ops.sum(
                ops.cast(complex_modrelu(ops.cast(z, dtype), ops.cast(b, dtype)), "float32")
            ),
            [z, b],
        )
        assert np.isfinite(y)
        assert np.abs(of_z).max() <= 1.01e4
