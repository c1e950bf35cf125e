import keras
import numpy as np
import pytest

from seqkeras.ops.categorical import categorical_tables, draw_categorical

RNG = np.random.default_rng(0)


def draw(shares, count, seed=1):
    uniform = keras.random.uniform((2, count), seed=seed)
    return keras.ops.convert_to_numpy(draw_categorical(categorical_tables(shares), uniform))


@pytest.mark.parametrize("size", [1, 2, 3, 9, 10])
def test_outcomes_are_drawn_as_often_as_they_are_probable(size):
    shares = RNG.dirichlet(np.ones(size))
    shares[size // 2] = 0.0 if size > 1 else 1.0
    shares /= shares.sum()
    counts = np.bincount(draw(shares, 20_000), minlength=size)
    assert len(counts) == size
    assert counts[shares == 0].sum() == 0
    expected = 20_000 * shares[shares > 0]
    chi_square = np.sum((counts[shares > 0] - expected) ** 2 / expected)
    assert chi_square < 29.6  # at most 9 degrees, p = 0.0005


def test_rare_outcomes_of_a_large_set_have_their_share():
    """Each of the last half has 1e-8, a sixth of float32's step near 1."""
    size = 400_000
    shares = np.full(size, 1e-8)
    shares[: size // 2] = (1 - 1e-8 * size / 2) / (size / 2)
    found = draw(shares, 500_000)
    rare = found >= size // 2
    expected = 500_000 * 1e-8 * size / 2
    assert abs(rare.sum() - expected) < 5 * np.sqrt(expected)
    assert len(np.unique(found[rare])) > 0.99 * rare.sum()  # all over the half, not at some of it


def test_the_ends_of_the_uniform_numbers():
    tables = categorical_tables(np.array([0.25, 0.0, 0.5, 0.25, 0.0]))
    ends = np.array(
        [[0.0, 1.0 - 2**-24, 0.0, 1.0 - 2**-24], [0.0, 0.0, 1.0 - 2**-24, 1.0 - 2**-24]]
    )
    found = keras.ops.convert_to_numpy(draw_categorical(tables, ends.astype("float32")))
    assert set(found.tolist()) <= {0, 2, 3}
