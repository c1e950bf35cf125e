"""Where the classification pipeline finds its splits: generated, in files, or in TFDS."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.control_charts import make_control_charts
from seqkeras.constants import END
from seqkeras.data.labelled_text import read_labelled_tfds, read_labelled_tsv
from seqkeras.data.sequence_batches import join_sequences
from seqkeras.data.series import read_series_csv, read_series_npz

_TEXTS_PER_CALL = 4096  # bounds the memory that a tokenizer takes at a time


class Split(NamedTuple):
    """One split.

    Attributes:
        sequences: List of str, or of float32 arrays `(T, D)`.
        labels: List of str.
        names: What each example is called in the samples: the text, or the name of the series.
    """

    sequences: list
    labels: list
    names: list

    @property
    def is_text(self):
        """Whether the sequences are texts."""
        return isinstance(self.sequences[0], str)

    def take(self, rows):
        """Returns the `Split` of these rows."""
        return Split(*([column[row] for row in rows] for column in self))


def read_split(data, split, seed):
    """Reads one split.

    Args:
        data: Settings with `path`, see `classification_config.Data`.
        split: Its name.
        seed: Of the generated task.

    Returns:
        `Split`.

    Raises:
        FileNotFoundError, ValueError: naming the file, the line, and what was expected.
    """
    path = Path(data.path)
    if data.path == "builtin":
        splits = _control_charts(seed)
        if split not in splits:
            raise ValueError(f"builtin: expected a split out of {tuple(splits)}, got {split!r}.")
        return _numbered(splits[split])
    if data.path.startswith("tfds:"):
        return _texts(read_labelled_tfds(data.path.removeprefix("tfds:"), split))
    if path.suffix == ".npz":
        return _numbered(read_series_npz(path, split))
    csv, tsv = path / f"{split}.csv", path / f"{split}.tsv"
    if csv.is_file():
        examples, names, _ = read_series_csv(csv)
        if examples[0][1] is None:
            raise ValueError(f"{csv}: expected the columns series,label,..., got no label")
        return Split(*map(list, zip(*examples, strict=True)), names)
    if tsv.is_file():
        return _texts(read_labelled_tsv(tsv))
    raise FileNotFoundError(
        f"--data.path {data.path}: expected a folder with {split}.csv (time series) or {split}.tsv "
        f'(label, tab, text), an .npz file, "builtin", or "tfds:NAME".'
    )


def read_training(data, seed):
    """Returns the `(training, validation)` splits; the second is held out where it has no file."""
    train = read_split(data, data.train, seed)
    if data.validation is not None:
        return train, read_split(data, data.validation, seed)
    held = held_out_rows(train.labels, data.held_out, seed)
    rest = sorted(set(range(len(train.labels))) - set(held))
    return train.take(rest), train.take(held)


def held_out_rows(labels, share, seed):
    """Returns the rows to hold out: of each class the share, at least one, never all.

    Raises:
        ValueError: a class has one example only, or the share is not in (0, 1).
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"held_out: expected a share in (0, 1), got {share}.")
    rng = np.random.default_rng(seed)
    held = []
    for label in sorted(set(labels)):
        rows = [row for row, other in enumerate(labels) if other == label]
        if len(rows) < 2:
            raise ValueError(
                f"class {label!r} has one training example, and none can be held out: expected at "
                "least two of each class. Give --data.validation a split of its own."
            )
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held += rng.choice(rows, count, replace=False).tolist()
    return sorted(held)


def encode(split, name, labels, max_length, tokenizer=None, channels=None):
    """Turns a split into the sequences of numbers that a model reads.

    Args:
        split: `Split`.
        name: What it is called in messages.
        labels: List of str: class i is labels[i].
        max_length: Steps that are kept of each sequence, the END of a text included.
        tokenizer: `Tokenizer` of texts; None: time series.
        channels: int, that series have.

    Returns:
        `LabelledSequences`.

    Raises:
        ValueError: a label is unknown, the sequences are of the other kind, or have another number
            of channels.
    """
    classes = _classes(split, name, labels)
    if split.is_text != (tokenizer is not None):
        kinds = ("time series", "texts")
        raise ValueError(
            f"{name}: expected {kinds[tokenizer is not None]}, as in training, got "
            f"{kinds[split.is_text]}."
        )
    if split.is_text:
        return join_sequences(_token_rows(split.sequences, tokenizer, max_length), classes)
    found = split.sequences[0].shape[1]  # readers give one number for a whole split
    if found != channels:
        raise ValueError(f"{name}: expected {channels} channels, as in training, got {found}.")
    return join_sequences([series[:max_length] for series in split.sequences], classes)


def _classes(split, name, labels):
    ids = {label: number for number, label in enumerate(labels)}
    for row, label in enumerate(split.labels):
        if label not in ids:
            raise ValueError(
                f"{name}: the label {label!r} of example {row + 1} does not occur in training, "
                f"which knows {', '.join(labels)}. Correct it, or add examples to the training."
            )
    return [ids[label] for label in split.labels]


def _token_rows(texts, tokenizer, max_length):
    rows = []
    for first in range(0, len(texts), _TEXTS_PER_CALL):
        ids = tokenizer.encode(texts[first : first + _TEXTS_PER_CALL])[:, : max_length - 1]
        rows += [np.array([*row, END], np.int32) for row in ids.to_list()]
    return rows


def _texts(examples):
    texts, labels = map(list, zip(*examples, strict=True))
    return Split(texts, labels, texts)


def _numbered(examples):
    series, labels = map(list, zip(*examples, strict=True))
    return Split(series, labels, [str(number + 1) for number in range(len(series))])


@functools.cache
def _control_charts(seed):
    return make_control_charts(seed)
