import numpy as np
import pytest
from keras import ops

from seqkeras.ops.sinusoids import sines_and_cosines


def angles(positions, size, base):
    i = np.arange((size + 1) // 2)
    return np.asarray(positions, "float64")[..., None] / base ** (2 * i / size)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
@pytest.mark.parametrize("base", [10000.0, 2.0])
def test_arrays_and_tensors_give_the_same_sines_and_cosines(size, base):
    positions = np.array([[0, 1, 2, 17], [500, 1000, 4095, 65535]])
    expected = [f(angles(positions, size, base)) for f in (np.sin, np.cos)]
    of_arrays = sines_and_cosines(positions, size, base)
    of_tensors = sines_and_cosines(ops.convert_to_tensor(positions, "int32"), size, base)
    for a, t, e in zip(of_arrays, of_tensors, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, e, atol=1e-7)
        np.testing.assert_allclose(ops.convert_to_numpy(t)[0], e[0], atol=2e-6)
        np.testing.assert_allclose(ops.convert_to_numpy(t)[1], e[1], atol=2e-5)


def test_a_position_in_float32_alone_would_be_off():
    """What the two parts of the frequency are for."""
    frequency = 10000.0 ** (-2 / 64)
    naive = np.sin(np.float32(4095) * np.float32(frequency))
    exact = np.sin(4095 * frequency)
    ours = ops.convert_to_numpy(sines_and_cosines(ops.array([4095]), 64)[0])[0, 1]
    assert abs(ours - exact) < 2e-6 < abs(naive - exact)
