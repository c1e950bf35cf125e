"""`model.fit` that can be killed at any moment and goes on where the last checkpoint was written.

The loop is Keras'. A run that was cut in the middle of an epoch takes two calls of `fit`, because
`fit` knows only epochs of equal length: the rest of that epoch, then the epochs after it. The
callbacks see one run: one begin, one end, batches numbered from the start of their epoch.
"""

import contextlib

import keras

from seqkeras.training.callbacks.checkpointing import Checkpointing, restore_callbacks
from seqkeras.training.checkpoints import load_checkpoint, load_metrics, read_checkpoint
from seqkeras.training.run_lock import run_lock


def fit(
    model,
    batches,
    epochs,
    callbacks=(),
    validation_data=None,
    checkpointing=None,
    resume=False,
):
    """Trains a compiled model on token batches; resumable.

    What must be the same in a resumed run: the model, how it is compiled, the data and the batches'
    settings. Under `keras.utils.set_random_seed` and
    `tf.config.experimental.enable_op_determinism` the resumed run then ends with the very bits of
    an uninterrupted one. Randomness must come from generators that belong to the model, as Keras'
    layers' does; bare `keras.random` calls without a seed are not restored.

    Args:
        model: A compiled `keras.Model`.
        batches: Training batches with `steps_per_epoch` and `dataset(epoch, step)`, such as
            `TokenBatches`: an endless `tf.data.Dataset` of (x, y) from that position on.
        epochs: int, the number of epochs of the whole run.
        callbacks: Keras callbacks, called in this order, before `checkpointing`. Those with
            `get_state()` and `set_state(state)` (JSON) are saved with the checkpoints.
        validation_data: Finite dataset of (x, y) of known cardinality, or None.
        checkpointing: `Checkpointing` or None. Its folder is held by this process meanwhile.
        resume: bool. Go on from the last checkpoint; from the start if there is none.

    Returns:
        `keras.callbacks.History` of the whole run, what came before the interruption included.

    Raises:
        FileExistsError: If the folder holds a checkpoint and `resume` is False.
        RuntimeError: If another process trains in the folder.
        ValueError: If the checkpoint belongs to another model or other batches.
    """
    _refuse_weight_averaging(model.optimizer)
    steps = batches.steps_per_epoch
    run = _Run(callbacks, checkpointing, model, epochs=epochs, steps=steps, verbose=0)
    with run_lock(checkpointing.directory) if checkpointing else contextlib.nullcontext():
        epoch, step = _start(model, batches, run, checkpointing, resume)
        common = {
            "callbacks": run,
            "validation_data": validation_data,
            "shuffle": False,  # `batches` does
            "verbose": 0,
        }
        run.begin()
        stopped = run.stopped
        if step and not stopped:
            run.skip(step)
            model.fit(
                batches.dataset(epoch, step),
                initial_epoch=epoch,
                epochs=epoch + 1,
                steps_per_epoch=steps - step,
                **common,
            )
            epoch += 1
            stopped = model.stop_training
        if epoch < epochs and not stopped:
            model.fit(
                batches.dataset(epoch, 0),
                initial_epoch=epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                **common,
            )
        run.end()
    return run.history


def _start(model, batches, run, checkpointing, resume):
    """Returns the (epoch, step) to start at, after restoring the checkpoint if there is one."""
    if checkpointing is None:
        if resume:
            raise ValueError("resume=True needs `checkpointing`, which knows where to resume from.")
        return 0, 0
    path = checkpointing.last_path
    if not path.exists():
        return 0, 0
    if not resume:
        raise FileExistsError(
            f"{path} exists: this folder holds a run already. Resume it (resume=True), or choose "
            "another run directory."
        )
    _, state = read_checkpoint(path)
    epoch, step = state["epoch"], state["step"]
    if state["steps_per_epoch"] != batches.steps_per_epoch:
        raise ValueError(
            f"{path} was written with {state['steps_per_epoch']} steps per epoch, now there are "
            f"{batches.steps_per_epoch}: data, batch size or limits on length have changed. "
            "Resume with the run's own settings, or start another run from its weights."
        )
    if step:
        # Keras builds the metrics with the first batch, the sums to restore need them before.
        x, y = next(iter(batches.dataset(epoch, step)))
        model.test_on_batch(x, y)
        run.metrics_path = path
    load_checkpoint(path, model)
    restore_callbacks(run.callbacks, state["callbacks"])
    return epoch, step


class _History(keras.callbacks.History):
    """Keras' history, kept over an interruption."""

    def on_train_begin(self, logs=None):
        """Keras would clear it here."""

    def __init__(self):
        super().__init__()
        self.epoch = []

    def get_state(self):
        return {"epoch": self.epoch, "history": self.history}

    def set_state(self, state):
        self.epoch, self.history = state["epoch"], state["history"]


class _Run(keras.callbacks.CallbackList):
    """The callbacks of a run, told of one beginning and one end however often `fit` is called."""

    def __init__(self, callbacks, checkpointing, model, **params):
        listed = [_History(), *callbacks]  # the history first: it is saved with the others
        if any(isinstance(callback, Checkpointing) for callback in callbacks):
            raise ValueError("Pass Checkpointing as `checkpointing`, not among the callbacks.")
        if checkpointing is not None:
            checkpointing.track(listed)
            listed.append(checkpointing)  # the last: saves what the others made of the epoch
        super().__init__(listed, model=model, **params)
        self.history = listed[0]
        self.metrics_path = None
        self._offset = 0

    @property
    def stopped(self):
        """True if a callback ended this run, or the one that is resumed."""
        return any(getattr(callback, "stopped", False) for callback in self.callbacks)

    def begin(self):
        super().on_train_begin()

    def end(self):
        super().on_train_end()

    def skip(self, step):
        """The first epoch starts behind `step` batches."""
        self._offset = step

    def on_train_begin(self, logs=None):
        """Left to `begin`."""

    def on_train_end(self, logs=None):
        """Left to `end`."""

    def on_epoch_begin(self, epoch, logs=None):
        if self.metrics_path is not None:  # Keras has just cleared the sums
            load_metrics(self.metrics_path, self.model)
            self.metrics_path = None
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._offset = 0

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch + self._offset, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch + self._offset, logs)


def _refuse_weight_averaging(optimizer):
    while optimizer is not None:
        if optimizer.use_ema:
            raise ValueError(
                f"{type(optimizer).__name__} has use_ema=True, which overwrites the weights "
                "whenever `fit` ends. Use average_checkpoints after training instead."
            )
        optimizer = getattr(optimizer, "inner_optimizer", None)
