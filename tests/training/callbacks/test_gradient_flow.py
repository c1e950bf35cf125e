import keras
import numpy as np
import pytest
import tensorflow as tf

from seqkeras import layers
from seqkeras.analysis.figures import figure_pixels
from seqkeras.analysis.gradient_flow import GradientNorms
from seqkeras.analysis.gradient_plots import plot_gradient_norms
from seqkeras.analysis.model_gradient_flow import model_gradient_norms
from seqkeras.training.callbacks.gradient_flow import GradientFlow
from tests.training.callbacks.tensorboard_readers import read_events

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 9, 2)).astype("float32")
Y = X[:, 0, :1]


def compiled(**options):
    model = keras.Sequential([keras.Input((9, 2)), layers.GRU(3, name="memory")])
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.SGD(0.5), "mse", **options)
    return model


def fit(model, callback, epochs=2, first=0):
    options = {"epochs": epochs, "initial_epoch": first, "shuffle": False, "verbose": 0}
    model.fit(X, Y, batch_size=3, callbacks=[callback], **options)


def points(log_dir, tag):
    events = read_events(log_dir / "gradient_flow").Tensors(tag)
    values = {e.step: tf.make_ndarray(e.tensor_proto) for e in events}
    assert len(values) == len(events)  # one point for each step
    return values


def test_points_before_training_and_at_epoch_ends(tmp_path):
    model = compiled()
    seen = []

    def measure():
        norms = model_gradient_norms(model, X, lags=[1, 5, 50])
        seen.append(norms["memory"])
        return norms

    plot = lambda norms: figure_pixels(plot_gradient_norms(norms))  # noqa: E731
    fit(model, GradientFlow(tmp_path, measure, plot))
    for row, lag in enumerate((1, 5)):
        curve = points(tmp_path, f"gradient_flow/memory/log10_norm_lag_{lag}")
        assert list(curve) == [0, 4, 8]
        expected = [np.log10(np.median(norms.spectral[row])) for norms in seen]
        np.testing.assert_allclose(list(curve.values()), expected, rtol=1e-5)
    assert len(set(expected)) == 3  # of the model as it trains
    tags = read_events(tmp_path / "gradient_flow").Tags()["tensors"]
    assert len(tags) == 3
    pictures = points(tmp_path, "gradient_flow")
    assert list(pictures) == [0, 4, 8]
    width, height, png = pictures[8]
    assert (int(width), int(height)) == (640, 440)
    assert png[:4] == b"\x89PNG"


def test_every_few_steps(tmp_path):
    model = compiled()
    fit(
        model,
        GradientFlow(tmp_path, lambda: model_gradient_norms(model, X, lags=[1]), every_steps=3),
    )
    assert list(points(tmp_path, "gradient_flow/memory/log10_norm_lag_1")) == [0, 3, 6]


def test_every_few_steps_with_several_in_one_call(tmp_path):
    model = compiled(steps_per_execution=2)
    fit(
        model,
        GradientFlow(tmp_path, lambda: model_gradient_norms(model, X, lags=[1]), every_steps=3),
    )
    assert list(points(tmp_path, "gradient_flow/memory/log10_norm_lag_1")) == [0, 4, 6]


def test_a_resumed_run_goes_on_after_its_last_point(tmp_path):
    model = compiled()
    measure = lambda: model_gradient_norms(model, X, lags=[1])  # noqa: E731
    fit(model, GradientFlow(tmp_path, measure), epochs=1)
    callback = GradientFlow(tmp_path, measure)
    fit(model, callback, epochs=3, first=1)
    fit(model, callback, epochs=4, first=3)  # and may be used again
    assert list(points(tmp_path, "gradient_flow/memory/log10_norm_lag_1")) == [0, 4, 8, 12, 16]


def test_norms_that_have_no_logarithm_give_no_point(tmp_path):
    spectral = np.array([[0.01], [0.0], [np.inf], [np.nan]])
    norms = {"x": GradientNorms(np.arange(4), spectral, spectral, None, None)}
    fit(compiled(), GradientFlow(tmp_path, lambda: norms))
    assert points(tmp_path, "gradient_flow/x/log10_norm_lag_0")[0] == pytest.approx(-2.0)
    assert len(read_events(tmp_path / "gradient_flow").Tags()["tensors"]) == 1


def test_every_steps_must_be_at_least_1(tmp_path):
    with pytest.raises(ValueError, match="`every_steps` to be at least 1 or None, got 0"):
        GradientFlow(tmp_path, dict, every_steps=0)
