import numpy as np
import pytest

from seqkeras.data import spell

WORDS = ["<unk>", "ab", "b", "é😀", ""]


def read(spelling, alphabet):
    """The word of a spelling, by the table of the module's docstring."""
    numbers = spelling[: int(np.sum(spelling != 0))].tolist()
    assert (numbers[0], numbers[-1]) == (1, 2)
    return "".join("?" if n == 3 else alphabet[n - 4] for n in numbers[1:-1])


def test_spellings_read_as_the_words():
    spellings, alphabet = spell(WORDS)
    assert spellings.shape == (5, 2 + 5)
    assert [read(row, alphabet) for row in spellings] == WORDS
    assert alphabet == sorted(set("".join(WORDS)))


def test_characters_out_of_the_alphabet_and_tails_are_lost():
    spellings, alphabet = spell(["abcab", "xa"], alphabet=["a", "b"], max_length=5)
    assert [read(row, alphabet) for row in spellings] == ["ab?", "?a"]
    assert alphabet == ["a", "b"]


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="words: expected at least one"):
        spell([])
    with pytest.raises(ValueError, match="max_length: expected at least 3"):
        spell(["a"], max_length=2)
