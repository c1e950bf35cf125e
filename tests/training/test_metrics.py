import keras
import numpy as np
import pytest

from seqkeras.training.losses import TokenCrossentropy
from seqkeras.training.metrics import Perplexity, TokenAccuracy, TokenLoss

RNG = np.random.default_rng(2)
# Two batches of unequal token counts (1 and 5): a mean of the batches' means would be wrong.
BATCHES = [
    (np.array([[4, 0, 0]], "int32"), RNG.normal(size=(1, 3, 6)).astype("float32")),
    (np.array([[3, 5, 2], [1, 2, 0]], "int32"), RNG.normal(size=(2, 3, 6)).astype("float32")),
]


def real_rows():
    for y, logits in BATCHES:
        yield from zip(y[y != 0], logits[y != 0].astype(np.float64), strict=True)


def log_softmax(z):
    return z - np.log(np.exp(z).sum())


def run(metric):
    for y, logits in BATCHES:
        metric.update_state(y, logits)
    return float(metric.result())


def test_perplexity():
    nll = [-log_softmax(z)[token] for token, z in real_rows()]
    np.testing.assert_allclose(run(Perplexity()), np.exp(np.mean(nll)), rtol=1e-5)


def test_token_accuracy():
    hits = [np.argmax(z) == token for token, z in real_rows()]
    np.testing.assert_allclose(run(TokenAccuracy()), np.mean(hits), rtol=1e-6)


def test_token_accuracy_gives_a_tie_to_the_lower_id():
    metric = TokenAccuracy()
    metric.update_state(np.array([[3, 4]]), np.eye(6, dtype="f")[[[3, 3]]] + np.eye(6)[4])
    assert float(metric.result()) == 0.5


def test_token_loss():
    losses = [
        -(0.8 * log_softmax(z)[token] + 0.2 * log_softmax(z).mean()) for token, z in real_rows()
    ]
    np.testing.assert_allclose(run(TokenLoss(0.2)), np.mean(losses), rtol=1e-5)


def test_reset_forgets():
    metric = Perplexity()
    run(metric)
    metric.reset_state()
    metric.update_state(*BATCHES[0])
    token, z = next(real_rows())
    np.testing.assert_allclose(metric.result(), np.exp(-log_softmax(z)[token]), rtol=1e-5)


def test_refuses_sample_weights():
    with pytest.raises(ValueError, match="no sample_weight"):
        Perplexity().update_state(*BATCHES[0], sample_weight=np.ones(1))


def test_evaluate_reports_means_over_tokens_even_as_loss():
    # A model that only passes its input on: logits in, logits out.
    model = keras.Sequential([keras.Input((None, 6)), keras.layers.Activation("linear")])
    model.compile(
        "sgd", TokenCrossentropy(0.2), metrics=[TokenLoss(0.2), Perplexity(), TokenAccuracy()]
    )

    def batches():
        for y, logits in BATCHES:
            yield logits, y

    logs = model.evaluate(batches(), steps=2, return_dict=True, verbose=0)
    assert set(logs) == {"loss", "perplexity", "token_accuracy"}
    for metric in (TokenLoss(0.2), Perplexity(), TokenAccuracy()):
        np.testing.assert_allclose(logs[metric.name], run(metric), rtol=1e-5)


@pytest.mark.parametrize("metric", [TokenLoss(0.2), Perplexity("ppl"), TokenAccuracy("hits")])
def test_config_round_trip(metric):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.name == metric.name
    assert run(again) == run(metric)
