"""`model.fit` cut into windows (`protocol.py`), for the workers whose models are Keras models."""

import contextlib

import keras
from keras import ops

from protocol import TrainingWindows
from seqkeras.constants import PAD


class TokenCount(keras.metrics.Metric):
    """Target tokens seen since the epoch began, END included, padding and START not."""

    def __init__(self, name="tokens"):
        super().__init__(name=name)
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.count.assign_add(ops.sum(ops.cast(ops.not_equal(y_true, PAD), self.count.dtype)))

    def result(self):
        return ops.convert_to_tensor(self.count)


class CutIntoWindows(keras.callbacks.Callback):
    """Lets `fit` run in windows."""

    def __init__(self, windows):
        super().__init__()
        self._windows = windows
        self._seen = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._seen = 0

    def on_train_batch_begin(self, batch, logs=None):
        self._windows.before_step()

    def on_train_batch_end(self, batch, logs=None):
        seen = int(logs["tokens"])
        self._windows.after_step(seen - self._seen)
        self._seen = seen


def fit_until_quit(channel, model, dataset, steps_per_epoch, decode):
    """Trains when told to, and decodes in between.

    Args:
        channel: `Channel`.
        model: Keras model that is compiled with `TokenCount`.
        dataset: `tf.data.Dataset` of batches, shuffled already.
        steps_per_epoch: int, or None for a dataset that ends.
        decode: see `TrainingWindows`.
    """
    with contextlib.suppress(KeyboardInterrupt):  # how `quit` ends the loop
        model.fit(
            dataset,
            steps_per_epoch=steps_per_epoch,
            epochs=100_000,
            callbacks=[CutIntoWindows(TrainingWindows(channel, decode))],
            shuffle=False,
            verbose=0,
        )
