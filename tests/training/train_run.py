"""A small run for `test_resume`, in a process of its own; prints nothing, leaves its end in a file.

    python -m tests.training.train_run DIRECTORY [--resume] [--kill-at EPOCH STEP]

Kills itself by SIGKILL at the given place: before a training batch, or where STEP is `validation`
inside the epoch's validation.
"""

import argparse
import os
import pathlib
import signal

import keras
import numpy as np
import tensorflow as tf

from seqkeras.training.callbacks.checkpointing import Checkpointing
from seqkeras.training.callbacks.early_stopping import EarlyStopping
from seqkeras.training.resume import fit
from tests.training.token_batches import FakeBatches, build_model, compile_model

EPOCHS = 4
STEPS = 5


class KillAt(keras.callbacks.Callback):
    """Ends the process as `kill -9` does."""

    def __init__(self, place):
        super().__init__()
        self.place = place
        self.epoch = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self._maybe_kill(str(batch))

    def on_test_batch_end(self, batch, logs=None):
        self._maybe_kill("validation")

    def _maybe_kill(self, step):
        if [str(self.epoch), step] == self.place:
            os.kill(os.getpid(), signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--kill-at", nargs=2)
    arguments = parser.parse_args()

    keras.utils.set_random_seed(7)
    tf.config.experimental.enable_op_determinism()
    model = compile_model(build_model(), accumulate_steps=2)
    batches = FakeBatches(STEPS)
    stopping = EarlyStopping(patience=50)
    checkpointing = Checkpointing(arguments.directory, every_steps=2, keep_last=2)
    history = fit(
        model,
        batches,
        EPOCHS,
        callbacks=[stopping, KillAt(arguments.kill_at)],
        validation_data=batches.evaluation_dataset(),
        checkpointing=checkpointing,
        resume=arguments.resume,
    )
    logs = {f"log/{name}": np.array(values) for name, values in history.history.items()}
    np.savez(
        arguments.directory / "end.npz",
        best=np.array([stopping.best, checkpointing.best]),
        wait=stopping.wait,
        epochs=np.array(history.epoch),
        **logs,
    )


if __name__ == "__main__":
    main()
