"""How long a run has trained, over all its interruptions, and when that is enough."""

import time

import keras


class TimeBudget(keras.callbacks.Callback):
    """Counts the minutes of training, and ends it with the last epoch that fits into a budget.

    The clock is the wall's, from the beginning of training: compiling, validation and checkpoints
    count. Its state is saved with the checkpoints, so what was lost in a kill, and is done again,
    does not count twice. An epoch is expected to take as long as the one before it; the first is
    trained whatever the budget.

    Args:
        minutes: float above 0, or None for no end.

    Attributes:
        curve: List of float, the minutes at the end of each epoch of the run.

    Raises:
        ValueError: if `minutes` is not above 0.
    """

    def __init__(self, minutes=None):
        super().__init__()
        if minutes is not None and not minutes > 0:
            raise ValueError(f"minutes: expected a number above 0 or None, got {minutes}.")
        self.minutes = minutes
        self.curve = []
        self._before = 0.0  # minutes of the run before this process went on with it
        self._since = None

    @property
    def elapsed(self):
        """Minutes of the run so far."""
        running = 0.0 if self._since is None else (time.monotonic() - self._since) / 60
        return self._before + running

    @property
    def stopped(self):
        """True if the budget has no room for another epoch, also in a run that is resumed."""
        if self.minutes is None or not self.curve:
            return False
        begin, end = [0.0, *self.curve][-2:]
        return end + (end - begin) > self.minutes

    def on_train_begin(self, logs=None):
        self._since = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        self.curve.append(self.elapsed)
        if self.stopped:
            self.model.stop_training = True

    def get_state(self):
        return {"minutes": self.elapsed, "curve": self.curve}

    def set_state(self, state):
        self._before, self.curve = state["minutes"], list(state["curve"])
