"""Strings through tiny models with sharpened random weights: nothing here depends on training."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from seqkeras.constants import END, START, UNK
from seqkeras.data.tokenizers import CharacterTokenizer
from seqkeras.decoding.translator import BeamSettings, Translator
from seqkeras.models import attention_seq2seq, decoding_parts, seq2seq

pytestmark = pytest.mark.tensorflow  # string tensors

TEXTS = ["abc", "c a bd", "d", "bad cab abcd"]
SETTINGS = BeamSettings(beam_size=3, n_best=3, length_penalty=0.0, length_factor=1.0)


def tokenizer():
    return CharacterTokenizer.train(["abcd abcd"], vocabulary_size=100)


def sharpened(model, seed, never=()):
    """Random weights large enough for hypotheses that differ clearly; some tokens never come."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(scale=2.5 / w.shape[0] ** 0.5, size=w.shape) for w in model.weights]
    )
    ids = np.arange(tokenizer().vocabulary_size)
    model.get_layer("decoder").head.bias.assign(np.where(np.isin(ids, never), -50.0, 0.0))
    return model


def tiny_parts(builder, seed, never=()):
    size = tokenizer().vocabulary_size
    return decoding_parts(sharpened(builder(size, size, embedding_dim=6, units=8), seed, never))


@pytest.fixture(scope="module")
def parts():
    return tiny_parts(attention_seq2seq, 1)


@pytest.fixture(scope="module")
def plain_parts():
    return tiny_parts(seq2seq, 8)


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


@pytest.mark.parametrize("builder", [attention_seq2seq, seq2seq])
def test_score_of_the_best_translation_is_its_beam_score(builder):
    """Where texts spell their tokens: no unknown one, and no space, which may be collapsed."""
    [[space]] = tokenizer().encode(["a b"])[:, 1:2].to_list()
    translate = translator(tiny_parts(builder, 1, never=[UNK, space]))
    found = translate.translate(TEXTS)
    scored = translate.score(TEXTS, found["text"])
    np.testing.assert_allclose(scored["log_probability"], found["score"], rtol=1e-5)
    assert scored["tokens"].numpy().tolist() == [len(text) + 1 for text in strings(found["text"])]


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
    assert best["score"].numpy().tolist() == [[0.0, 0.0, 0.0]]


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
    other = tiny_parts(attention_seq2seq, 5)
    [source], [target] = (tokenizer().encode([text]).to_list() for text in ("abc", "da"))
    source, target = np.array([[*source, END]]), np.array([*target, END])
    log_probs = [
        member.attend(source, np.array([[START, *target[:-1]]]))[0].numpy()[0, range(3), target]
        for member in (parts, other)
    ]
    assert np.abs(log_probs[0] - log_probs[1]).max() > 0.1
    expected = np.log(np.exp(log_probs).mean(0)).sum()
    found = translator(parts, other).score(["abc"], ["da"])
    np.testing.assert_allclose(found["log_probability"], [expected], rtol=1e-5)


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
    endless = tiny_parts(attention_seq2seq, 1, never=[END])
    found = translator(endless, length_factor=1.5, length_offset=2).align(TEXTS)
    lengths = (found["target_tokens"].numpy() != b"").sum(1)
    assert lengths.tolist() == [int(1.5 * (len(text) + 1)) + 2 for text in TEXTS]


def test_long_texts_are_cut(parts):
    cut = translator(parts, max_characters=3)
    for method, texts in (("translate", ["abcdabcd"]), ("n_best", ["abcdabcd"])):
        found, expected = (getattr(cut, method)(t) for t in (texts, ["abc"]))
        assert strings(found["text"]) == strings(expected["text"])
        np.testing.assert_array_equal(found["score"], expected["score"])


def test_penalties_reach_the_search(parts):
    one = {"beam_size": 1, "n_best": 1}
    plain = translator(parts, **one).align(TEXTS)
    score = translator(parts, **one).translate(TEXTS)["score"].numpy()
    lengths = (plain["target_tokens"].numpy() != b"").sum(1)
    by_length = translator(parts, **one, length_penalty=0.5).translate(TEXTS)
    assert strings(by_length["text"]) == strings(plain["text"])  # greedy either way
    divisor = ((5 + lengths) / 6) ** 0.5  # Wu et al. 2016, (14)
    np.testing.assert_allclose(by_length["score"], score / divisor, rtol=1e-5)
    covered = translator(parts, **one, coverage_penalty=0.5).translate(TEXTS)
    coverage = plain["attention"].numpy().sum(1)  # (B, S)
    real = plain["source_tokens"].numpy() != b""
    penalty = np.log(np.minimum(coverage, 1.0), where=real, out=np.zeros_like(coverage)).sum(1)
    np.testing.assert_allclose(covered["score"], score + 0.5 * penalty, rtol=1e-4)


def test_no_ngram_is_repeated_when_barred():
    endless = tiny_parts(attention_seq2seq, 1, never=[END])

    def repeats(n):
        found = translator(endless, no_repeat_ngram=n).align(TEXTS)
        count = 0
        for row in found["target_tokens"].numpy().tolist():
            tokens = [token for token in row if token]
            pairs = list(itertools.pairwise(tokens))
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


def test_a_text_must_be_allowed_a_character(parts):
    with pytest.raises(ValueError, match="max_characters of at least 1, got 0"):
        translator(parts, max_characters=0)


@pytest.mark.parametrize("n_best", [0, 4])
def test_n_best_must_lie_in_the_beam(n_best, parts):
    with pytest.raises(ValueError, match="n_best in 1..beam_size=3"):
        translator(parts, n_best=n_best)
