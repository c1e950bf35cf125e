import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from seqkeras.training.callbacks.checkpointing import Checkpointing
from seqkeras.training.callbacks.early_stopping import EarlyStopping
from seqkeras.training.checkpoints import read_checkpoint
from seqkeras.training.resume import fit
from seqkeras.training.run_lock import run_lock
from tests.training.token_batches import FakeBatches, build_model, compile_model
from tests.training.train_run import EPOCHS

pytestmark = pytest.mark.tensorflow

ROOT = pathlib.Path(__file__).parents[2]


def run(directory, *arguments):
    command = [sys.executable, "-m", "tests.training.train_run", directory, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("uninterrupted")
    assert run(directory) == 0
    return directory


def assert_same_end(directory, expected):
    """Every array of the last checkpoints and of the report is equal bit by bit."""
    for name in ("last.npz", "best.npz", "epoch-0003.npz", "epoch-0004.npz", "end.npz"):
        with np.load(directory / name) as ours, np.load(expected / name) as theirs:
            assert set(ours.files) == set(theirs.files)
            for key in ours.files:
                np.testing.assert_array_equal(ours[key], theirs[key], err_msg=f"{name} {key}")


def test_the_run_is_worth_comparing(uninterrupted):
    groups = ("weights", "seeds", "optimizer", "metrics")
    arrays, state = read_checkpoint(uninterrupted / "last.npz", groups)
    assert {name.split("/")[0] for name in arrays} == set(groups)
    assert (state["epoch"], state["step"]) == (EPOCHS, 0)
    (iteration,) = (a for n, a in arrays.items() if n.endswith("adam/iteration"))
    assert iteration == 10  # 20 batches, 2 to an update
    with np.load(uninterrupted / "end.npz") as end:
        assert end["log/loss"][-1] < end["log/loss"][0]
        assert set(end["epochs"]) == set(range(EPOCHS))


KILLS = [
    ("0", "1"),  # before any checkpoint
    ("1", "3"),  # in the middle of an epoch and of an accumulation, past a checkpoint
    ("1", "validation"),  # after an epoch's last batch, before its numbers are known
    ("3", "0"),  # between two epochs
]


def test_killed_and_resumed_ends_with_the_same_bits(tmp_path, uninterrupted):
    for epoch, step in KILLS:
        assert run(tmp_path, "--resume", "--kill-at", epoch, step) == -signal.SIGKILL
    assert not (tmp_path / "end.npz").exists()
    assert run(tmp_path, "--resume") == 0
    assert_same_end(tmp_path, uninterrupted)


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.events = []

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_train_end(self, logs=None):
        self.events.append("end")

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(f"epoch {epoch}")

    def on_train_batch_end(self, batch, logs=None):
        self.events.append(batch)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            raise KeyboardInterrupt


def small_fit(directory, callbacks=(), **options):
    model = compile_model(build_model())
    batches = FakeBatches(4)
    checkpointing = Checkpointing(directory, every_steps=1, monitor=None)
    return fit(model, batches, 2, callbacks, checkpointing=checkpointing, **options)


def test_callbacks_see_one_run_with_batches_numbered_from_the_epochs_start(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        small_fit(tmp_path, [Interrupt()])
    recorder = Recorder()
    history = small_fit(tmp_path, [recorder], resume=True)
    assert recorder.events == ["begin", "epoch 0", 3, "epoch 1", 0, 1, 2, 3, "end"]
    assert history.epoch == [0, 1]
    assert recorder.params == {"epochs": 2, "steps": 4, "verbose": 0}

    finished = Recorder()
    history = small_fit(tmp_path, [finished], resume=True)
    assert finished.events == ["begin", "end"]
    assert history.epoch == [0, 1]


def test_metrics_of_the_interrupted_epoch_are_those_of_all_its_batches(tmp_path):
    def losses(directory, interrupt):
        keras.utils.set_random_seed(0)
        if interrupt:
            with pytest.raises(KeyboardInterrupt):
                small_fit(directory, [Interrupt()])
        return small_fit(directory, resume=True).history["loss"]

    whole, cut = losses(tmp_path / "a", False), losses(tmp_path / "b", True)
    np.testing.assert_allclose(cut, whole, rtol=1e-5)


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    batches = FakeBatches(2)

    def run_to_the_end(patience, resume):
        recorder = Recorder()
        fit(
            compile_model(build_model(), learning_rate=1e-9),
            batches,
            6,
            # Perplexity never gets better by 1: it stops after the patience.
            callbacks=[EarlyStopping(patience, min_delta=1.0), recorder],
            validation_data=batches.evaluation_dataset(),
            checkpointing=Checkpointing(tmp_path),
            resume=resume,
        )
        return [event for event in recorder.events if str(event).startswith("epoch")]

    assert run_to_the_end(2, resume=False) == ["epoch 0", "epoch 1", "epoch 2"]
    assert run_to_the_end(2, resume=True) == []
    assert run_to_the_end(3, resume=True) == ["epoch 3"]  # more patience, one epoch more


def test_a_stop_in_the_rest_of_an_interrupted_epoch_ends_the_run(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    with pytest.raises(KeyboardInterrupt):
        small_fit(tmp_path, [Interrupt()])
    recorder = Recorder()
    small_fit(tmp_path, [recorder, Stop()], resume=True)
    assert recorder.events == ["begin", "epoch 0", 3, "end"]


def test_other_batches_are_refused(tmp_path):
    small_fit(tmp_path)
    checkpointing = Checkpointing(tmp_path, monitor=None)
    with pytest.raises(ValueError, match="4 steps per epoch, now there are 5"):
        fit(
            compile_model(build_model()),
            FakeBatches(5),
            3,
            checkpointing=checkpointing,
            resume=True,
        )


def test_a_finished_run_is_not_overwritten(tmp_path):
    small_fit(tmp_path)
    with pytest.raises(FileExistsError, match="resume=True"):
        small_fit(tmp_path)


def test_a_folder_in_use_is_refused(tmp_path):
    with run_lock(tmp_path), pytest.raises(RuntimeError, match="Another process"):
        small_fit(tmp_path)


def test_without_checkpoints_it_is_fit():
    history = fit(compile_model(build_model()), FakeBatches(2), 2)
    assert history.epoch == [0, 1]
    assert set(history.history) == {"loss", "perplexity"}


def test_what_cannot_work_raises(tmp_path):
    model = compile_model(build_model())
    with pytest.raises(ValueError, match="needs `checkpointing`"):
        fit(model, FakeBatches(2), 1, resume=True)
    with pytest.raises(ValueError, match="as `checkpointing`"):
        fit(model, FakeBatches(2), 1, callbacks=[Checkpointing(tmp_path)])
    model.compile(keras.optimizers.Adam(use_ema=True), "mse")
    with pytest.raises(ValueError, match="average_checkpoints"):
        fit(model, FakeBatches(2), 1)
