import numpy as np
import pytest

from seqkeras.data.series import read_series_csv, read_series_npz

CSV = """series,label,x,y
a1,walk,0.5,-1
a1,walk,1.5,2e3
b,"run, fast",3,4
"""


def test_csv_keeps_series_of_different_lengths(tmp_path):
    (tmp_path / "train.csv").write_text(CSV)
    examples, names, channels = read_series_csv(tmp_path / "train.csv")
    assert names == ["a1", "b"]
    assert channels == ["x", "y"]
    (first, walk), (second, run) = examples
    assert (walk, run) == ("walk", "run, fast")
    np.testing.assert_array_equal(first, np.array([[0.5, -1], [1.5, 2000]], "float32"))
    np.testing.assert_array_equal(second, [[3, 4]])
    assert first.dtype == np.float32


def test_csv_to_predict_needs_no_label(tmp_path):
    (tmp_path / "new.csv").write_text("series,x\nn,1\n\nn,2\n")
    ((series, label),), names, channels = read_series_csv(tmp_path / "new.csv")
    assert (label, names, channels) == (None, ["n"], ["x"])
    np.testing.assert_array_equal(series, [[1], [2]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected the header series,label,CHANNEL"),
        ("a,b,1\n", "line 1: expected the header.*got 'a,b,1'"),
        ("series,label\na,b\n", "line 1: expected the header"),
        ("series,label,x\n", "at least one line below the header"),
        ("series,label,x\na,b,1\na,b\n", r"line 3: expected 3 columns \(series,label,x\), got 2"),
        ("series,label,x\na,b,1,2\n", "line 2: expected 3 columns.*got 4"),
        ("series,label,x\na,b,nan\n", "line 2: expected a finite number in column 'x', got 'nan'"),
        ("series,label,x\na,b,\n", "line 2: expected a finite number in column 'x', got ''"),
        ("series,label,x\na,b,1e99\n", "line 2: expected a finite number"),
        ("series,label,x\na,b,1\na,c,1\n", "line 3: expected one label.*got 'c' after 'b'"),
        ("series,label,x\na,,1\n", "line 2: expected one label"),
        ("series,label,x\na,b,1\nc,b,1\na,b,1\n", "line 4: series 'a' goes on after another"),
    ],
)
def test_a_wrong_csv_line_is_named(tmp_path, text, message):
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_series_csv(tmp_path / "train.csv")


ARRAYS = {
    "x_train": np.arange(12.0).reshape(2, 3, 2),
    "y_train": np.array([1, 0]),
    "classes": np.array(["sit", "run"]),
}


def read(tmp_path, **changes):
    arrays = {k: v for k, v in {**ARRAYS, **changes}.items() if v is not None}
    np.savez(tmp_path / "a.npz", **arrays)
    return read_series_npz(tmp_path / "a.npz", "train")


def test_npz_has_names_of_classes(tmp_path):
    (first, run), (_, sit) = read(tmp_path)
    assert (run, sit) == ("run", "sit")
    np.testing.assert_array_equal(first, np.arange(6, dtype="float32").reshape(3, 2))
    assert first.dtype == np.float32


def test_npz_without_names_or_with_strings(tmp_path):
    assert [label for _, label in read(tmp_path, classes=None)] == ["1", "0"]
    labels = [label for _, label in read(tmp_path, y_train=np.array(["b", "a"]))]
    assert labels == ["b", "a"]


def test_npz_lengths_cut_the_padding(tmp_path):
    x = ARRAYS["x_train"].copy()
    x[1, 1:] = np.nan
    examples = read(tmp_path, x_train=x, length_train=np.array([3, 1]))
    assert [len(series) for series, _ in examples] == [3, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": None}, r"expected the arrays \['y_train'\], got \['classes', 'x_train'\]"),
        ({"x_train": np.ones((2, 3))}, "numbers .N, steps, channels."),
        ({"x_train": np.ones((0, 3, 2)), "y_train": np.ones(0, int)}, "with N > 0"),
        ({"y_train": np.array([1])}, r"y_train as \(N,\)"),
        ({"y_train": np.array([0, 2])}, "from 0 to 1, the 2 classes, got 0 to 2"),
        ({"length_train": np.array([0, 3])}, "integers from 1 to 3, got .*0 to 3"),
        ({"length_train": np.array([1.0, 3.0])}, "integers from 1 to 3, got float64"),
        (
            {"x_train": np.where(ARRAYS["x_train"] == 9, np.nan, 0.0)},
            "series 2 of x_train, step 2: expected a finite number in channel 2, got nan",
        ),
    ],
)
def test_a_wrong_array_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **changes)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="an .npz file with x_test, y_test"):
        read_series_npz(tmp_path / "nowhere.npz", "test")


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "shape", "sizes", "labels"),
    [
        ("BasicMotions", (100, 6), (40, 40), {"Badminton", "Running", "Standing", "Walking"}),
        ("GunPoint", (150, 1), (50, 150), {"0", "1"}),
    ],
)
def test_real_sets(data_dir, name, shape, sizes, labels):
    for split, size in zip(("train", "test"), sizes, strict=True):
        examples = read_series_npz(data_dir / "ucr_uea" / f"{name}.npz", split)
        assert len(examples) == size
        assert {series.shape for series, _ in examples} == {shape}
        assert {label for _, label in examples} == labels
