import math

import keras
import numpy as np
import pytest

from seqkeras.training.callbacks.scheduled_sampling import ScheduledSampling


@pytest.mark.parametrize("k", [1.0, 5.0, 1000.0])
def test_the_rate_is_one_minus_the_inverse_sigmoid(k):
    callback = ScheduledSampling(keras.Variable(0.0), k)
    for i in (0, 1, 10, 5000):
        if i / k < 700:
            epsilon = k / (k + math.exp(i / k))
            assert callback.rate(i) == pytest.approx(1 - epsilon, rel=1e-6, abs=1e-12)


def test_the_rate_rises_from_almost_0_to_1():
    callback = ScheduledSampling(keras.Variable(0.0), 10.0)
    rates = [callback.rate(i) for i in range(0, 200, 5)]
    assert rates[0] == pytest.approx(1 / 11)
    assert np.all(np.diff(rates) > 0)
    assert callback.rate(10 * math.log(10)) == pytest.approx(0.5)
    assert callback.rate(10**9) == 1.0


def test_k_must_be_at_least_1():
    with pytest.raises(ValueError, match="k: expected at least 1, got 0.5"):
        ScheduledSampling(keras.Variable(0.0), 0.5)


def test_the_rate_of_every_batch_follows_the_updates_of_the_optimizer():
    rate = keras.Variable(0.0, trainable=False)
    seen = []

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(rate))

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    callback = ScheduledSampling(rate, 3.0)
    x = np.ones((6, 1), "float32")
    for _ in range(2):  # a second fit goes on
        model.fit(x, x, batch_size=2, verbose=0, callbacks=[callback, Note()])
    np.testing.assert_allclose(seen, [callback.rate(i) for i in range(6)], rtol=1e-6)
