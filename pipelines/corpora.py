"""Where the language-model pipeline finds its text: generated, in files, or in TFDS."""

import functools
from pathlib import Path

import numpy as np

from pipelines.log_lines import make_log
from pipelines.run_directory import RunDirectory
from seqkeras.constants import END, UNK
from seqkeras.data.readers import read_lines, read_tfds_text
from seqkeras.data.tokenizers import load_tokenizer, train_tokenizer

_TEXTS_PER_CALL = 4096  # bounds the memory that a tokenizer takes at a time


def read_corpus(data, split, seed):
    """Reads one split.

    Args:
        data: Settings with `path`: "builtin", a folder, or "tfds:NAME".
        split: Its name: a split of the generated log, the stem of a text file, or a TFDS split.
        seed: Of the generated log.

    Returns:
        List of str, the lines.

    Raises:
        FileNotFoundError, ValueError: naming the file, the line, and what was expected.
    """
    if data.path == "builtin":
        splits = _log(seed)
        if split not in splits._fields:
            raise ValueError(f"builtin: expected a split out of {splits._fields}, got {split!r}.")
        lines = getattr(splits, split)
    elif data.path.startswith("tfds:"):
        lines = read_tfds_text(data.path.removeprefix("tfds:"), split)
    elif not Path(data.path).is_dir():
        raise FileNotFoundError(
            f"--data.path {data.path}: expected a folder with {split}.txt, "
            f'"builtin", or "tfds:NAME".'
        )
    else:
        lines = read_lines(Path(data.path) / f"{split}.txt")
    if not any(line.strip() for line in lines):
        raise ValueError(f"--data.path {data.path}: expected text in {split!r}, got blank lines.")
    return lines


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
    found = []
    for begin in range(0, len(lines), _TEXTS_PER_CALL):
        ids = tokenizer.encode(lines[begin : begin + _TEXTS_PER_CALL])
        ends = np.cumsum(ids.row_lengths().numpy())
        found.append(np.insert(ids.values.numpy(), ends, END))
    return np.concatenate(found).astype(np.int32)


def unknown_share(ids):
    """Returns the share of tokens that the vocabulary lacks."""
    return float(np.mean(ids == UNK))
