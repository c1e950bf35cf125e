import numpy as np
import pytest

from seqkeras.data import spell
from seqkeras.heads.tries import trie

WORDS = ["cat", "car", "ca", "", "dog", "cat"]


def words_of(found, alphabet):
    """The word of every leaf, read on the way down."""
    above, words = [""], []
    for level in found.levels:
        texts = [
            above[parent] + ("" if c == 2 else alphabet[c - 4])
            for parent, c in zip(level.parent, level.character, strict=True)
        ]
        words += [texts[i] for i in level.leaves]
        above = [texts[i] for i in level.inner]
    return words


def test_leaves_are_the_words():
    spellings, alphabet = spell(WORDS)
    found = trie(spellings)
    leaves = words_of(found, alphabet)
    assert sorted(leaves) == sorted(set(WORDS))
    assert [leaves[place] for place in found.place] == WORDS


def test_beginnings_are_shared():
    spellings, _ = spell(WORDS)
    sizes = [len(level.parent) for level in trie(spellings).levels]
    assert sizes == [3, 2, 4, 3]  # "", c, d; ca, do; ca|, cat, car, dog; and their ends


@pytest.mark.parametrize(
    "spellings", [[[1, 4, 2], [3, 4, 2]], [[1, 4, 2], [1, 4, 0]], [[1, 2, 2]], [[0, 0, 0]]]
)
def test_words_without_begin_and_end_are_told(spellings):
    with pytest.raises(ValueError, match="spellings: expected words that all begin"):
        trie(np.array(spellings, "int32"))
