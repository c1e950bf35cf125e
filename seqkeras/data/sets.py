"""Sets of vectors with what is to be told of them, from `.npz` files.

One file for all splits: `x_train` numbers `(M, T, D)`, M sets of up to T elements; `y_train`
numbers `(M,)` or `(M, K)`; and the same for `test` and others; optional `length_train` `(M,)`, how
many elements of each set are real, the first ones, where they differ. What lies behind them is not
read.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np


class Sets(NamedTuple):
    """Padded sets and their targets.

    Attributes:
        elements: float32 `(M, T, D)`, zero behind the end of each set.
        length: int32 `(M,)`.
        targets: float32 `(M, 1, K)`, as `seqkeras.models.set_transformer` answers.
    """

    elements: np.ndarray
    length: np.ndarray
    targets: np.ndarray

    def take(self, rows):
        """Returns the `Sets` of these rows."""
        return Sets(*(column[rows] for column in self))


def read_sets_npz(path, split):
    """Reads one split of an `.npz` file.

    Args:
        path: str or `pathlib.Path`.
        split: str, what the names of its arrays end with, such as `"train"`.

    Returns:
        `Sets`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an array is missing, has another shape or type, or a number is not finite.
    """
    path = Path(path)
    names = [f"x_{split}", f"y_{split}"]
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: expected an .npz file with {', '.join(names)}")
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in names if name not in file.files]
        if missing:
            raise ValueError(f"{path}: expected the arrays {missing}, got {sorted(file.files)}")
        x, y = (file[name] for name in names)
        length = file[f"length_{split}"] if f"length_{split}" in file.files else None
    numbers = x.dtype.kind in "fiu" and y.dtype.kind in "fiu"
    if not numbers or x.ndim != 3 or not len(x) or y.ndim not in (1, 2) or len(y) != len(x):
        raise ValueError(
            f"{path}: expected x_{split} as numbers (M, elements, features) with M > 0 and "
            f"y_{split} as numbers (M,) or (M, targets), got {x.dtype} {x.shape} and {y.dtype} "
            f"{y.shape}"
        )
    length = np.full(len(x), x.shape[1]) if length is None else length
    if length.shape != (len(x),) or length.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: expected length_{split} as {len(x)} integers, got {length.dtype} "
            f"{length.shape}"
        )
    if length.min() < 1 or length.max() > x.shape[1]:
        raise ValueError(
            f"{path}: expected length_{split} from 1 to {x.shape[1]}, got {length.min()} to "
            f"{length.max()}"
        )
    real = np.arange(x.shape[1]) < length[:, None]
    elements = np.where(real[:, :, None], x, 0).astype(np.float32)
    targets = y.astype(np.float32).reshape(len(y), 1, -1)
    for name, values in zip(names, (elements, targets), strict=True):
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            raise ValueError(
                f"{path}, {name}: expected finite numbers, got {values[tuple(wrong[0])]} in set "
                f"{wrong[0][0] + 1}. Where sets end earlier, give length_{split}."
            )
    return Sets(elements, length.astype(np.int32), targets)
