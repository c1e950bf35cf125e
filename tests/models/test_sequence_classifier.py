"""The classifier against the same network made of Keras' own layers."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.models import sequence_classifier
from seqkeras.models.cells import CELLS

RNG = np.random.default_rng(2)
SERIES = (3.0 + 2.0 * RNG.normal(size=(4, 6, 3))).astype("float32")
LENGTH = np.array([6, 3, 1, 4], "int32")
MASK = np.arange(6) < LENGTH[:, None]
MEAN, VARIANCE = np.array([3.0, 2.0, 1.0]), np.array([4.0, 1.0, 0.5])


def logits(model, sequence, length=LENGTH):
    return ops.convert_to_numpy(model({"sequence": sequence, "length": length}))


def keras_twin(weights, x, pooling, bidirectional):
    """Logits of Keras' own LSTMs with these weights, pooled and projected in NumPy."""
    for index in range(2):
        twin = keras.layers.LSTM(4, return_sequences=index == 0 or pooling != "last")
        twin = keras.layers.Bidirectional(twin) if bidirectional else twin
        twin.build(x.shape)
        twin.set_weights(weights[: len(twin.weights)])
        weights = weights[len(twin.weights) :]
        x = twin(x, mask=ops.convert_to_tensor(MASK))
    h = ops.convert_to_numpy(x)
    if pooling != "last":
        pool = {"mean": np.mean, "max": np.max}[pooling]
        h = np.stack([pool(row[:n], axis=0) for row, n in zip(h, LENGTH, strict=True)])
    kernel, bias = weights
    return h @ kernel + bias


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_series_equal_keras_layers(pooling, bidirectional):
    options = {"units": 4, "layers": 2, "pooling": pooling, "bidirectional": bidirectional}
    model = sequence_classifier(3, mean=MEAN, variance=VARIANCE, **options)
    for weight in model.trainable_weights:  # the biases too
        weight.assign(RNG.normal(scale=0.5, size=weight.shape))
    standardised = ops.cast((SERIES - MEAN) / np.sqrt(VARIANCE), "float32")
    # The normalization has no weights: its statistics are its config.
    wanted = keras_twin(model.get_weights(), standardised, pooling, bidirectional)
    np.testing.assert_allclose(logits(model, SERIES), wanted, rtol=1e-4, atol=1e-5)


def test_tokens_equal_keras_layers():
    ids = np.where(MASK, RNG.integers(4, 9, MASK.shape), 0)
    model = sequence_classifier(3, vocabulary_size=9, embedding_dim=3, units=4, layers=2)
    table, *weights = model.get_weights()
    wanted = keras_twin(weights, ops.convert_to_tensor(table[ids]), "last", bidirectional=True)
    np.testing.assert_allclose(logits(model, ids), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_padding_changes_nothing(cell):
    model = sequence_classifier(2, mean=MEAN, variance=VARIANCE, cell=cell, units=4)
    garbage = np.where(MASK[:, :, None], SERIES, np.nan)
    together = logits(model, garbage)
    assert np.isfinite(together).all()
    for row, steps in enumerate(LENGTH):
        alone = logits(model, SERIES[row : row + 1, :steps], LENGTH[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["last", "max"])
def test_padding_has_no_gradient_and_the_model_learns(pooling):
    keras.utils.set_random_seed(1)
    model = sequence_classifier(2, mean=MEAN, variance=VARIANCE, units=8, pooling=pooling)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    x = {"sequence": np.where(MASK[:, :, None], SERIES, np.nan), "length": LENGTH}
    history = model.fit(x, np.array([0, 1, 0, 1]), epochs=50, verbose=0, batch_size=4)
    assert history.history["loss"][-1] < 0.1


def test_a_loaded_model_answers_alike(tmp_path):
    model = sequence_classifier(3, mean=MEAN, variance=VARIANCE, units=4, pooling="mean")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(logits(loaded, SERIES), logits(model, SERIES), rtol=1e-6)


def test_logits_are_float32_and_carry_no_mask():
    with_policy = keras.dtype_policies.get("mixed_bfloat16")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(with_policy)
    try:
        model = sequence_classifier(3, vocabulary_size=9, units=4)
    finally:
        keras.config.set_dtype_policy(before)
    assert model.output.dtype == "float32"
    assert getattr(model.output, "_keras_mask", None) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes: expected at least 2, got 1"),
        ({"layers": 0}, "layers: expected at least 1, got 0"),
        ({"pooling": "sum"}, "pooling: expected one of .*got 'sum'"),
        ({"cell": "gruu"}, "got 'gruu'"),
        ({"mean": [0.0], "variance": [1.0]}, "either vocabulary_size"),
        ({"vocabulary_size": None}, "either vocabulary_size"),
        ({"vocabulary_size": None, "mean": [0.0]}, "either vocabulary_size"),
    ],
)
def test_mistakes_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        sequence_classifier(**{"classes": 2, "vocabulary_size": 9, **options})
