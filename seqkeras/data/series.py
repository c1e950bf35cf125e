"""Readers of labelled time series: `.npz` and CSV, as a list of `(series, label)`.

| format | file |
|---|---|
| npz | one file for all splits: `x_train` float `(N, T, D)`, `y_train` integers or strings `(N,)`, and the same for `test` and others; optional `length_train` `(N,)`, the real steps of each series, where they differ; optional `classes` `(C,)`, the names of integer labels |
| CSV | `train.csv`: a header `series,label,CHANNEL,...`, then one line for each time step |

    series,label,x,y          Lines of one series follow each other; `series` is any name that
    a1,walk,0.13,-1.2         tells it from the next one. Every line of a series has the same
    a1,walk,0.15,-1.1         label. Series may differ in length. To predict, the column `label`
    a2,run,2.10,0.3           may be missing.

A series is a float32 array `(T, D)`. Every value must be a finite number: what a gap in a
measurement means (the last value, a mean, a channel of its own that says so) is for you to say.
"""  # noqa: E501

import csv
from pathlib import Path

import numpy as np

from seqkeras.data.readers import read_lines

_LARGEST = float(np.finfo(np.float32).max)


def read_series_npz(path, split):
    """Reads one split of an `.npz` file.

    Args:
        path: str or `pathlib.Path`.
        split: str, what the names of its arrays end with, such as `"train"`.

    Returns:
        List of `(series, label)`: a float32 array `(T, D)` and a str.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an array is missing, has another shape or type, or a number is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: expected an .npz file with x_{split}, y_{split}")
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in (f"x_{split}", f"y_{split}") if name not in file.files]
        if missing:
            raise ValueError(f"{path}: expected the arrays {missing}, got {sorted(file.files)}")
        x, y = file[f"x_{split}"], file[f"y_{split}"]
        length = file[f"length_{split}"] if f"length_{split}" in file.files else None
        classes = file["classes"] if "classes" in file.files else None
    if x.ndim != 3 or x.dtype.kind not in "fiu" or not len(x) or y.shape != (len(x),):
        raise ValueError(
            f"{path}: expected x_{split} as numbers (N, steps, channels) with N > 0 and "
            f"y_{split} as (N,), got {x.dtype} {x.shape} and {y.dtype} {y.shape}"
        )
    length = _check_lengths(path, split, x, length)
    labels = _label_names(path, split, y, classes)
    series = [row[:steps].astype(np.float32) for row, steps in zip(x, length, strict=True)]
    for number, values in enumerate(series):
        _check_finite(values, f"{path}, series {number + 1} of x_{split}, step {{}}")
    return list(zip(series, labels, strict=True))


def read_series_csv(path):
    """Reads a CSV file of the format above.

    Args:
        path: str or `pathlib.Path`.

    Returns:
        `(examples, names, channels)`: a list of `(series, label)`, label None where the file has
        no such column; the names of the series; and those of the channels.

    Raises:
        FileNotFoundError: no such file; the message lists what its folder holds.
        ValueError: naming the line: a header without channels, a wrong number of columns, what is
            no finite number, two labels in one series, a series in two places; or an empty file.
    """
    return parse_series_csv(read_lines(path), path)


def parse_series_csv(lines, path):
    """Returns what `read_series_csv` does, from lines; messages call them `path`."""
    rows = csv.reader(lines)
    header = [name.strip() for name in next(rows, [])]
    labelled = header[1:2] == ["label"]
    first = 2 if labelled else 1
    channels = header[first:]
    if header[:1] != ["series"] or not channels:
        raise ValueError(
            f"{path}, line 1: expected the header series,label,CHANNEL,... (or without label), "
            f"got {','.join(header) or 'nothing'!r}"
        )
    steps, labels = {}, {}
    last = None
    for row in rows:
        if not row:
            continue
        where = f"{path}, line {rows.line_num}"
        if len(row) != len(header):
            raise ValueError(
                f"{where}: expected {len(header)} columns ({','.join(header)}), got {len(row)}"
            )
        name, label = row[0], row[1] if labelled else None
        if name != last and name in steps:
            raise ValueError(
                f"{where}: series {name!r} goes on after another one; expected its lines to follow "
                "each other. Sort the file, or give the second series another name."
            )
        if labels.setdefault(name, label) != label or label == "":
            raise ValueError(
                f"{where}: expected one label for all lines of series {name!r}, got {label!r} "
                f"after {labels[name]!r}"
            )
        steps.setdefault(name, []).append(_numbers(row[first:], channels, where))
        last = name
    if not steps:
        raise ValueError(f"{path}: expected at least one line below the header, got none")
    series = [np.array(rows, np.float32) for rows in steps.values()]
    return list(zip(series, labels.values(), strict=True)), list(steps), channels


def _numbers(cells, channels, where):
    values = []
    for cell, channel in zip(cells, channels, strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = float("nan")
        if not abs(value) <= _LARGEST:  # NaN is not either
            raise ValueError(
                f"{where}: expected a finite number in column {channel!r}, got {cell!r}. Fill gaps "
                "before, or leave the series out."
            )
        values.append(value)
    return values


def _check_lengths(path, split, x, length):
    if length is None:
        return np.full(len(x), x.shape[1])
    ok = length.shape == (len(x),) and length.dtype.kind in "iu"
    if not ok or length.min() < 1 or length.max() > x.shape[1]:
        raise ValueError(
            f"{path}: expected length_{split} as {len(x)} integers from 1 to {x.shape[1]}, got "
            f"{length.dtype} {length.shape}" + (f", {length.min()} to {length.max()}" if ok else "")
        )
    return length


def _label_names(path, split, y, classes):
    if y.dtype.kind not in "iu":
        return [str(label) for label in y]
    if classes is None:
        return [str(int(label)) for label in y]
    if y.min() < 0 or y.max() >= len(classes):
        raise ValueError(
            f"{path}: expected y_{split} from 0 to {len(classes) - 1}, the {len(classes)} classes, "
            f"got {y.min()} to {y.max()}"
        )
    return [str(classes[label]) for label in y]


def _check_finite(values, where):
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        step, channel = wrong[0]
        raise ValueError(
            f"{where.format(step + 1)}: expected a finite number in channel {channel + 1}, got "
            f"{values[step, channel]}. Where series end earlier, give length_SPLIT; fill gaps "
            "before, or leave the series out."
        )
