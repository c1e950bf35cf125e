"""Norms of gradients through time, while a model trains; notes A (7)-(10)."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from seqkeras.training.callbacks.tensorboard import open_run


class GradientFlow(keras.callbacks.Callback):
    """Writes how far gradients reach in the recurrent layers, as training goes on, for TensorBoard.

    A loss that does not fall does not say why; a norm at lag 100 of 1e-20 does, and so does one of
    1e6 that comes before a NaN. The points appear in the run `gradient_flow`: one before the first
    step, then one for each epoch, or each `every_steps` steps:

    - `gradient_flow/LAYER/log10_norm_lag_K`: log10 of the median over the examples of
      ||ds_T/ds_{T-K}||, so that 0 is a gradient kept and -3 one that shrinks to a thousandth. No
      point where the norm is 0 (below 1e-308) or beyond 1e308, or no example is K steps long;
    - `gradient_flow`: the picture of all lags, if `plot` is given.

    The cost is that of `measure`, and nothing between points.

    Args:
        log_dir: str or path. Folder of the runs, that of `TensorBoardLogger`.
        measure: Function without arguments that returns a dict from a layer's name to its
            `seqkeras.analysis.GradientNorms`; see the example.
        plot: Optional function from that dict to a uint8 array `(height, width, 3 or 4)`.
        every_steps: int >= 1, or None: at the ends of epochs.

    Example:
        from seqkeras.analysis import figure_pixels, model_gradient_norms, plot_gradient_norms

        GradientFlow(
            run_directory / "logs",
            measure=lambda: model_gradient_norms(model, example_inputs, lags=[1, 10, 100]),
            plot=lambda norms: figure_pixels(plot_gradient_norms(norms)),
        )

    Raises:
        ValueError: If `every_steps` is below 1.
    """

    def __init__(self, log_dir, measure, plot=None, every_steps=None):
        super().__init__()
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"Expected `every_steps` to be at least 1 or None, got {every_steps}.")
        self.log_dir = Path(log_dir)
        self.measure = measure
        self.plot = plot
        self.every_steps = every_steps
        self._writer = None

    def on_epoch_begin(self, epoch, logs=None):
        if self._writer is None:  # not earlier: other callbacks may restore a checkpoint first
            self._written_at = self._step()
            self._writer = open_run(self.log_dir / "gradient_flow", self._written_at)
            if self._written_at == 0:  # a resumed run has its point already
                self._write()

    def on_train_batch_end(self, batch, logs=None):
        # Several steps may have passed with `steps_per_execution`.
        every = self.every_steps
        if every is not None and self._step() // every > self._written_at // every:
            self._write()

    def on_epoch_end(self, epoch, logs=None):
        if self.every_steps is None:
            self._write()

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _step(self):
        return int(self.model.optimizer.iterations)

    def _write(self):
        step = self._written_at = self._step()
        curves = self.measure()
        with self._writer.as_default():
            for name, norms in curves.items():
                for lag, norm in zip(norms.lags, norms.typical(), strict=True):
                    if np.isfinite(norm) and norm > 0.0:
                        tag = f"gradient_flow/{name}/log10_norm_lag_{lag}"
                        tf.summary.scalar(tag, np.log10(norm), step=step)
            if self.plot is not None:
                tf.summary.image("gradient_flow", self.plot(curves)[None], step=step)
        self._writer.flush()
