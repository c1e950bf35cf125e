"""Writes the last, the best, and a few of the epochs' checkpoints."""

import math
import os
import pathlib

import keras

from seqkeras.training.callbacks.monitor import check_mode, is_better, monitored_value
from seqkeras.training.checkpoints import save_checkpoint

LAST, BEST = "last.npz", "best.npz"


class Checkpointing(keras.callbacks.Callback):
    """Keeps checkpoints of a run, from which `resume.fit` goes on.

    - `last.npz`: after every `every_steps` batches and at the end of each epoch.
    - `best.npz`: the end of the epoch with the best monitored value.
    - `epoch-0007.npz`: epoch ends that `keep_last` and `keep_best` ask for, to average over.

    The files of an epoch's end are one file under several names (hard links), so keeping more
    costs no time. The batch that ends an epoch is saved after validation, together with the best
    value and the other callbacks' states: there is no checkpoint between an epoch and its
    validation. An epoch that another callback cuts short is not saved.

    Args:
        directory: Folder of the files.
        every_steps: int or None, batches between two checkpoints; None: epoch ends only.
        monitor: str or None, name in the epoch's logs that decides on the best; None: no best.
        mode: "min" or "max", which values are better.
        keep_last: int, how many of the newest epochs to keep under their own name.
        keep_best: int, how many of the best epochs to keep under their own name.
    """

    def __init__(
        self,
        directory,
        every_steps=None,
        monitor="val_perplexity",
        mode="min",
        keep_last=0,
        keep_best=0,
    ):
        super().__init__()
        check_mode(mode)
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"every_steps must be at least 1 or None, got {every_steps}.")
        if keep_best and monitor is None:
            raise ValueError(f"keep_best={keep_best} needs a monitor to tell which are the best.")
        self.directory = pathlib.Path(directory)
        self.every_steps = every_steps
        self.monitor = monitor
        self.mode = mode
        self.keep_last = keep_last
        self.keep_best = keep_best
        self.best = None
        self._values = {}  # epoch number in a file name: its monitored value, None without monitor
        self._callbacks = []
        self._epoch = 0
        self._step = 0  # batches done in this epoch
        self._saved_step = 0

    @property
    def last_path(self):
        return self.directory / LAST

    @property
    def best_path(self):
        return self.directory / BEST

    def track(self, callbacks):
        """Saves the states of these callbacks too: those with `get_state` and `set_state`."""
        self._callbacks = [callback for callback in callbacks if hasattr(callback, "get_state")]

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._step = self._saved_step = 0

    def on_train_batch_end(self, batch, logs=None):
        self._step = batch + 1
        ends_epoch = self._step >= self.params["steps"]
        if self.every_steps is None or ends_epoch:
            return
        if self._step // self.every_steps > self._saved_step // self.every_steps:
            self._saved_step = self._step
            save_checkpoint(self.last_path, self.model, self._run_state(self._epoch, self._step))

    def on_epoch_end(self, epoch, logs=None):
        if self._step < self.params["steps"]:
            return
        number = epoch + 1
        value = None
        if self.monitor is not None:
            value = monitored_value(logs or {}, self.monitor, "Checkpointing")
        improved = value is not None and is_better(value, self.best, self.mode)
        if improved:
            self.best = value
        self._values[number] = value
        self._forget_epochs()

        new = self.directory / f".{LAST}.new"
        save_checkpoint(new, self.model, self._run_state(epoch + 1, 0))
        # The last name is given last: a kill in between goes on from the older `last.npz`, which
        # does not know of the newer files yet, and comes by here again.
        if improved:
            _link(new, self.best_path)
        if number in self._values:
            _link(new, self._epoch_path(number))
        os.replace(new, self.last_path)
        for path in set(self.directory.glob("epoch-*.npz")) - set(self.epoch_paths()):
            path.unlink()

    def _forget_epochs(self):
        """Forgets the epochs that are neither new nor good enough."""
        values = self._values
        newest = sorted(values, reverse=True)[: self.keep_last]
        sign = 1.0 if self.mode == "min" else -1.0
        finite = [n for n, value in values.items() if value is not None and math.isfinite(value)]
        best = sorted(finite, key=lambda n: (sign * values[n], n))[: self.keep_best]
        self._values = {n: values[n] for n in values if n in newest or n in best}

    def _epoch_path(self, number):
        return self.directory / f"epoch-{number:04d}.npz"

    def epoch_paths(self):
        """Returns the kept epochs' files, oldest first, as `average_checkpoints` takes them."""
        return [self._epoch_path(number) for number in sorted(self._values)]

    def _run_state(self, epoch, step):
        return {
            "epoch": epoch,
            "step": step,
            "steps_per_epoch": self.params["steps"],
            "callbacks": callback_states([*self._callbacks, self]),
        }

    def get_state(self):
        return {"best": self.best, "values": sorted(self._values.items())}

    def set_state(self, state):
        self.best = state["best"]
        self._values = dict(map(tuple, state["values"]))


def callback_states(callbacks):
    """Returns the states of callbacks under their class names, numbered where a class repeats."""
    states = {}
    for callback in callbacks:
        states.setdefault(type(callback).__name__, []).append(callback.get_state())
    return states


def restore_callbacks(callbacks, states):
    """Gives each callback its state; a callback that the checkpoint does not know starts anew."""
    waiting = {name: list(saved) for name, saved in states.items()}
    for callback in callbacks:
        if hasattr(callback, "set_state") and waiting.get(type(callback).__name__):
            callback.set_state(waiting[type(callback).__name__].pop(0))


def _link(source, path):
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    os.link(source, temporary)
    os.replace(temporary, path)
