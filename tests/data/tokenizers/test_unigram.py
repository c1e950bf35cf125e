"""Viterbi against the best of all segmentations, listed one by one."""

import numpy as np
import pytest
import tensorflow as tf

from seqkeras.constants import PAD, SPECIAL_TOKENS, UNK
from seqkeras.data.tokenizers.unigram import UnigramSegmenter


def segmentations(text):
    """Yields every way to cut a text into pieces."""
    if not text:
        yield []
    for cut in range(1, len(text) + 1):
        for rest in segmentations(text[cut:]):
            yield [text[:cut], *rest]


def best_score(text, scores):
    """Returns the score of the best segmentation, with unknown characters 10 below the worst."""
    unknown = min(scores.values()) - 10.0

    def score(piece):
        return scores.get(piece, unknown if len(piece) == 1 else -np.inf)

    return max(sum(map(score, pieces)) for pieces in segmentations(text))


def segment(runs, scores):
    """Returns the ids of every run, from one call for all of them."""
    vocabulary = [*SPECIAL_TOKENS, *scores]
    index = {piece: i for i, piece in enumerate(vocabulary) if i > UNK}
    characters = [index.get(character, UNK) for run in runs for character in run]
    numbers = np.repeat(np.arange(len(runs)), [len(run) for run in runs])
    segmenter = UnigramSegmenter(vocabulary, [0.0] * len(SPECIAL_TOKENS) + list(scores.values()))
    ids = segmenter.segment(tf.constant(characters, tf.int32), tf.constant(numbers, tf.int32))
    return [[i for i in ids.numpy()[numbers == run] if i != PAD] for run in range(len(runs))]


@pytest.mark.parametrize("seed", range(5))
def test_finds_a_best_segmentation(seed):
    rng = np.random.default_rng(seed)
    pieces = {"".join(rng.choice(list("abc"), rng.integers(2, 5))) for _ in range(20)}
    scores = {piece: -float(rng.uniform(1, 6)) for piece in ["a", "b", "c", *sorted(pieces)]}
    runs = ["".join(rng.choice(list("aabbccd"), rng.integers(1, 10))) for _ in range(25)]
    vocabulary = [*SPECIAL_TOKENS, *scores]
    for run, ids in zip(runs, segment(runs, scores), strict=True):
        found = [vocabulary[i] for i in ids]
        assert "".join("d" if piece == "<unk>" else piece for piece in found) == run
        unknown = min(scores.values()) - 10.0
        score = sum(scores.get(piece, unknown) for piece in found)
        np.testing.assert_allclose(score, best_score(run, scores), rtol=1e-5)


def test_equally_good_segmentations_end_in_the_longest_piece():
    scores = {"a": -2.0, "aa": -2.0}
    assert segment(["aaa"], scores) == [[4, 5]]
    assert segment(["aa"], {"a": -1.0, "aa": -2.0}) == [[5]]


def test_a_known_path_beats_unknown_characters():
    scores = {"a": -1.0, "b": -50.0, "ab": -60.0}
    assert segment(["ab", "axb"], scores) == [[4, 5], [4, UNK, 5]]


def test_runs_do_not_reach_into_each_other():
    scores = {"a": -5.0, "b": -5.0, "ab": -1.0}
    assert segment(["a", "b", "ab"], scores) == [[4], [5], [6]]


def test_no_runs():
    assert segment([], {"a": -1.0}) == []
