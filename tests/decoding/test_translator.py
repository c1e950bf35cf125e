"""Strings through tiny models with sharpened random weights: nothing here depends on training."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqkeras.constants import END, PAD
from seqkeras.data.tokenizers import CharacterTokenizer
from seqkeras.decoding.translator import BeamSettings, Translator
from seqkeras.models import attention_seq2seq, decoding_parts, seq2seq

pytestmark = pytest.mark.tensorflow  # string tensors

TEXTS = ["abc", "c a bd", "d", "bad cab abcd"]
SETTINGS = BeamSettings(beam_size=3, n_best=3, length_penalty=0.0, length_factor=1.0)


def tokenizer():
    return CharacterTokenizer.train(["abcd abcd"], vocabulary_size=100)


def sharpened(model, seed, scale=2.5):
    """Random weights large enough for hypotheses that differ clearly."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(scale=scale / w.shape[0] ** 0.5, size=w.shape) for w in model.weights])
    return model


def attention_parts(seed):
    size = tokenizer().vocabulary_size
    model = attention_seq2seq(size, size, embedding_dim=6, units=8)
    return decoding_parts(sharpened(model, seed))


@pytest.fixture(scope="module")
def parts():
    return attention_parts(seed=1)


@pytest.fixture(scope="module")
def plain_parts():
    size = tokenizer().vocabulary_size
    return decoding_parts(sharpened(seq2seq(size, size, embedding_dim=6, units=8), seed=2))


def translator(*parts, **settings):
    settings = dataclasses.replace(SETTINGS, **settings)
    return Translator(parts, tokenizer(), tokenizer(), settings)


def strings(tensor):
    return [text.decode() for text in tensor.numpy().ravel()]


@pytest.fixture(params=["attention", "plain"])
def translate(request, parts, plain_parts):
    return translator(parts if request.param == "attention" else plain_parts)


def test_translates_every_text(translate):
    found = translate.translate(TEXTS)
    assert found["text"].shape == found["score"].shape == (len(TEXTS),)
    assert len(set(strings(found["text"]))) > 1
    assert np.all(found["score"].numpy() < 0)


def test_a_result_does_not_depend_on_its_batch(translate):
    together, best = translate.translate(TEXTS), translate.n_best(TEXTS)
    for index, text in enumerate(TEXTS):
        alone, alone_best = translate.translate([text]), translate.n_best([text])
        assert strings(alone["text"]) == strings(together["text"])[index : index + 1]
        assert strings(alone_best["text"]) == strings(best["text"][index])
        np.testing.assert_allclose(alone["score"][0], together["score"][index], rtol=1e-5)
        np.testing.assert_allclose(alone_best["score"][0], best["score"][index], rtol=1e-5)


def test_the_best_of_n_is_the_translation(translate):
    best, one = translate.n_best(TEXTS), translate.translate(TEXTS)
    assert strings(best["text"][:, 0]) == strings(one["text"])
    np.testing.assert_allclose(best["score"][:, 0], one["score"], rtol=1e-6)
    assert np.all(np.diff(best["score"].numpy(), axis=1) <= 0)


def test_score_of_the_best_translation_is_its_beam_score(translate):
    """Without a length penalty; for outputs that spell the tokens that were found."""
    found = translate.translate(TEXTS)
    scored = translate.score(TEXTS, found["text"])
    kept = [
        len(text) + 1 == count and "⁇" not in text
        for text, count in zip(strings(found["text"]), scored["tokens"].numpy(), strict=True)
    ]
    assert sum(kept) >= 2
    np.testing.assert_allclose(
        scored["log_probability"].numpy()[kept], found["score"].numpy()[kept], rtol=1e-5
    )


def test_score_counts_the_end_and_ignores_the_batch(translate):
    together = translate.score(TEXTS, ["ab", "", "abcda", "c"])
    assert together["tokens"].numpy().tolist() == [3, 1, 6, 2]
    alone = translate.score(TEXTS[:1], ["ab"])
    np.testing.assert_allclose(
        alone["log_probability"][0], together["log_probability"][0], rtol=1e-5
    )


def test_a_blank_text_is_an_empty_translation(translate):
    found = translate.translate(["", "abc", "  "])
    assert strings(found["text"])[::2] == ["", ""]
    np.testing.assert_array_equal(found["score"].numpy()[::2], 0.0)
    alone = translate.translate(["abc"])
    assert strings(found["text"])[1] == strings(alone["text"])[0]
    best = translate.n_best([""])
    assert strings(best["text"]) == ["", "", ""]
    assert best["score"].numpy().tolist() == [[0.0, -np.inf, -np.inf]]


def test_characters_the_vocabulary_lacks_are_all_one(translate):
    found = translate.translate(["aßc", "a漢c", "a😀c"])
    assert len(set(strings(found["text"]))) == 1
    assert np.all(np.isfinite(found["score"].numpy()))


@pytest.mark.parametrize("method", ["translate", "n_best", "align", "score"])
def test_an_empty_batch_has_an_empty_result(method, parts):
    function = getattr(translator(parts), method)
    nothing = tf.zeros([0], tf.string)
    found = function(nothing, nothing) if method == "score" else function(nothing)
    for name, tensor in found.items():
        assert tensor.shape[0] == 0, name


