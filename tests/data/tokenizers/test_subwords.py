"""Subwords against sentencepiece, which segments the same text with the same model."""

import io
import random

import pytest
import sentencepiece
import tensorflow as tf

from seqkeras.constants import SPECIAL_TOKENS, UNK
from seqkeras.data.tokenizers import SubwordTokenizer

MODEL_TYPES = ["bpe", "unigram"]
SYLLABLES = ["ba", "ke", "lo", "mi", "nu", "ra", "so", "ti", "str", "ung", "är", "ß"]


def generated_texts(count, seed):
    """Returns sentences of words out of syllables, the frequent ones more often than others."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(400)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    return [" ".join(rng.choices(words, weights, k=rng.randint(1, 12))) for _ in range(count)]


def sentencepiece_model(texts, vocabulary_size, model_type):
    """Returns a serialized model that sentencepiece trained, without any of our code."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=vocabulary_size,
        model_type=model_type,
        normalization_rule_name="identity",
        character_coverage=1.0,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def decoded(tokenizer, ids):
    return [text.decode() for text in tokenizer.decode(ids).numpy()]


@pytest.fixture(scope="module", params=MODEL_TYPES)
def pair(request):
    """Our tokenizer and sentencepiece's, of one model."""
    model = sentencepiece_model(generated_texts(600, seed=1), 150, request.param)
    oracle = sentencepiece.SentencePieceProcessor(model_proto=model)
    return SubwordTokenizer.from_sentencepiece(model), oracle


def test_ids_on_unseen_text_are_those_of_sentencepiece(pair):
    tokenizer, oracle = pair
    texts = generated_texts(300, seed=2)
    assert tokenizer.encode(texts).to_list() == oracle.encode(texts)
    assert decoded(tokenizer, tokenizer.encode(texts)) == texts


@pytest.mark.parametrize(
    "text",
    [
        "bakeX lomi",
        "XX ba XX",
        "baXYke",
        "X",
        "X Y",
        "<s> ba </s> <unk>",
        "ba\x00ke",
        "日本語ba",
        "▅ ⁇",
        "strungär" * 40,
        "strung" * 200 + " ba" * 300,
    ],
)
def test_unknown_characters_are_those_of_sentencepiece(pair, text):
    tokenizer, oracle = pair
    assert tokenizer.encode([text]).to_list() == [oracle.encode(text)]


def test_neighbouring_unknown_characters_are_one_token(pair):
    tokenizer, _ = pair
    mark = tokenizer.vocabulary.index("▁")
    assert tokenizer.encode(["XYZ ÖÖ"]).to_list() == [[mark, UNK, mark, UNK]]
    assert decoded(tokenizer, [[mark, UNK, mark, UNK]]) == ["⁇ ⁇"]


def test_the_space_mark_reads_as_a_space(pair):
    tokenizer, _ = pair
    assert tokenizer.encode(["ba▁ke▁ ▁▁"]).to_list() == tokenizer.encode(["ba ke"]).to_list()


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_training_gives_what_sentencepiece_would(model_type):
    texts = generated_texts(600, seed=1)
    tokenizer = SubwordTokenizer.train(texts, 150, model_type)
    theirs = SubwordTokenizer.from_sentencepiece(sentencepiece_model(texts, 150, model_type))
    assert tokenizer.config() == theirs.config()
    assert tokenizer.vocabulary_size == 150


def test_training_lowers_the_text_first():
    tokenizer = SubwordTokenizer.train(["Ba BA ba"] * 3, 50, lowercase=True)
    assert not [piece for piece in tokenizer.vocabulary if piece != piece.lower()]
    assert UNK not in tokenizer.encode(["BA"]).values


def test_one_vocabulary_for_two_languages():
    english, german = ["a red dog", "a small house"] * 4, ["ein roter Hund", "ein kleines Haus"] * 4
    tokenizer = SubwordTokenizer.train(english + german, 60)
    assert decoded(tokenizer, tokenizer.encode([english[0], german[0]])) == [english[0], german[0]]


def test_text_without_spaces_is_cut_where_no_piece_can_cross(pair):
    tokenizer, oracle = pair
    text = "".join(generated_texts(40, seed=3)).replace(" ", "")
    assert len(text) > 1000
    assert tokenizer.encode([text]).to_list() == [oracle.encode(text)]


def test_a_word_is_segmented_once_per_batch(pair, monkeypatch):
    tokenizer, _ = pair
    counts = []
    original = tokenizer._tokenize_words
    monkeypatch.setattr(
        tokenizer, "_tokenize_words", lambda words: counts.append(len(words)) or original(words)
    )
    ids = tokenizer._tokenize(tf.constant(["bake ba bake", "", "ba"]))
    assert counts == [2]
    assert ids.to_list() == tokenizer.encode(["bake ba bake", "", "ba"]).to_list()


def test_arguments_that_do_not_fit():
    vocabulary = [*SPECIAL_TOKENS, "▁", "a"]
    with pytest.raises(ValueError, match="got 'word'"):
        SubwordTokenizer(vocabulary, model_type="word")
    with pytest.raises(ValueError, match="unigram .* expects 6 scores, got none"):
        SubwordTokenizer(vocabulary, model_type="unigram")
    with pytest.raises(ValueError, match="bpe .* expects no scores, got 6"):
        SubwordTokenizer(vocabulary, scores=[0.0] * 6)
    with pytest.raises(ValueError, match=r"inside one word, got \['a▁a'\]"):
        SubwordTokenizer([*vocabulary, "a▁a"])
    with pytest.raises(ValueError, match=r"missing: \['b'\]"):
        SubwordTokenizer([*vocabulary, "ab"])


@pytest.mark.realdata
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_multi30k_is_segmented_as_sentencepiece_does(data_dir, model_type):
    def read(name):
        lines = (data_dir / "multi30k" / name).read_text(encoding="utf-8").splitlines()
        return [" ".join(line.split()) for line in lines]

    training = read("train.en")[:4000] + read("train.de")[:4000]
    model = sentencepiece_model(training, 2000, model_type)
    oracle = sentencepiece.SentencePieceProcessor(model_proto=model)
    tokenizer = SubwordTokenizer.from_sentencepiece(model)
    for name in ("val.en", "val.de", "val.fr", "test_2016_flickr.en", "test_2017_flickr.de"):
        texts = read(name)
        assert tokenizer.encode(texts).to_list() == oracle.encode(texts)
