import numpy as np
import pytest
import tensorflow as tf

from seqkeras.constants import END
from seqkeras.data.tokenizers import train_tokenizer
from seqkeras.models import sequence_classifier
from seqkeras.serving.classifiers import SeriesClassifier, TextClassifier, padded

pytestmark = pytest.mark.tensorflow

LABELS = ["no", "yes", "perhaps"]
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def series_model():
    return sequence_classifier(3, mean=[1.0, 2.0], variance=[4.0, 1.0], units=4)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer("characters", ["abc def"], 100)


@pytest.fixture(scope="module")
def text_model(tokenizer):
    return sequence_classifier(3, vocabulary_size=tokenizer.vocabulary_size, units=4)


def softmax(logits):
    e = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def check(answer, logits):
    wanted = softmax(np.asarray(logits))
    np.testing.assert_allclose(answer["probabilities"], wanted, rtol=1e-4)
    np.testing.assert_allclose(answer["probability"], wanted.max(axis=1), rtol=1e-4)
    assert [t.decode() for t in answer["label"].numpy()] == [LABELS[i] for i in wanted.argmax(1)]
    assert [[t.decode() for t in row] for row in answer["labels"].numpy()] == [LABELS] * len(wanted)


def test_series_are_read_to_their_length(series_model):
    series = [RNG.normal(size=(n, 2)).astype("float32") for n in (5, 2, 9)]
    function = SeriesClassifier(series_model, LABELS, max_length=6).signatures()["serving_default"]
    batch = padded(series)
    batch["series"][1, 2:] = np.nan
    rows = [
        series_model({"sequence": s[None, :6], "length": np.array([min(len(s), 6)])})[0]
        for s in series
    ]
    check(function(**batch), rows)


def test_no_step_at_all_is_answered(series_model):
    function = SeriesClassifier(series_model, LABELS, 6).signatures()["serving_default"]
    nothing = function(series=np.zeros((2, 0, 2), "float32"), length=np.zeros(2, "int32"))
    assert np.isfinite(nothing["probabilities"]).all()
    padding = function(series=np.full((1, 3, 2), np.nan, "float32"), length=np.array([-1]))
    np.testing.assert_allclose(padding["probabilities"][0], nothing["probabilities"][0], rtol=1e-5)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_none_get_no_label(series_model, wrong):
    function = SeriesClassifier(series_model, LABELS, 6).signatures()["serving_default"]
    series = np.zeros((1, 3, 2), "float32")
    series[0, 1, 0] = wrong
    with pytest.raises(tf.errors.InvalidArgumentError, match="finite numbers within the length"):
        function(series=series, length=np.array([3], "int32"))


def test_texts_are_tokenized_in_the_graph(text_model, tokenizer):
    classifier = TextClassifier(text_model, LABELS, max_length=4, tokenizer=tokenizer)
    texts = ["abc def", "", "f☃"]
    rows = []
    for text in texts:
        ids = [*tokenizer.encode([text]).to_list()[0][:3], END]
        rows.append(text_model({"sequence": np.array([ids]), "length": np.array([len(ids)])})[0])
    check(classifier.signatures()["serving_default"](text=tf.constant(texts)), rows)


def test_every_class_needs_a_label(series_model):
    with pytest.raises(ValueError, match="a label for each of the model's 3 classes, got 2"):
        SeriesClassifier(series_model, ["a", "b"], 6)
