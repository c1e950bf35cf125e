import numpy as np
import pytest
import tensorflow as tf

from seqkeras.constants import END
from seqkeras.data.tokenizers import train_tokenizer
from seqkeras.models import language_model
from seqkeras.models.language_model import carry_states
from seqkeras.serving.text_scorers import TextScorer

pytestmark = pytest.mark.tensorflow

TEXTS = ["a bc", "", "cab cab a", "\u2603"]


@pytest.fixture(scope="module")
def scorer():
    tokenizer = train_tokenizer("characters", ["abc abc"], 100)
    model = language_model(tokenizer.vocabulary_size, embedding_dim=5, units=4)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return TextScorer(model, tokenizer)


def brute_force(scorer, text):
    """The log-probability of each token of a text and of its end, one forward pass a token."""
    (ids,) = scorer.tokenizer.encode([text]).to_list()
    found = []
    for count, target in enumerate([*ids, END]):
        logits = np.asarray(scorer.model(np.array([[END, *ids[:count]]])))[0, -1].astype("float64")
        found.append(logits[target] - np.log(np.exp(logits).sum()))
    return found


def test_every_token_has_its_log_probability(scorer):
    scores = scorer.signatures()["serving_default"](text=tf.constant(TEXTS))
    for row, text in enumerate(TEXTS):
        wanted = brute_force(scorer, text)
        assert scores["length"][row] == len(wanted) == len(text) + 1
        found = scores["log_probabilities"][row].numpy()
        np.testing.assert_allclose(found[: len(wanted)], wanted, rtol=1e-4, atol=1e-5)
        assert not found[len(wanted) :].any()
        np.testing.assert_allclose(scores["log_probability"][row], sum(wanted), rtol=1e-4)
        np.testing.assert_allclose(scores["perplexity"][row], np.exp(-np.mean(wanted)), rtol=1e-4)


def test_tokens_are_named_up_to_the_end(scorer):
    tokens = scorer.score(tf.constant(["ab", ""]))["tokens"].numpy().tolist()
    assert [[t.decode() for t in row] for row in tokens] == [["a", "b", "</s>"], ["</s>", "", ""]]


def test_a_score_does_not_depend_on_the_batch(scorer):
    together = scorer.score(tf.constant(TEXTS))["log_probability"].numpy()
    alone = [scorer.score(tf.constant([text]))["log_probability"].numpy()[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_no_text_at_all(scorer):
    scores = scorer.score(tf.constant([], tf.string))
    assert scores["perplexity"].shape == (0,)


def test_what_does_not_fit_is_told(scorer):
    carrying = carry_states(language_model(scorer.tokenizer.vocabulary_size), streams=3)
    with pytest.raises(ValueError, match="got one of 3 carried streams. Take the model"):
        TextScorer(carrying, scorer.tokenizer)
    with pytest.raises(ValueError, match="expected a tokenizer of 99 tokens"):
        TextScorer(language_model(99), scorer.tokenizer)
