import numpy as np
import pytest

from seqkeras.data.sets import read_sets_npz

X = np.arange(24.0).reshape(3, 4, 2)


def write(folder, **arrays):
    np.savez(folder / "sets.npz", **arrays)
    return folder / "sets.npz"


def test_what_lies_behind_a_set_is_not_read(tmp_path):
    padded = np.where(np.arange(4)[:, None] < 2, X, np.nan)
    path = write(tmp_path, x_a=padded, y_a=np.array([1, 2, 3]), length_a=np.array([2, 1, 2]))
    sets = read_sets_npz(path, "a")
    np.testing.assert_array_equal(sets.elements[1, :1], X[1, :1])
    assert not sets.elements[1, 1:].any()
    assert [column.dtype.name for column in sets] == ["float32", "int32", "float32"]
    np.testing.assert_array_equal(sets.targets, [[[1]], [[2]], [[3]]])
    np.testing.assert_array_equal(sets.take([2]).length, [2])


def test_without_lengths_sets_are_whole_and_targets_may_be_several(tmp_path):
    sets = read_sets_npz(write(tmp_path, x_a=X, y_a=np.ones((3, 5))), "a")
    np.testing.assert_array_equal(sets.length, [4, 4, 4])
    assert sets.targets.shape == (3, 1, 5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_a": X}, r"expected the arrays \['y_a'\], got \['x_a'\]"),
        ({"x_a": X[:, :, 0], "y_a": np.ones(3)}, "expected x_a as numbers"),
        ({"x_a": X, "y_a": np.ones(2)}, "expected x_a as numbers"),
        ({"x_a": X, "y_a": np.array(["a", "b", "c"])}, "expected x_a as numbers"),
        ({"x_a": X, "y_a": np.ones(3), "length_a": np.ones(3)}, "length_a as 3 integers"),
        ({"x_a": X, "y_a": np.ones(3), "length_a": np.array([1, 0, 2])}, "from 1 to 4, got 0 to 2"),
        ({"x_a": X * np.nan, "y_a": np.ones(3)}, "x_a: expected finite numbers, got nan in set 1"),
    ],
)
def test_mistakes_are_told(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        read_sets_npz(write(tmp_path, **arrays), "a")


def test_no_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"an .npz file with x_a, y_a"):
        read_sets_npz(tmp_path / "nowhere.npz", "a")
