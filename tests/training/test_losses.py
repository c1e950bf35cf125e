import keras
import numpy as np
import pytest
import tensorflow as tf

from seqkeras.training.losses import TokenCrossentropy

Y = np.array([[4, 2, 0, 0], [3, 3, 1, 5]], "int32")
LOGITS = np.random.default_rng(1).normal(size=(2, 4, 7)).astype("float32")


def oracle(y, logits, smoothing):
    total, count = 0.0, 0
    for ids, rows in zip(y, logits.astype(np.float64), strict=True):
        for token, z in zip(ids, rows, strict=True):
            if token == 0:
                continue
            log_p = z - np.log(np.exp(z).sum())
            total -= (1 - smoothing) * log_p[token] + smoothing * log_p.mean()
            count += 1
    return total / count


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_is_the_mean_over_real_tokens(smoothing):
    loss = TokenCrossentropy(smoothing)
    np.testing.assert_allclose(loss(Y, LOGITS), oracle(Y, LOGITS, smoothing), rtol=1e-5)
    assert float(loss.token_count) == 6


def test_more_padding_changes_nothing():
    wider = np.pad(Y, ((0, 0), (0, 3)))
    logits = np.pad(LOGITS, ((0, 0), (0, 3), (0, 0)), constant_values=np.nan)
    assert float(TokenCrossentropy()(wider, logits)) == float(TokenCrossentropy()(Y, LOGITS))


@pytest.mark.tensorflow
def test_ignores_the_mask_of_the_models_output():
    logits = tf.constant(LOGITS)
    logits._keras_mask = tf.constant([[True] * 4, [False] * 4])
    np.testing.assert_allclose(TokenCrossentropy()(Y, logits), oracle(Y, LOGITS, 0.0), rtol=1e-5)


@pytest.mark.tensorflow
def test_without_real_tokens_is_zero_with_zero_gradient():
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = TokenCrossentropy(0.1)(np.zeros_like(Y), logits)
    assert float(loss) == 0.0
    assert not np.any(tape.gradient(loss, logits))


def test_uniform_logits_cost_log_v_whatever_the_smoothing():
    for smoothing in (0.0, 0.1, 0.9):
        loss = TokenCrossentropy(smoothing)(Y, np.zeros_like(LOGITS))
        np.testing.assert_allclose(loss, np.log(7), rtol=1e-6)


def test_refuses_what_it_cannot_honour():
    with pytest.raises(ValueError, match="no sample_weight"):
        TokenCrossentropy()(Y, LOGITS, sample_weight=np.ones(2))
    with pytest.raises(ValueError, match=r"y_true \(B, T\)"):
        TokenCrossentropy()(Y[..., None], LOGITS)
    with pytest.raises(ValueError, match="label_smoothing"):
        TokenCrossentropy(1.0)


def test_config_round_trip():
    config = keras.saving.serialize_keras_object(TokenCrossentropy(0.3))
    loss = keras.saving.deserialize_keras_object(config)
    np.testing.assert_allclose(loss(Y, LOGITS), oracle(Y, LOGITS, 0.3), rtol=1e-5)
