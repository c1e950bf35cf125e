import keras
import numpy as np
import pytest
import tensorflow as tf

import seqkeras.training.adam
from seqkeras.training.adam import Adam
from seqkeras.training.schedules import InverseSquareRoot

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(3)
START = [RNG.normal(size=shape).astype("float32") for shape in ((4, 3), (3,))]
GRADIENTS = [[RNG.normal(size=w.shape).astype("float32") for w in START] for _ in range(20)]


def run(optimizer, gradients=GRADIENTS):
    variables = [keras.Variable(w) for w in START]
    for step in gradients:
        optimizer.apply(step, variables)
    return [np.asarray(v) for v in variables]


def test_is_kingma_and_bas():
    rate, beta_1, beta_2, epsilon = 0.1, 0.8, 0.9, 1e-3
    w, m, v = START[0].astype(np.float64), 0.0, 0.0
    for t, (g, _) in enumerate(GRADIENTS, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g.astype(np.float64) ** 2
        # The paper's "more efficient" order, §2, which Keras follows: epsilon beside sqrt(v).
        w = w - rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)
    ours = run(Adam(rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon))
    np.testing.assert_allclose(ours[0], w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.1},
        {"clipnorm": 0.5},
        {"amsgrad": True},
        {"learning_rate": InverseSquareRoot(0.1, 4)},
    ],
)
def test_equals_keras(options):
    options = {"learning_rate": 0.05, **options}
    for ours, theirs in zip(
        run(Adam(**options)), run(keras.optimizers.Adam(**options)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def sparse(rows):
    slices = tf.IndexedSlices(tf.constant([[1.0, 2, 3], [4, 5, 6]]), tf.constant(rows), (4, 3))
    return [[slices, step[1]] for step in GRADIENTS]


def test_equals_keras_on_sparse_gradients():
    ours = run(Adam(0.1), sparse([3, 1]))
    theirs = run(keras.optimizers.Adam(0.1), sparse([3, 1]))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4, atol=1e-6)


def test_repeated_rows_count_as_their_sum():
    total = np.zeros((4, 3), "float32")
    total[2] = [5, 7, 9]
    ours = run(Adam(0.1), sparse([2, 2]))
    dense = run(keras.optimizers.Adam(0.1), [[total, step[1]] for step in GRADIENTS])
    np.testing.assert_allclose(ours[0], dense[0], rtol=1e-4, atol=1e-6)


def test_the_fused_kernel_is_entered(monkeypatch):
    entered = []
    fused = seqkeras.training.adam.fused_adam
    monkeypatch.setattr(
        seqkeras.training.adam, "fused_adam", lambda *args: (entered.append(1), fused(*args))
    )
    run(Adam(0.1), GRADIENTS[:1])
    assert len(entered) == len(START)


def test_refuses_bfloat16_variables():
    with pytest.raises(ValueError, match="mixed_bfloat16"):
        Adam(0.1).build([keras.Variable(np.ones(2), dtype="bfloat16")])


def test_config_round_trip():
    optimizer = Adam(0.2, beta_1=0.7, weight_decay=0.01)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    for a, b in zip(run(again), run(Adam(0.2, beta_1=0.7, weight_decay=0.01)), strict=True):
        np.testing.assert_array_equal(a, b)
