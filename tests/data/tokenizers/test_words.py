"""Words against hand-split examples and Python's regular expressions."""

import re

import pytest

from seqkeras.constants import SPECIAL_TOKENS, UNK
from seqkeras.data.tokenizers import WordTokenizer

SPLIT = {
    "A dog, a cat.": ["A", "dog", ",", "a", "cat", "."],
    "I don't own a T-shirt": ["I", "don't", "own", "a", "T-shirt"],
    "l’homme est-il là?": ["l’homme", "est-il", "là", "?"],
    "'quoted' - and -dashed-": ["'", "quoted", "'", "-", "and", "-", "dashed", "-"],
    "1,000.5 at 3.": ["1,000.5", "at", "3", "."],
    "50% (or 3D)": ["50", "%", "(", "or", "3D", ")"],
    "e\u0301te\u0301 हिन्दी": ["e\u0301te\u0301", "हिन्दी"],
    "wait...!": ["wait", ".", ".", ".", "!"],
    "<s>": ["<", "s", ">"],
    "a_b@c": ["a", "_", "b", "@", "c"],
}


@pytest.mark.parametrize("text", SPLIT)
def test_splitting(text):
    tokenizer = WordTokenizer.train([text], 100)
    words = [word.decode() for word in tokenizer.pieces(tokenizer.encode([text])).values.numpy()]
    assert words == SPLIT[text]


def test_most_frequent_first_ties_alphabetical_and_the_rest_unknown():
    tokenizer = WordTokenizer.train(["the dog the cat", "the cow"], vocabulary_size=7)
    assert tokenizer.vocabulary == [*SPECIAL_TOKENS, "the", "cat", "cow"]
    assert tokenizer.encode(["the cow dog"]).to_list() == [[4, 6, UNK]]


@pytest.mark.parametrize(
    "text",
    [
        "A dog, a cat; two: (one [small] {red}) 50%!",
        "Wait… what?",
        "¿Qué? ¡Sí!",
        "A dog's T-shirt costs 1,000.50.",
    ],
)
def test_punctuation_is_attached_again(text):
    tokenizer = WordTokenizer.train([text], 100)
    assert tokenizer.decode(tokenizer.encode([text])).numpy()[0].decode() == text


def test_quotation_marks_and_dashes_stay_apart():
    tokenizer = WordTokenizer.train(['say "a - b"'], 100)
    decoded = tokenizer.decode(tokenizer.encode(['say "a - b"'])).numpy()[0].decode()
    assert decoded == 'say " a - b "'


@pytest.mark.realdata
def test_multi30k_is_split_as_pythons_re_does(data_dir):
    texts = (data_dir / "multi30k" / "val.fr").read_text(encoding="utf-8").splitlines()
    token = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:['’-][^\W_]+)*|\S")
    tokenizer = WordTokenizer.train(texts, 100_000)
    pieces = tokenizer.pieces(tokenizer.encode(texts)).to_list()
    assert [[word.decode() for word in row] for row in pieces] == [
        token.findall(" ".join(text.split())) for text in texts
    ]
