import keras
import numpy as np

from seqkeras.training.callbacks.metric_window import MetricWindow


class Compiled:
    """All that a window reads of a model."""

    def __init__(self, *metrics):
        self.metrics = list(metrics)


def read(window):
    return {metric.name: float(metric.stateless_result(sums)) for metric, sums in window.take()}


def test_window_is_the_mean_of_what_came_since_the_last_one():
    mean = keras.metrics.Mean(name="m")
    window = MetricWindow(Compiled(mean))
    mean.update_state(100.0)  # before the stretch
    window.begin()
    for values in ([1.0, 2.0, 6.0], [10.0, 20.0]):
        mean.update_state(values)
        window.fold()
        assert read(window)["m"] == np.mean(values)


def test_sums_go_on_across_a_reset_between_two_stretches():
    root = keras.metrics.RootMeanSquaredError(name="rmse")  # not a mean of its batches' values
    window = MetricWindow(Compiled(root))
    window.begin()
    root.update_state([0.0], [3.0])
    window.fold()
    root.reset_state()
    root.update_state([0.0], [50.0])  # validation
    root.reset_state()
    window.begin()
    root.update_state([0.0, 0.0], [4.0, 5.0])
    window.fold()
    np.testing.assert_allclose(read(window)["rmse"], np.sqrt((9 + 16 + 25) / 3), rtol=1e-6)


def test_metrics_that_appear_during_the_first_step_count_from_zero():
    model = Compiled()
    window = MetricWindow(model)
    window.begin()
    model.metrics.append(keras.metrics.Mean(name="late"))
    model.metrics[0].update_state([4.0, 8.0])
    window.fold()
    assert read(window) == {"late": 6.0}
