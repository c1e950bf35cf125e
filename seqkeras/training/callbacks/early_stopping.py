"""Stops when validation no longer improves, and remembers it over an interruption."""

import keras

from seqkeras.training.callbacks.monitor import check_mode, is_better, monitored_value


class EarlyStopping(keras.callbacks.Callback):
    """Ends training after `patience` epochs in a row without an improvement.

    Keras' callback forgets its count when a run is resumed; this one's state is saved with the
    checkpoint. The best weights are `Checkpointing`'s business: load `best.npz`.

    Args:
        patience: int, epochs without improvement after which to stop.
        monitor: str, name in the epoch's logs.
        mode: "min" or "max", which values are better.
        min_delta: float, a smaller change is no improvement.
    """

    def __init__(self, patience, monitor="val_perplexity", mode="min", min_delta=0.0):
        super().__init__()
        check_mode(mode)
        if patience < 1:
            raise ValueError(f"patience must be at least 1 epoch, got {patience}.")
        self.patience = patience
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta
        self.best = None
        self.wait = 0

    @property
    def stopped(self):
        """True once patience has run out, also in a run that is resumed after that."""
        return self.wait >= self.patience

    def on_epoch_end(self, epoch, logs=None):
        value = monitored_value(logs or {}, self.monitor, "EarlyStopping")
        if is_better(value, self.best, self.mode, self.min_delta):
            self.best, self.wait = value, 0
        else:
            self.wait += 1
        if self.stopped:
            self.model.stop_training = True

    def get_state(self):
        return {"best": self.best, "wait": self.wait}

    def set_state(self, state):
        self.best, self.wait = state["best"], state["wait"]
