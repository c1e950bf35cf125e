import numpy as np
import pytest

from seqkeras.data.images import pixel_permutation, pixel_sequences, read_npz_images

pytestmark = pytest.mark.tensorflow


def arrays(**changes):
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(5, 4, 6)).astype("uint8")
    labels = np.arange(5, dtype="uint8")
    whole = {"x_train": images, "y_train": labels, "x_test": images[:2], "y_test": labels[:2]}
    return {name: a for name, a in (whole | changes).items() if a is not None}


def test_reads_both_splits(tmp_path):
    np.savez(tmp_path / "images.npz", **arrays())
    train, test = read_npz_images(tmp_path / "images.npz")
    np.testing.assert_array_equal(train.images, arrays()["x_train"])
    np.testing.assert_array_equal(test.labels, [0, 1])
    assert (train.images.dtype, train.labels.dtype) == (np.uint8, np.int32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "expected the arrays"),
        ({"x_train": np.zeros((5, 4, 6), "float32")}, "x_train as uint8"),
        ({"x_test": np.zeros((2, 24), "uint8")}, "x_test as uint8"),
        ({"y_train": np.zeros(4, "uint8")}, "y_train as integers (5,)"),
        ({"y_train": np.zeros(5, "float32")}, "y_train as integers (5,)"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, changes, message):
    np.savez(tmp_path / "images.npz", **arrays(**changes))
    with pytest.raises(ValueError, match=r"images\.npz") as error:
        read_npz_images(tmp_path / "images.npz")
    assert message in str(error.value)


def test_pixels_come_row_by_row():
    images = arrays()["x_train"]
    sequences = pixel_sequences(images).numpy()
    assert sequences.shape == (5, 24, 1)
    np.testing.assert_allclose(sequences[2, 6 * 3 + 1, 0], images[2, 3, 1] / 255, rtol=1e-6)
    assert sequences.min() >= 0.0
    assert sequences.max() <= 1.0


def test_shrinking_takes_the_mean_of_squares():
    images = arrays()["x_train"]
    shrunk = pixel_sequences(images, shrink=2).numpy()[..., 0].reshape(5, 2, 3)
    for row in range(2):
        for column in range(3):
            square = images[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] / 255
            np.testing.assert_allclose(shrunk[:, row, column], square.mean((1, 2)), rtol=1e-5)
    with pytest.raises(ValueError, match="shrink"):
        pixel_sequences(images, shrink=4)


def test_one_order_for_all_images():
    images, order = arrays()["x_train"], pixel_permutation(24, seed=3)
    permuted = pixel_sequences(images, order=order).numpy()
    np.testing.assert_array_equal(permuted, pixel_sequences(images).numpy()[:, order])


def test_the_order_is_fixed_by_the_seed():
    np.testing.assert_array_equal(pixel_permutation(784, 1), pixel_permutation(784, 1))
    assert sorted(pixel_permutation(784, 1)) == list(range(784))
    assert (pixel_permutation(784, 1) != pixel_permutation(784, 2)).any()
    # NumPy promises that this generator's numbers stay: its first word for seed 0 is well known.
    assert np.random.RandomState(0).randint(2**32, dtype=np.uint32) == 2357136044
