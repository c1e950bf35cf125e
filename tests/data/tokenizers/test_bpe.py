"""Merging against the textbook loop on Python strings."""

import numpy as np
import pytest
import tensorflow as tf

from seqkeras.constants import PAD, SPECIAL_TOKENS, UNK
from seqkeras.data.tokenizers.bpe import BPESegmenter


def merge_by_hand(characters, vocabulary):
    """Returns the ids of one run of characters, by one merge after another."""
    rank = {piece: i for i, piece in enumerate(vocabulary) if i > UNK}
    pieces = list(characters)
    while True:
        candidates = [
            (rank[pieces[i] + pieces[i + 1]], i)
            for i in range(len(pieces) - 1)
            if pieces[i] + pieces[i + 1] in rank
        ]
        if not candidates:
            return [rank.get(piece, UNK) for piece in pieces]
        _, i = min(candidates)
        pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]


def segment(runs, vocabulary):
    """Returns the ids of every run, from one call for all of them."""
    index = {piece: i for i, piece in enumerate(vocabulary) if i > UNK}
    characters = [index.get(character, UNK) for run in runs for character in run]
    numbers = np.repeat(np.arange(len(runs)), [len(run) for run in runs])
    ids = BPESegmenter(vocabulary).segment(
        tf.constant(characters, tf.int32), tf.constant(numbers, tf.int32)
    )
    return [[i for i in ids.numpy()[numbers == run] if i != PAD] for run in range(len(runs))]


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_textbook_loop(seed):
    rng = np.random.default_rng(seed)
    pieces = {"".join(rng.choice(list("abc"), rng.integers(2, 6))) for _ in range(25)}
    vocabulary = [*SPECIAL_TOKENS, *rng.permutation(sorted(pieces)), *"abc"]
    runs = ["".join(rng.choice(list("abcd"), rng.integers(1, 15))) for _ in range(40)]
    expected = [merge_by_hand(run, vocabulary) for run in runs]
    assert segment(runs, vocabulary) == expected
    assert any(len(ids) < len(run) for ids, run in zip(expected, runs, strict=True))


def test_the_earlier_merge_wins_over_the_longer_piece():
    vocabulary = [*SPECIAL_TOKENS, "bc", "ab", "abc", *"abc"]
    assert segment(["abc"], vocabulary) == [[6]]  # b c first, then a + bc makes the learned abc
    vocabulary = [*SPECIAL_TOKENS, "bc", "ab", "abb", *"abc"]
    assert segment(["abbc"], vocabulary) == [[5, 4]]  # abb is never reached: bc went first


def test_a_piece_that_no_merge_reaches_is_never_found():
    vocabulary = [*SPECIAL_TOKENS, "abcd", *"abcd"]
    assert segment(["abcd"], vocabulary) == [[5, 6, 7, 8]]


def test_the_leftmost_of_equal_pairs_merges_first():
    vocabulary = [*SPECIAL_TOKENS, "aa", "a"]
    assert segment(["aaaaa", "a"], vocabulary) == [[4, 4, 5], [5]]


def test_runs_do_not_merge_into_each_other():
    vocabulary = [*SPECIAL_TOKENS, "ab", *"ab"]
    assert segment(["a", "b", "ab"], vocabulary) == [[5], [6], [4]]


def test_no_merges_and_no_runs():
    vocabulary = [*SPECIAL_TOKENS, *"ab"]
    assert segment(["ab", "x"], vocabulary) == [[4, 5], [UNK]]
    assert segment([], vocabulary) == []
