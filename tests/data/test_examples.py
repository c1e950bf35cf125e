"""Encoded pairs against rows joined by hand, and the report of what was left out."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seqkeras.constants import END, PAD, UNK
from seqkeras.data import examples
from seqkeras.data.examples import encode_pairs


class LetterTokenizer:
    """Gives every letter its code point; its only blank is the space, which it drops."""

    def encode(self, texts):
        rows = [[ord(letter) for letter in text if letter != " "] for text in texts]
        return tf.ragged.constant(rows, dtype=tf.int32, ragged_rank=1)


def encode(pairs, max_length=100, **options):
    return encode_pairs(pairs, LetterTokenizer(), LetterTokenizer(), max_length, **options)


def rows(values, splits):
    return [values[a:b].tolist() for a, b in itertools.pairwise(splits)]


def letters(text):
    return [*map(ord, text), END]


def test_rows_are_the_ids_and_end():
    encoded, report = encode([("ab", "c"), ("d e", "fg")])
    assert rows(encoded.source_values, encoded.source_splits) == [letters("ab"), letters("de")]
    assert rows(encoded.target_values, encoded.target_splits) == [letters("c"), letters("fg")]
    assert encoded.source_lengths.tolist() == [3, 3]
    assert encoded.target_lengths.tolist() == [2, 3]
    assert encoded.pair_index.tolist() == [0, 1]
    assert str(report) == "train: kept 2 of 2 pairs"


def test_dtypes_are_those_of_a_ragged_tensor():
    encoded, _ = encode([("a", "b")])
    assert [array.dtype for array in encoded] == [np.int32, np.int64, np.int32, np.int64, np.int64]


@pytest.mark.parametrize("blank", ["", "   ", "\t", "\u3000", "\u00a0 "])
def test_blank_sides_are_left_out_and_counted_once(blank):
    encoded, report = encode([(blank, "a"), ("a", blank), ("b", "c"), (blank, blank)])
    assert encoded.pair_index.tolist() == [2]
    assert (report.empty_source, report.empty_target, report.too_long) == ((1, 4), (2,), ())
    assert (report.kept, report.total) == (1, 4)


def test_max_length_counts_end_on_either_side():
    pairs = [("abc", "d"), ("abcd", "d"), ("a", "bcde"), ("a", "bcd")]
    encoded, report = encode(pairs, max_length=4)
    assert encoded.pair_index.tolist() == [0, 3]
    assert report.too_long == (2, 3)


def test_the_report_is_one_readable_line():
    pairs = [("a", "b"), ("", "b"), ("a", " "), *[("a" * 9, "b")] * 1200]
    _, report = encode(pairs, max_length=8, name="val")
    assert str(report) == (
        "val: kept 1 of 1,203 pairs; left out 1 with an empty source (line 2), 1 with an empty "
        "target (line 3), 1,200 longer than 8 tokens (lines 4, 5, 6, 7, 8, ...)"
    )


def test_nothing_left_is_an_error_that_says_why():
    with pytest.raises(ValueError, match=r"no pair is left.*kept 0 of 1 .*empty source \(line 1\)"):
        encode([("", "a")])
    with pytest.raises(ValueError, match="val holds no pairs"):
        encode([], name="val")


@pytest.mark.parametrize("reserved", [PAD, 1, END])
def test_a_tokenizer_that_emits_reserved_ids_is_refused(reserved):
    with pytest.raises(ValueError, match=r"LetterTokenizer\.encode returned ids among"):
        encode([("a", "b"), (f"a{chr(reserved)}b", "b")])


def test_unknown_tokens_are_real_tokens():
    encoded, _ = encode([(chr(UNK), chr(UNK) * 2)])
    assert encoded.source_values.tolist() == [UNK, END]
    assert encoded.target_values.tolist() == [UNK, UNK, END]


text = st.text(alphabet="abc ", max_size=8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(text, text), min_size=1, max_size=12), st.integers(2, 9))
def test_every_pair_is_kept_or_counted(pairs, max_length):
    pairs = [("a", "b"), *pairs]
    stripped = [(source.replace(" ", ""), target.replace(" ", "")) for source, target in pairs]
    fits = [0 < len(s) < max_length and 0 < len(t) < max_length for s, t in stripped]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "_TEXTS_PER_CALL", 5)  # so that rows cross calls of the tokenizer
        encoded, report = encode(pairs, max_length)

    assert encoded.pair_index.tolist() == np.flatnonzero(fits).tolist()
    expected = [[letters(side) for side in stripped[i]] for i in encoded.pair_index]
    assert rows(encoded.source_values, encoded.source_splits) == [pair[0] for pair in expected]
    assert rows(encoded.target_values, encoded.target_splits) == [pair[1] for pair in expected]
    left_out = {*report.empty_source, *report.empty_target, *report.too_long}
    assert left_out == set((np.flatnonzero(~np.array(fits)) + 1).tolist())
    assert report.kept + len(left_out) == report.total == len(pairs)
