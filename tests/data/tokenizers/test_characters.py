"""Characters against Python's own notion of a string."""

import pytest

from seqkeras.constants import SPECIAL_TOKENS, UNK
from seqkeras.data.tokenizers import CharacterTokenizer


def test_ids_are_those_of_the_code_points():
    text = "Ein Hund, 犬, 🙂 e\u0301!"
    tokenizer = CharacterTokenizer.train([text], 100)
    expected = [tokenizer.vocabulary.index(character) for character in text]
    assert tokenizer.encode([text]).to_list() == [expected]


def test_most_frequent_first_and_the_rest_unknown():
    tokenizer = CharacterTokenizer.train(["bbb aaa c", "d"], vocabulary_size=7)
    assert tokenizer.vocabulary == [*SPECIAL_TOKENS, "a", "b", " "]
    assert tokenizer.encode(["abcd a"]).to_list() == [[4, 5, UNK, UNK, 6, 4]]
    assert tokenizer.decode([[4, UNK, UNK, 6, 5]]).numpy()[0].decode() == "a⁇⁇ b"


def test_a_space_has_a_visible_label():
    tokenizer = CharacterTokenizer([*SPECIAL_TOKENS, " ", "a"])
    assert [label.decode() for label in tokenizer.pieces([[5, 4]]).numpy()[0]] == ["a", "␣"]


def test_tokens_longer_than_a_character_are_an_error():
    with pytest.raises(ValueError, match=r"single characters .* got \['bc'\]"):
        CharacterTokenizer([*SPECIAL_TOKENS, "a", "bc"])


@pytest.mark.realdata
def test_round_trip_of_multi30k(data_dir):
    texts = (data_dir / "multi30k" / "val.de").read_text(encoding="utf-8").splitlines()
    tokenizer = CharacterTokenizer.train(texts, 1000)
    decoded = [text.decode() for text in tokenizer.decode(tokenizer.encode(texts)).numpy()]
    assert decoded == [" ".join(text.split()) for text in texts]
