"""Metrics of the last few steps, from metrics that Keras sums over the whole epoch.

Keras' metrics keep sums in variables that grow from the start of an epoch, so what `fit` prints is
a mean over the epoch so far: smooth, and late to show a change. The difference between two
readings of those sums is the same metric over the steps in between. Nothing is read at other steps.
"""

import keras
import numpy as np


def compiled_metrics(model):
    """Returns the metrics of a compiled model, those inside Keras' containers included."""
    return [leaf for metric in model.metrics for leaf in getattr(metric, "metrics", [metric])]


class MetricWindow:
    """The sums of a model's metrics over chosen stretches of training.

    A stretch ends before validation resets the metrics, and the next begins after; the sums go on.

    Args:
        model: Compiled `keras.Model` whose metrics' variables are sums: `keras.metrics.Mean` and
            all that derive from it, and those of `seqkeras.training`.

    Example:
        window = MetricWindow(model)
        window.begin()
        ...  # train
        window.fold()
        means = {metric.name: metric.stateless_result(sums) for metric, sums in window.take()}
    """

    def __init__(self, model):
        self.model = model
        self._sums = {}

    def begin(self):
        """Starts a stretch: what the metrics hold now does not count."""
        self._base = self._read()

    def fold(self):
        """Adds what the metrics have gained since `begin` or the last `fold`."""
        now = self._read()
        for metric, values in now.items():
            # Keras creates the compiled metrics, at zero, in the first step of the first `fit`.
            zeros = [0.0] * len(values)
            sums = zip(
                self._sums.get(metric, zeros), values, self._base.get(metric, zeros), strict=True
            )
            self._sums[metric] = [total + new - old for total, new, old in sums]
        self._base = now

    def take(self):
        """Empties the window; returns `[(metric, sums)]` for `metric.stateless_result(sums)`."""
        taken = [
            (metric, [keras.ops.convert_to_tensor(total, metric.dtype) for total in sums])
            for metric, sums in self._sums.items()
        ]
        self._sums = {}
        return taken

    def _read(self):
        # Waits for the device. In float64 nothing more is lost when large sums are subtracted.
        return {
            metric: [np.asarray(variable, "float64") for variable in metric.variables]
            for metric in compiled_metrics(self.model)
        }
