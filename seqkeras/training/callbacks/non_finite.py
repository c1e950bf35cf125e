"""Ends a run whose numbers are no longer finite, and says what to do."""

import math
import pathlib

import keras

from seqkeras.training.optimizer import find_guard


class NonFiniteError(ArithmeticError):
    """The loss or a gradient became NaN or infinite."""


class StopOnNonFinite(keras.callbacks.Callback):
    """Raises `NonFiniteError` at the first batch with a NaN or infinite loss or gradient.

    Under `GuardedOptimizer` such a batch has changed no weight, and as the error comes before the
    batch's checkpoint, what is on disk is from before.

    Args:
        checkpoint: Path of the checkpoint that the message refers to, or None.
    """

    def __init__(self, checkpoint=None):
        super().__init__()
        self.checkpoint = checkpoint and pathlib.Path(checkpoint)
        self._epoch = 0
        self._skipped = 0

    def on_train_begin(self, logs=None):
        self._skipped = self._skipped_updates()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = float((logs or {}).get("loss", 0.0))
        gradient_is_bad = self._skipped_updates() > self._skipped
        if gradient_is_bad or not math.isfinite(loss):
            raise NonFiniteError(self._message(batch, loss, gradient_is_bad))

    def _skipped_updates(self):
        guard = find_guard(self.model.optimizer)
        return int(guard.non_finite_steps) if guard is not None and guard.built else 0

    def _message(self, batch, loss, gradient_is_bad):
        guard = find_guard(self.model.optimizer)
        what = "the gradient" if gradient_is_bad else "the loss"
        norm = f"{float(guard.gradient_norm):.4g}" if guard is not None else "unknown"
        lines = [
            f"Training stopped: {what} is not finite at epoch {self._epoch + 1}, step {batch + 1} "
            f"(mean loss of the epoch {loss:.4g}, gradient norm {norm}, "
            f"learning rate {float(self.model.optimizer.learning_rate):.4g})."
        ]
        if gradient_is_bad:
            lines.append("The update was skipped: no weight was changed by it.")
        if self.checkpoint is not None and self.checkpoint.exists():
            lines.append(f"The last checkpoint was written before and is intact: {self.checkpoint}")
        elif self.checkpoint is not None:
            lines.append("No checkpoint had been written yet.")
        lines.append(
            "Try a lower learning rate or a longer warm-up, a smaller clip_norm, float32 instead "
            "of mixed precision; if it is always the same step, look at that batch's data."
        )
        return "\n".join(lines)
