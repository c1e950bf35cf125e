import keras
import numpy as np
import pytest

from seqkeras.ops.top_k import _block_width, top_k

RNG = np.random.default_rng(0)


def oracle(x, k):
    """Sorted by value, largest first, then by place."""
    order = np.argsort(-x, axis=-1, kind="stable")[:, :k]
    return np.take_along_axis(x, order, axis=-1), order


@pytest.mark.parametrize("size", [1, 7, 97, 1000, 8000])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_is_what_sorting_finds(size, k):
    x = RNG.normal(size=(5, size)).astype("float32")
    values, indices = top_k(keras.ops.convert_to_tensor(x), min(k, size))
    expected, order = oracle(x, min(k, size))
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(indices, order)


@pytest.mark.parametrize("levels", [1, 2, 3, 10])
def test_equal_entries_come_in_the_order_of_the_row(levels):
    x = RNG.integers(levels, size=(50, 1000)).astype("float32")
    assert _block_width(1000, 7) is not None
    _, indices = top_k(keras.ops.convert_to_tensor(x), 7)
    np.testing.assert_array_equal(indices, oracle(x, 7)[1])


def test_entries_that_are_barred_come_last():
    x = np.full((3, 1000), -np.inf, "float32")
    x[:, [700, 20, 999]] = [1.0, 2.0, 3.0]
    values, indices = top_k(keras.ops.convert_to_tensor(x), 5)
    np.testing.assert_array_equal(np.array(indices)[:, :3], [[999, 20, 700]] * 3)
    np.testing.assert_array_equal(np.array(values)[:, 3:], -np.inf)


@pytest.mark.tensorflow  # only there can a batch be empty: shapes are known when it comes
def test_no_rows():
    values, indices = top_k(keras.ops.zeros((0, 1000)), 3)
    assert values.shape == indices.shape == (0, 3)


@pytest.mark.parametrize(
    ("size", "k", "pays"), [(10_000, 7, True), (9973, 7, False), (8, 7, False)]
)
def test_blocks_are_made_where_they_pay(size, k, pays):
    assert (_block_width(size, k) is not None) == pays
