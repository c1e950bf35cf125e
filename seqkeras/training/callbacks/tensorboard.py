"""The TensorBoard page of a run: curves, samples, embeddings and the graph.

Differences from `keras.callbacks.TensorBoard`: curves are means over the last `every_steps` steps
and not over the epoch so far, against the optimizer's steps and not epochs; training and
validation share their names and so their axes; a resumed run goes on where it was; the graph and
the projector are not empty.
"""

import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from seqkeras.training.callbacks.metric_window import MetricWindow
from seqkeras.training.optimizer import find_guard
from seqkeras.training.padding_share import PaddingShare


def open_run(directory, step):
    """Returns a summary writer into a run's folder that takes over after `step`.

    A run that was killed may have written beyond the checkpoint from which it now resumes. For
    TensorBoard, the second and later START of a session drop what was written at or after them.
    """
    with tf.Graph().as_default():  # this writer refuses to work eagerly
        marker = tf.compat.v1.summary.FileWriter(str(directory))
        session = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        marker.add_session_log(session, global_step=step + 1)
        marker.close()
    return tf.summary.create_file_writer(str(directory))


def write_model_graph(model):
    """Writes the graph of one forward pass to the default summary writer."""
    signature = tf.nest.map_structure(
        lambda x: tf.TensorSpec(x.shape, x.dtype, x.name), model.input
    )
    forward = tf.function(lambda inputs: model(inputs, training=False), autograph=False)
    tf.summary.graph(forward.get_concrete_function(signature).graph)


class TensorBoardLogger(keras.callbacks.Callback):
    """Writes a run's curves, samples, embeddings and graph where TensorBoard finds them.

    Two runs appear under `log_dir`. `train` gets a point each `every_steps` steps:

    - `metrics/*`: every compiled metric that is one number, over the steps since the last point;
    - `optimizer/learning_rate`, that of the next update;
    - `optimizer/gradient_norm`, of the last update and before clipping, under `GuardedOptimizer`;
    - `speed/tokens_per_second`, if the model is compiled with `PaddingShare`: real target tokens
      over seconds of training, without validation and what else happens between epochs.

    Most of the first step's time is spent tracing: step 1 is a point of its own, without a speed;
    the first step after a resume is in no point. `validation` gets `metrics/*` of the validation
    data at epoch ends.

    Between points a step costs one addition in Python: nothing is read from the device.

    Args:
        log_dir: str or path. Folder for the runs `train` and `validation`.
        every_steps: int. Batches from one point of the training curves to the next.
        samples: Optional `SampleTranslations`, written at epoch ends.
        projector: Optional `EmbeddingProjector`, written at epoch ends and when training ends.
        write_graph: bool. Whether to write the model's graph; it must be a functional model.

    Example:
        model.compile(..., metrics=[Perplexity(), TokenAccuracy(), PaddingShare()])
        model.fit(dataset, callbacks=[TensorBoardLogger(run_directory / "logs")])

    Raises:
        ValueError: If `every_steps` is below 1.
    """

    def __init__(self, log_dir, every_steps=100, samples=None, projector=None, write_graph=True):
        super().__init__()
        if every_steps < 1:
            raise ValueError(f"Expected `every_steps` to be at least 1, got {every_steps}.")
        self.log_dir = Path(log_dir)
        self.every_steps = every_steps
        self.samples = samples
        self.projector = projector
        self.write_graph = write_graph
        self._running = False  # whether the clock runs and the metrics hold training sums

    def on_train_begin(self, logs=None):
        self._writers = {}

    def on_epoch_begin(self, epoch, logs=None):
        if not self._writers:  # not earlier: other callbacks may restore a checkpoint first
            self._open()

    def on_train_batch_begin(self, batch, logs=None):
        self._first_batch = batch
        if not self._running:  # an epoch begins, or goes on after an evaluation
            self._window.begin()
            self._clock = time.perf_counter()
            self._running = True

    def on_train_batch_end(self, batch, logs=None):
        before = self._batches
        self._batches += batch - self._first_batch + 1  # several with `steps_per_execution`
        if before == self._begun_at:
            self._first_step()
        elif self._batches // self.every_steps > before // self.every_steps:
            self._write_point()

    def on_test_begin(self, logs=None):
        self._pause()  # before the evaluation resets the metrics

    def on_epoch_end(self, epoch, logs=None):
        self._pause()
        step = self._step()
        validation = {
            f"metrics/{name.removeprefix('val_')}": value
            for name, value in (logs or {}).items()
            if name.startswith("val_")
        }
        if validation:
            if "validation" not in self._writers:
                self._writers["validation"] = open_run(self.log_dir / "validation", self._begun_at)
            self._write_scalars("validation", validation, step)
        if self.samples is not None:
            with self._writers["train"].as_default():
                self.samples.write(step)
            self._writers["train"].flush()
        self._write_projector()

    def on_train_end(self, logs=None):
        if not self._writers:  # there was no epoch left to train
            return
        if self._step() > self._written_at:
            self._write_point()
        self._write_projector()
        for writer in self._writers.values():
            writer.close()

    def _open(self):
        step = self._step()
        self._writers = {"train": open_run(self.log_dir / "train", step)}
        self._begun_at = self._written_at = self._batches = step
        self._window = MetricWindow(self.model)
        self._seconds = 0.0
        self._running = False
        if self.write_graph:
            with self._writers["train"].as_default():
                write_model_graph(self.model)

    def _step(self):
        return int(self.model.optimizer.iterations)

    def _tick(self):
        """Adds the metrics' sums and the seconds since the last tick, unless paused."""
        if self._running:
            self._window.fold()  # waits for the device, so before the clock is read
            now = time.perf_counter()
            self._seconds += now - self._clock
            self._clock = now

    def _pause(self):
        self._tick()
        self._running = False

    def _first_step(self):
        """Keeps the time of tracing out of the speeds, and one batch alone out of the curves."""
        if self._begun_at == 0:
            self._write_point(timed=False)
        else:
            self._tick()
            self._window.take()
            self._seconds = 0.0

    def _write_point(self, timed=True):
        self._tick()
        scalars = {}
        for metric, sums in self._window.take():
            result = np.asarray(metric.stateless_result(sums))
            if result.ndim == 0:
                scalars[f"metrics/{metric.name}"] = result
            if timed and isinstance(metric, PaddingShare):
                scalars["speed/tokens_per_second"] = sums[0] / self._seconds
        scalars["optimizer/learning_rate"] = self.model.optimizer.learning_rate
        guard = find_guard(self.model.optimizer)
        if guard is not None:
            scalars["optimizer/gradient_norm"] = guard.gradient_norm
        self._written_at, self._seconds = self._step(), 0.0
        self._write_scalars("train", scalars, self._written_at)

    def _write_scalars(self, run, scalars, step):
        with self._writers[run].as_default():
            for name, value in scalars.items():
                tf.summary.scalar(name, np.asarray(value, "float32"), step=step)
        self._writers[run].flush()

    def _write_projector(self):
        if self.projector is not None:
            self.projector.write(self.log_dir / "train")
