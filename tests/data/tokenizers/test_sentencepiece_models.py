"""Learning sentencepiece models, and refusing those that a tokenizer could not follow."""

import io

import pytest
import sentencepiece

from seqkeras.constants import SPECIAL_TOKENS
from seqkeras.data.tokenizers.sentencepiece_models import learn_model, read_model

LINES = ["the small red dog runs", "a small cat sees the red dog", "the cat runs"] * 5
GOOD = {
    "pad_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "unk_id": 3,
    "normalization_rule_name": "identity",
    "model_type": "bpe",
    "vocab_size": 40,
    "hard_vocab_limit": False,
    "character_coverage": 1.0,
    "num_threads": 1,
}


def train(**options):
    """Returns a model that sentencepiece itself was asked for."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, minloglevel=2, **{**GOOD, **options}
    )
    return model.getvalue()


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_learning_twice_gives_the_same_model(model_type):
    models = [learn_model(LINES, 40, model_type, 1.0) for _ in range(2)]
    assert models[0] == models[1]


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_learned_pieces_are_those_of_sentencepiece(model_type):
    expected = read_model(train(model_type=model_type))
    assert read_model(learn_model(LINES, 40, model_type, 1.0)) == expected
    assert tuple(expected.vocabulary[:4]) == SPECIAL_TOKENS
    assert expected.model_type == model_type


def test_vocabulary_size_is_an_upper_limit():
    assert len(read_model(learn_model(LINES, 10_000, "bpe", 1.0)).vocabulary) < 200


def test_special_tokens_in_the_text_are_learned_as_text():
    vocabulary = read_model(learn_model(["<s> a </s>"] * 5, 40, "bpe", 1.0)).vocabulary
    assert set("</>sa") < set(vocabulary)


def test_lines_of_any_length_are_learned_from():
    assert "▁end" in read_model(learn_model(["x " * 5000 + "end end"], 40, "bpe", 1.0)).vocabulary


def test_character_coverage_leaves_rare_characters_out():
    lines = [*LINES, "é"]
    assert "é" in read_model(learn_model(lines, 60, "bpe", 1.0)).vocabulary
    assert "é" not in read_model(learn_model(lines, 60, "bpe", 0.99)).vocabulary


def test_a_vocabulary_too_small_for_the_characters_says_so():
    with pytest.raises(ValueError, match="bpe vocabulary of at most 6 .*larger vocabulary_size"):
        learn_model(LINES, 6, "bpe", 1.0)


def test_an_unknown_model_type_names_the_known_ones():
    with pytest.raises(ValueError, match=r"\('bpe', 'unigram'\), got 'word'"):
        learn_model(LINES, 40, "word", 1.0)


def test_a_model_from_a_file(tmp_path):
    (tmp_path / "x.model").write_bytes(train())
    assert read_model(tmp_path / "x.model") == read_model(train())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"model_type": "word"}, "model_type 'word'"),
        ({"pad_id": -1, "bos_id": 0, "eos_id": 1, "unk_id": 2}, "other ids"),
        ({"user_defined_symbols": ["<x>"]}, "user-defined symbols"),
        ({"byte_fallback": True, "vocab_size": 300}, "bytes"),
        ({"normalization_rule_name": "nmt_nfkc"}, "a normalization of its own"),
        ({"add_dummy_prefix": False}, "add_dummy_prefix=False"),
        ({"remove_extra_whitespaces": False}, "remove_extra_whitespaces=False"),
        ({"treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix=True"),
    ],
)
def test_models_that_no_tokenizer_could_follow_are_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        read_model(train(**options))


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match="Expected a serialized sentencepiece model"):
        read_model(b"\xff\xff\xff")