def test_an_ensemble_of_a_model_with_itself_is_the_model(parts):
    one, two = translator(parts), translator(parts, parts)
    for method, arguments in (("n_best", [TEXTS]), ("score", [TEXTS, TEXTS]), ("align", [TEXTS])):
        single, double = (getattr(each, method)(*arguments) for each in (one, two))
        for name, tensor in single.items():
            if tensor.dtype == tf.string:
                assert strings(double[name]) == strings(tensor)
            else:
                np.testing.assert_allclose(double[name], tensor, rtol=1e-5, atol=1e-6)


def test_an_ensemble_is_the_mean_of_probabilities(parts):
    other = attention_parts(seed=5)
    scores = [
        translator(*members).score(TEXTS, ["a"] * 4)["log_probability"].numpy()
        for members in ([parts], [other], [parts, other])
    ]
    # One token and END: the mean is taken at each, so the product lies between the members'.
    assert np.all(scores[2] <= np.maximum(*scores[:2]) + np.log(4))
    assert np.all(scores[2] >= np.logaddexp(*scores[:2]) - np.log(4))
    assert np.abs(scores[2] - scores[0]).max() > 1e-3


def test_align_shows_the_weights_of_every_target_token(parts):
    translate = translator(parts)
    found = translate.align(["", *TEXTS])
    assert strings(found["text"])[1:] == strings(translate.translate(TEXTS)["text"])
    assert strings(found["text"])[0] == ""
    source = [[t.decode() for t in row] for row in found["source_tokens"].numpy()]
    assert [len([t for t in row if t]) for row in source] == [1, 4, 7, 2, 13]
    assert [t for t in source[2] if t] == ["c", "␣", "a", "␣", "b", "d", "</s>"]
    weights = found["attention"].numpy()
    target_real = found["target_tokens"].numpy() != b""
    source_real = found["source_tokens"].numpy() != b""
    assert weights.shape == (*target_real.shape, source_real.shape[1])
    np.testing.assert_allclose(weights.sum(-1)[target_real], 1.0, rtol=1e-5)
    np.testing.assert_array_equal(weights[~target_real], 0.0)
    nowhere = np.broadcast_to(~source_real[:, None], weights.shape)
    np.testing.assert_array_equal(weights[nowhere], 0.0)


def test_align_needs_attention(plain_parts):
    assert not translator(plain_parts).attends
    with pytest.raises(ValueError, match="expected models with attention"):
        translator(plain_parts).align(TEXTS)


def test_the_limit_on_the_length_is_that_of_the_example():
    """A model that never ends by itself is ended at factor * S + offset tokens, END included."""
    size = tokenizer().vocabulary_size
    model = attention_seq2seq(size, size, embedding_dim=6, units=8)
    sharpened(model, seed=1)
    bias = model.get_layer("decoder").head.logits.bias
    bias.assign(np.where(np.arange(size) == END, -50.0, 0.0))
    translate = translator(decoding_parts(model), length_factor=1.5, length_offset=2)
    rows = translate.align(TEXTS)["target_tokens"].numpy()
    lengths = (rows != b"").sum(1)
    assert lengths.tolist() == [int(1.5 * (len(text) + 1)) + 2 for text in TEXTS]


def test_penalties_reach_the_search(parts):
    plain = translator(parts).translate(TEXTS)
    tokens = translator(parts).score(TEXTS, plain["text"])["tokens"].numpy()
    by_length = translator(parts, beam_size=1, n_best=1, length_penalty=1.0).translate(TEXTS)
    greedy = translator(parts, beam_size=1, n_best=1).translate(TEXTS)
    assert strings(by_length["text"]) == strings(greedy["text"])
    assert np.all(by_length["score"].numpy() > greedy["score"].numpy())
    covered = translator(parts, beam_size=1, n_best=1, coverage_penalty=0.5).translate(TEXTS)
    assert np.all(covered["score"].numpy() < greedy["score"].numpy())
    assert tokens.shape == (4,)


def test_no_ngram_is_repeated_when_barred(parts):
    size = tokenizer().vocabulary_size
    model = sharpened(attention_seq2seq(size, size, embedding_dim=6, units=8), seed=1)
    model.get_layer("decoder").head.logits.bias.assign(
        np.where(np.arange(size) == END, -50.0, 0.0)
    )
    def repeats(n):
        rows = translator(decoding_parts(model), no_repeat_ngram=n).align(TEXTS)["target_tokens"]
        count = 0
        for row in rows.numpy().tolist():
            tokens = [token for token in row if token]
            pairs = list(zip(tokens, tokens[1:]))
            count += len(pairs) - len(set(pairs))
        return count

    assert repeats(0) > 0
    assert repeats(2) == 0


def test_runs_as_a_graph_for_batches_of_any_size(translate):
    graph = tf.function(
        translate.translate, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )
    for texts in (TEXTS, TEXTS[:1], [""]):
        eager, compiled = translate.translate(texts), graph(tf.constant(texts))
        assert strings(compiled["text"]) == strings(eager["text"])
        np.testing.assert_allclose(compiled["score"], eager["score"], rtol=1e-5)
    assert graph(tf.zeros([0], tf.string))["text"].shape[0] == 0


def test_there_must_be_a_model():
    with pytest.raises(ValueError, match="at least one model"):
        translator()


@pytest.mark.parametrize("n_best", [0, 4])
def test_n_best_must_lie_in_the_beam(n_best, parts):
    with pytest.raises(ValueError, match="n_best in 1..beam_size=3"):
        translator(parts, n_best=n_best)
