"""Where a pipeline of text pairs finds its splits: generated, in files, or in TFDS."""

import functools
from pathlib import Path

from pipelines.dates import make_dates
from seqkeras.data.readers import read_parallel, read_tfds, read_tsv


def read_pairs(data, split, seed):
    """Reads one split.

    Args:
        data: Settings with `path` ("builtin", a folder, or "tfds:NAME"), `source` and `target`.
        split: Its name: a split of the generated task, the stem of the files, or a TFDS split.
        seed: Of the generated task.

    Returns:
        List of `(source, target)` strings.

    Raises:
        FileNotFoundError, ValueError: naming the file, the line, and what was expected.
    """
    if data.path == "builtin":
        splits = _dates(seed)
        if split not in splits._fields:
            raise ValueError(f"builtin: expected a split out of {splits._fields}, got {split!r}.")
        return getattr(splits, split)
    if data.path.startswith("tfds:"):
        return read_tfds(data.path.removeprefix("tfds:"), split, data.source, data.target)
    folder = Path(data.path)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"--data.path {data.path}: expected a folder with {split}.{data.source} and "
            f'{split}.{data.target} or {split}.tsv, "builtin", or "tfds:NAME".'
        )
    if (folder / f"{split}.tsv").exists():
        return read_tsv(folder / f"{split}.tsv")
    return read_parallel(folder, split, data.source, data.target)


@functools.cache
def _dates(seed):
    return make_dates(seed)
