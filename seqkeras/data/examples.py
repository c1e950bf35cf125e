"""Pairs of texts -> pairs of token rows, with a report of every pair that was left out.

Rows lie end to end in one flat array, with the boundaries beside it (the `row_splits` form of
`tf.RaggedTensor`): row i is `values[splits[i]:splits[i + 1]]`. Every row ends with END; START is
not stored, for the batches put it before the decoder's input.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from seqkeras.constants import END, PAD, START

_TEXTS_PER_CALL = 4096  # bounds the memory that a tokenizer takes at a time
_LINES_LISTED = 5


class EncodedPairs(NamedTuple):
    """Token rows of N pairs, in the order of the text.

    Args:
        source_values: int32 array. The source rows end to end, each with its END.
        source_splits: int64 array `(N + 1,)`. Where the source rows begin and end.
        target_values: int32 array. The target rows end to end, each with its END.
        target_splits: int64 array `(N + 1,)`. Where the target rows begin and end.
        pair_index: int64 array `(N,)`. Which of the given pairs each row came from.
    """

    source_values: np.ndarray
    source_splits: np.ndarray
    target_values: np.ndarray
    target_splits: np.ndarray
    pair_index: np.ndarray

    @property
    def source_lengths(self):
        """int64 array `(N,)`: tokens of each source row, END included."""
        return np.diff(self.source_splits)

    @property
    def target_lengths(self):
        """int64 array `(N,)`: tokens of each target row, END included."""
        return np.diff(self.target_splits)


@dataclasses.dataclass(frozen=True)
class LengthReport:
    """What `encode_pairs` kept and left out; printed, it is one line.

    A pair is counted once, under the first reason that applies.

    Args:
        name: str, what the pairs are, such as `"train"`.
        max_length: int, the most tokens a side may have, END included.
        kept: int, pairs that were kept.
        empty_source: tuple of int, the lines (counted from 1) whose source has no token.
        empty_target: tuple of int, the lines whose target has no token.
        too_long: tuple of int, the lines with a side of more than `max_length` tokens.
    """

    name: str
    max_length: int
    kept: int
    empty_source: tuple
    empty_target: tuple
    too_long: tuple

    @property
    def total(self):
        """int: pairs that were given."""
        return self.kept + len(self.empty_source) + len(self.empty_target) + len(self.too_long)

    def __str__(self):
        reasons = [
            (self.empty_source, "with an empty source"),
            (self.empty_target, "with an empty target"),
            (self.too_long, f"longer than {self.max_length} tokens"),
        ]
        left_out = [
            f"{len(lines):,} {reason} ({_list_lines(lines)})" for lines, reason in reasons if lines
        ]
        kept = f"{self.name}: kept {self.kept:,} of {self.total:,} pairs"
        return f"{kept}; left out {', '.join(left_out)}" if left_out else kept


def encode_pairs(pairs, source_tokenizer, target_tokenizer, max_length, name="train"):
    """Encodes pairs of texts, leaving out those that are empty or too long.

    Args:
        pairs: list of `(source, target)` str pairs; pair i counts as line i + 1.
        source_tokenizer: has `encode(texts) -> int32 RaggedTensor (B, None)`, without START, END.
        target_tokenizer: the same for the targets.
        max_length: int. The most tokens a side may have, END included.
        name: str, what the pairs are; it begins the report.

    Returns:
        `(EncodedPairs, LengthReport)`.

    Raises:
        ValueError: no pair is left, or a tokenizer emits PAD, START or END.

    Example:

    >>> from seqkeras.data import encode_pairs, train_tokenizer
    >>> letters = train_tokenizer("characters", ["abc"], vocabulary_size=7)
    >>> encoded, report = encode_pairs([("ab", "ba"), ("", "c")], letters, letters, max_length=10)
    >>> print(report)
    train: kept 1 of 2 pairs; left out 1 with an empty source (line 2)
    >>> encoded.source_lengths
    array([3])
    """
    if not pairs:
        raise ValueError(f"{name} holds no pairs: is its file empty?")
    sources, targets = zip(*pairs, strict=True)
    source_values, source_lengths = _encode(sources, source_tokenizer)
    target_values, target_lengths = _encode(targets, target_tokenizer)

    empty_source = source_lengths == 1  # only END
    empty_target = ~empty_source & (target_lengths == 1)
    too_long = ~empty_source & ~empty_target
    too_long &= np.maximum(source_lengths, target_lengths) > max_length
    keep = ~(empty_source | empty_target | too_long)
    report = LengthReport(
        name=name,
        max_length=max_length,
        kept=int(keep.sum()),
        empty_source=_lines(empty_source),
        empty_target=_lines(empty_target),
        too_long=_lines(too_long),
    )
    if not report.kept:
        raise ValueError(
            f"no pair is left to use. {report}. Raise max_length, or look at the text."
        )
    return EncodedPairs(
        source_values[np.repeat(keep, source_lengths)],
        _row_splits(source_lengths[keep]),
        target_values[np.repeat(keep, target_lengths)],
        _row_splits(target_lengths[keep]),
        np.flatnonzero(keep),
    ), report


def _encode(texts, tokenizer):
    """Returns the flat values of all rows, END after each, and the rows' lengths with it."""
    values, lengths = [], []
    for begin in range(0, len(texts), _TEXTS_PER_CALL):
        # A tokenizer need not take every blank of Unicode for one: what is blank here is empty.
        chunk = [text if text.strip() else "" for text in texts[begin : begin + _TEXTS_PER_CALL]]
        rows = tokenizer.encode(chunk)
        values.append(np.insert(rows.values.numpy(), rows.row_splits.numpy()[1:], END))
        lengths.append(rows.row_lengths().numpy() + 1)
    values, lengths = np.concatenate(values), np.concatenate(lengths)
    reserved = np.isin(values, (PAD, START, END)).sum() - len(texts)  # less the ENDs added here
    if reserved:
        raise ValueError(
            f"{type(tokenizer).__name__}.encode returned ids among PAD={PAD}, START={START} and "
            f"END={END} ({reserved} times); these are added later, and must not come from it"
        )
    return values.astype(np.int32), lengths.astype(np.int64)


def _row_splits(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _lines(selected):
    return tuple((np.flatnonzero(selected) + 1).tolist())


def _list_lines(lines):
    word = "line" if len(lines) == 1 else "lines"
    shown = ", ".join(str(line) for line in lines[:_LINES_LISTED])
    return f"{word} {shown}" + (", ..." if len(lines) > _LINES_LISTED else "")
