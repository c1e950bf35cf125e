import numpy as np
import pytest
import tensorflow as tf

from seqkeras.constants import END
from seqkeras.data.tokenizers import WhitespaceTokenizer
from seqkeras.models import language_model
from seqkeras.serving.text_generators import TextGenerator

pytestmark = pytest.mark.tensorflow
TOKENIZER = WhitespaceTokenizer.train(["a b c d e"], 100)
V = TOKENIZER.vocabulary_size
PROMPTS = ["a b", "", "c", "a b zzz d"]


@pytest.fixture(scope="module")
def model():
    model = language_model(V, cell="gru", layers=2, embedding_dim=4, units=6)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def generated(generator, prompts, seeds):
    answer = generator.generate(tf.constant(prompts), tf.constant(seeds, tf.int64))
    return {name: value.numpy() for name, value in answer.items()}


def test_the_score_is_that_of_one_pass_over_prompt_and_continuation(model):
    found = generated(TextGenerator(model, TOKENIZER, max_tokens=6), PROMPTS, [1, 2, 3, 4])
    prompts = TOKENIZER.encode(PROMPTS).to_list()
    answers = TOKENIZER.encode(found["text"]).to_list()
    for prompt, answer, length, score in zip(
        prompts, answers, found["length"], found["log_probability"], strict=True
    ):
        assert 1 <= length <= 6
        if len(answer) != length - 1:
            continue  # an unknown token does not survive as text
        targets = [*answer, END]
        logits = model(np.array([[END, *prompt, *answer]])).numpy()[0].astype("float64")
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        last = log_probs[len(prompt) :]
        wanted = last[np.arange(len(targets)), targets].sum()
        assert score == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_a_continuation_depends_on_its_prompt_and_seed_alone(model):
    generator = TextGenerator(model, TOKENIZER, max_tokens=8)
    together = generated(generator, PROMPTS, [1, 2, 3, 4])
    for row, (prompt, seed) in enumerate(zip(PROMPTS, [1, 2, 3, 4], strict=True)):
        alone = generated(generator, [prompt], [seed])
        assert alone["text"][0] == together["text"][row]
        np.testing.assert_allclose(
            alone["log_probability"][0], together["log_probability"][row], rtol=1e-4
        )
    texts = {generated(generator, ["a"], [seed])["text"][0] for seed in range(20)}
    assert len(texts) > 2


def test_continuations_are_drawn_as_often_as_they_are_probable(model):
    """One token: END, or another and then END because there is no place for more."""
    generator = TextGenerator(model, TOKENIZER, max_tokens=2)
    n = 4000
    found = generated(generator, ["a b"] * n, range(n))
    logits = model(np.array([[END, *TOKENIZER.encode(["a b"]).to_list()[0]]])).numpy()[0, -1]
    p = np.exp(logits - logits.max())
    p[[0, 1]] = 0.0  # PAD and START are never written
    p /= p.sum()
    ended = np.mean(found["length"] == 1)
    assert abs(ended - p[END]) < 4 * np.sqrt(p[END] * (1 - p[END]) / n)


def test_a_temperature_near_zero_takes_the_most_probable(model):
    generator = TextGenerator(model, TOKENIZER, max_tokens=5, temperature=1e-4)
    texts = {generated(generator, ["a b"], [seed])["text"][0] for seed in range(5)}
    assert len(texts) == 1


def test_a_tokenizer_of_another_vocabulary_is_told(model):
    with pytest.raises(ValueError, match=f"expected a tokenizer of {V} tokens"):
        TextGenerator(model, WhitespaceTokenizer.train(["a b"], 100))
