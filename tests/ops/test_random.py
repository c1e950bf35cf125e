import numpy as np
import pytest
from keras import ops

from seqkeras.ops.random import uniform_by_row


def drawn(seeds, count=1000):
    return ops.convert_to_numpy(
        uniform_by_row(ops.convert_to_tensor(np.array(seeds, "int32")), count)
    )


def test_a_row_depends_on_its_seed_alone():
    together = drawn([3, 8, 3, 2**30])
    assert together.shape == (1000, 4)
    np.testing.assert_array_equal(together[:, 0], together[:, 2])
    np.testing.assert_array_equal(together[:, 1], drawn([8])[:, 0])
    assert not np.array_equal(together[:, 0], together[:, 3])


def test_numbers_are_uniform():
    found = drawn(range(40)).ravel()
    assert found.min() >= 0
    assert found.max() < 1
    counts = np.histogram(found, 20, (0, 1))[0]
    assert np.sum((counts - 2000) ** 2 / 2000) < 43.8  # chi-square, 19 degrees, p = 0.001


@pytest.mark.parametrize("count", [0, 1])
def test_few_numbers(count):
    assert drawn([1, 2], count).shape == (count, 2)
    assert drawn([], 3).shape == (3, 0)
