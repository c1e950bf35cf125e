"""Whitespace tokens against Python's `str.split`."""

import pytest

from seqkeras.constants import SPECIAL_TOKENS, UNK
from seqkeras.data.tokenizers import Tokenizer, WhitespaceTokenizer, train_tokenizer

pytestmark = pytest.mark.tensorflow

TEXTS = [" it 's <unk> mr. smith ", "u.s. N billion\tmr. N", "", "a  b"]


def test_tokens_are_those_of_str_split():
    tokenizer = train_tokenizer("whitespace", TEXTS, 100)
    known = {word for text in TEXTS for word in text.split()} - {"<unk>"}
    assert set(tokenizer.vocabulary) == known | set(SPECIAL_TOKENS)
    pieces = tokenizer.pieces(tokenizer.encode(TEXTS)).to_list()
    assert [[piece.decode() for piece in row] for row in pieces] == [text.split() for text in TEXTS]


def test_special_tokens_in_the_text_are_unknown():
    tokenizer = WhitespaceTokenizer.train(["<pad> <s> </s> <unk> a"], 100)
    assert tokenizer.vocabulary == [*SPECIAL_TOKENS, "a"]
    assert tokenizer.encode(["<s> a </s> <pad> <unk> b"]).to_list() == [[UNK, 4, *[UNK] * 4]]


def test_most_frequent_first_and_the_rest_unknown():
    tokenizer = WhitespaceTokenizer.train(["b a b <unk> <unk> <unk>", "c"], vocabulary_size=6)
    assert tokenizer.vocabulary[4:] == ["b", "a"]
    assert tokenizer.encode(["c b"]).to_list() == [[UNK, 4]]


def test_decoding_puts_one_space_between(tmp_path):
    tokenizer = WhitespaceTokenizer.train(TEXTS, 100)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.decode(loaded.encode(TEXTS)).numpy()[1].decode() == "u.s. N billion mr. N"


@pytest.mark.realdata
def test_the_vocabulary_of_ptb_is_whole(data_dir):
    lines = (data_dir / "ptb" / "ptb.train.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = WhitespaceTokenizer.train(lines, 20_000)
    # 10,000 types, among them <unk> and the sentence's end, which are special tokens here.
    assert tokenizer.vocabulary_size == 10_000 - 2 + len(SPECIAL_TOKENS)
