import numpy as np
import pytest
import tensorflow as tf

from seqkeras.data.tokenizers import CharacterTokenizer
from seqkeras.decoding.corpus import run_corpus, signatures
from seqkeras.decoding.translator import BeamSettings, Translator
from seqkeras.models import attention_seq2seq, decoding_parts, seq2seq

pytestmark = pytest.mark.tensorflow  # string tensors

TEXTS = ["ccc", "a", "dddd ü", "bb", ""]


class Upper:
    """A signature that is easy to check; it notes the batches that it gets."""

    def __init__(self):
        self.batches = []

    def __call__(self, texts, suffixes):
        self.batches.append(list(texts))
        joined = [text + suffix for text, suffix in zip(texts, suffixes, strict=True)]
        return {
            "text": tf.constant(joined),
            "pieces": tf.constant([[text, "ü"] for text in joined]),
            "length": tf.constant([len(text) for text in texts]),
            "vector": tf.constant([[float(len(text))] * 2 for text in texts]),
        }


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_results_come_in_the_order_of_the_input(batch_size):
    results = run_corpus(Upper(), TEXTS, list("12345"), batch_size=batch_size)
    assert [result["text"] for result in results] == ["ccc1", "a2", "dddd ü3", "bb4", "5"]
    assert [result["length"] for result in results] == [3, 1, 6, 2, 0]
    assert [list(result["pieces"]) for result in results][1] == ["a2", "ü"]
    np.testing.assert_array_equal(results[0]["vector"], [3.0, 3.0])


def test_texts_of_like_length_share_a_batch():
    function = Upper()
    run_corpus(function, TEXTS, TEXTS, batch_size=2)
    assert function.batches == [["", "a"], ["bb", "ccc"], ["dddd ü"]]


def test_no_text_has_no_result():
    function = Upper()
    assert run_corpus(function, [], []) == []
    assert function.batches == []


def translator(builder):
    tokenizer = CharacterTokenizer.train(TEXTS, vocabulary_size=50)
    model = builder(*[tokenizer.vocabulary_size] * 2, embedding_dim=4, units=4)
    settings = BeamSettings(beam_size=2, n_best=2, length_factor=0.0, length_offset=4)
    return Translator([decoding_parts(model)], tokenizer, tokenizer, settings)


def test_the_signatures_of_a_translator_are_its_methods():
    translate = translator(attention_seq2seq)
    functions = signatures(translate)
    assert set(functions) == {"translate", "n_best", "score", "align"}
    [compiled] = run_corpus(functions["score"], ["a"], ["bb"])
    eager = translate.score(["a"], ["bb"])
    assert compiled["log_probability"] == pytest.approx(float(eager["log_probability"][0]), 1e-5)
    assert compiled["tokens"] == 3
    assert len(run_corpus(functions["n_best"], TEXTS, batch_size=2)[0]["text"]) == 2


def test_without_attention_there_is_nothing_to_align():
    assert set(signatures(translator(seq2seq))) == {"translate", "n_best", "score"}
