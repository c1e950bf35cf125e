"""Where the language-model pipeline finds its text: generated, in files, or in TFDS.

Text is read line by line; the ids that a model is trained on are kept in a file, so that this
corpus may be larger than the memory. What counts n-grams, or evaluates, has all of a split there.
"""

import functools
import itertools
from pathlib import Path

import numpy as np

from pipelines.log_lines import make_log
from pipelines.run_directory import RunDirectory
from seqkeras.constants import END
from seqkeras.data.readers import iterate_lines, iterate_tfds_text
from seqkeras.data.tokenizers import load_tokenizer, train_tokenizer
from seqkeras.training.checkpoints import write_atomically

_LINES_AT_ONCE = 4096  # bounds the memory that a tokenizer takes at a time
_IDS_AT_ONCE = 2**22


class Corpus:
    """The lines of one split: iterate over it as often as need be.

    Args:
        data: Settings with `path`: "builtin", a folder, or "tfds:NAME".
        split: Its name: a split of the generated log, the stem of a text file, or a TFDS split.
        seed: Of the generated log.

    Raises:
        FileNotFoundError, ValueError: naming the file, the line, and what was expected; what is
            wrong with a line is found when it is reached.
    """

    def __init__(self, data, split, seed):
        self._open = self._source(data, split, seed)
        if not any(line.strip() for line in self):
            raise ValueError(
                f"--data.path {data.path}: expected text in {split!r}, got blank lines."
            )

    @staticmethod
    def _source(data, split, seed):
        """Returns a function that returns an iterator over the lines."""
        if data.path == "builtin":
            splits = _log(seed)
            if split not in splits._fields:
                raise ValueError(
                    f"builtin: expected a split out of {splits._fields}, got {split!r}."
                )
            return functools.partial(iter, getattr(splits, split))
        if data.path.startswith("tfds:"):
            return functools.partial(iterate_tfds_text, data.path.removeprefix("tfds:"), split)
        if not Path(data.path).is_dir():
            raise FileNotFoundError(
                f"--data.path {data.path}: expected a folder with {split}.txt, "
                f'"builtin", or "tfds:NAME".'
            )
        return functools.partial(iterate_lines, Path(data.path) / f"{split}.txt")

    def __iter__(self):
        return self._open()


@functools.cache
def _log(seed):
    return make_log(seed)


def tokenizer_of_run(config, run, lines):
    """Returns the tokenizer of a run: its own, that of the run it starts from, or a new one."""
    data = config.data
    if config.resume and run.source_tokenizer.exists():
        return load_tokenizer(run.source_tokenizer)
    if config.init_from:
        start = RunDirectory(config.init_from)
        tokenizer = load_tokenizer(start.require(start.source_tokenizer))
    else:
        options = {"lowercase": data.lowercase}
        tokenizer = train_tokenizer(data.tokenizer, lines, data.vocabulary_size, **options)
    tokenizer.save(run.source_tokenizer)
    return tokenizer


def encode_corpus(lines, tokenizer):
    """Returns the ids of a corpus as one int32 array `(N,)`, END after every line."""
    return np.concatenate(list(_encoded(lines, tokenizer)))


def encode_to_file(lines, tokenizer, path, keep):
    """Writes END and then the ids of a corpus into a file.

    Args:
        lines: Iterable of str.
        tokenizer: `Tokenizer`.
        path: The file, which appears when it is complete.
        keep: If True, one that is there already is taken as it is.

    Returns:
        Read-only int32 `np.memmap` `(1 + N,)`.

    Raises:
        OSError: if it cannot be written; there is no part of a file then.
    """

    def write(file):
        file.write(np.array([END], np.int32).tobytes())
        for ids in _encoded(lines, tokenizer):
            file.write(ids.tobytes())

    if not (keep and path.exists()):
        write_atomically(path, write)
    return np.memmap(path, np.int32, mode="r")


def _encoded(lines, tokenizer):
    """Yields int32 arrays, which together are the ids."""
    lines = iter(lines)
    while some := list(itertools.islice(lines, _LINES_AT_ONCE)):
        ids = tokenizer.encode(some)
        ends = np.cumsum(ids.row_lengths().numpy())
        yield np.insert(ids.values.numpy(), ends, END).astype(np.int32)


def count_ids(ids, size):
    """Returns how often each of `size` ids occurs, int64."""
    parts = (ids[i : i + _IDS_AT_ONCE] for i in range(0, len(ids), _IDS_AT_ONCE))
    return sum(np.bincount(part, minlength=size) for part in parts)
