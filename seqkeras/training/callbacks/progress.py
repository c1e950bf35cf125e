"""One line about every ten seconds: where training is, how well, how fast, how long still."""

import sys
import time

import keras


class Progress(keras.callbacks.Callback):
    """Prints whole lines, so that a log file reads as well as a terminal.

        epoch 3/10  step 120/910  loss 3.214  perplexity 24.87  812 tokens/s  0:12:33 left

    Each epoch ends with a line of its own, with the validation numbers. Speed and remaining time
    are those since the line before; validation is not foreseen.

    Args:
        token_count: Scalar variable with the number of tokens of the latest batch, as
            `TokenCrossentropy().token_count`; None: speed is given in steps per second.
        seconds: float, time between two lines.
        stream: Text file to write to; None: standard output.
        budget: `TimeBudget` of the run, whose end may come before the last epoch, or None.
    """

    def __init__(self, token_count=None, seconds=10.0, stream=None, budget=None):
        super().__init__()
        self.token_count = token_count
        self.seconds = seconds
        self.stream = stream
        self.budget = budget
        self._epoch = 0
        self._warm = False
        self._restart()

    def _restart(self):
        self._since = time.monotonic()
        self._steps = 0
        self._tokens = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._restart()  # validation and checkpoints in between do not count as slow steps

    def on_train_batch_end(self, batch, logs=None):
        if not self._warm:
            self._warm = True  # the first batch compiles the step: its time says nothing
            self._restart()
            return
        self._steps += 1
        if self.token_count is not None:
            self._tokens += int(self.token_count)
        elapsed = time.monotonic() - self._since
        if elapsed < self.seconds:
            return
        steps = self.params["steps"]
        left = (self.params["epochs"] - self._epoch) * steps - (batch + 1)
        seconds_left = left * elapsed / self._steps
        if self.budget is not None and self.budget.minutes is not None:
            seconds_left = min(seconds_left, 60 * (self.budget.minutes - self.budget.elapsed))
        self._print(
            f"step {batch + 1}/{steps}",
            *_numbers(logs),
            self._speed(elapsed),
            f"{format_seconds(max(0.0, seconds_left))} left",
        )
        self._restart()

    def on_epoch_end(self, epoch, logs=None):
        self._print("done", *_numbers(logs))

    def _speed(self, elapsed):
        if self.token_count is None:
            return f"{self._steps / elapsed:.3g} steps/s"
        return f"{self._tokens / elapsed:.0f} tokens/s"

    def _print(self, *parts):
        line = "  ".join((f"epoch {self._epoch + 1}/{self.params['epochs']}", *parts))
        print(line, file=self.stream or sys.stdout, flush=True)


def _numbers(logs):
    return [f"{name} {float(value):.4g}" for name, value in (logs or {}).items()]


def format_seconds(seconds):
    """Returns h:mm:ss.

    Example:

    >>> format_seconds(3725.4)
    '1:02:05'
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
