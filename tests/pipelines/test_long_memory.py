"""The long-memory pipeline, run for real: its smoke preset, every task, every cell."""

import dataclasses
import functools
import json
import math
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines import long_memory
from pipelines.learning_curves import load_curve
from pipelines.long_memory_cells import NAMES
from pipelines.long_memory_compare import Compare, compare
from pipelines.long_memory_config import PRESETS, Config, Data, Model, Training, resolved
from pipelines.long_memory_tasks import make_task
from pipelines.run_directory import RunDirectory, load_config, save_config
from tests.pipelines.commands import ROOT, run_pipeline

pytestmark = pytest.mark.tensorflow

SMOKE = PRESETS["smoke"]
TRAIN = """
import dataclasses, sys
from pipelines import long_memory
from pipelines.run_directory import load_config
from pipelines.long_memory_config import Config
config = load_config(Config, sys.argv[1])
long_memory.train(dataclasses.replace(config, resume=sys.argv[2] != "0"))
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of two classes: the upper or the lower half is bright."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=80)
    x = rng.integers(100, size=(80, 4, 4)).astype("uint8")
    for image, label in zip(x, y, strict=True):
        image[2 * label : 2 * label + 2] += 150
    path = tmp_path_factory.mktemp("images") / "halves.npz"
    np.savez(path, x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    return path


def smoke(run, task="adding", images=None, **training):
    data = dataclasses.replace(SMOKE.data, validation=20, test=20)
    if task == "mnist":
        data = dataclasses.replace(data, path=str(images), permuted=True)
    training = dataclasses.replace(SMOKE.training, batch_size=10, **training)
    return dataclasses.replace(SMOKE, run=str(run), task=task, data=data, training=training)


@pytest.fixture(scope="module", params=["adding", "copy", "mnist"])
def trained(request, images, tmp_path_factory):
    """A run of each task, trained, evaluated and exported."""
    folder = tmp_path_factory.mktemp(request.param)
    long_memory.train(smoke(folder / "run", request.param, images))
    run = RunDirectory(folder / "run")
    long_memory.evaluate(long_memory.Evaluate(run=str(run.path)))
    output = folder / "saved_models" / request.param
    path = long_memory.export(long_memory.Export(run=str(run.path), output=str(output)))
    return run, path


command = functools.partial(run_pipeline, "long_memory")


def test_a_run_holds_everything(trained):
    run, _ = trained
    config = load_config(Config, run.config)
    assert resolved(config) == config  # nothing is left to a table that may change
    assert (run.plots / "learning_curve.png").exists()
    assert {"last.npz", "best.npz"} <= {path.name for path in run.checkpoints.iterdir()}
    assert list((run.logs / "train").iterdir())
    curve = load_curve(run)
    assert curve["step"] == [10, 20]
    assert 0.0 < curve["minutes"][0] < curve["minutes"][1]
    assert len(curve["val_loss"]) == 2


def test_evaluate_measures_the_best_epoch(trained):
    run, _ = trained
    scores, curve = json.loads(run.metrics.read_text()), load_curve(run)
    task = make_task(load_config(Config, run.config))
    best = max if task.mode == "max" else min
    name = task.monitor.removeprefix("val_")
    assert scores["validation"][name] == pytest.approx(best(curve[task.monitor]), rel=1e-4)
    assert set(scores["baselines"]) == set(scores["test"])
    assert scores["steps"] == 20
    model = keras.models.load_model(run.model)
    assert scores["parameters"] == sum(math.prod(w.shape) for w in model.weights)


def test_the_export_answers_raw_inputs_as_the_run_does(trained):
    run, path = trained
    task = make_task(load_config(Config, run.config))
    inputs, targets = task.examples("test")
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    answers = serve(**{task.specification.name: tf.constant(inputs)})
    outputs = keras.models.load_model(run.model)(task.prepare(inputs))
    for name, tensor in task.answers(outputs).items():
        if tensor.dtype == tf.float32:
            np.testing.assert_allclose(answers[name], tensor, rtol=1e-4, atol=1e-6)
        else:
            np.testing.assert_array_equal(answers[name], tensor)
    scores = json.loads(run.metrics.read_text())["test"]
    if "sum" in answers:
        error = np.mean((answers["sum"].numpy() - targets[:, 0]) ** 2)
        assert error == pytest.approx(scores["loss"], rel=1e-4)
    if "label" in answers:
        right = np.mean(answers["label"].numpy() == targets)
        assert right == pytest.approx(scores["accuracy"], abs=1e-6)
        np.testing.assert_allclose(answers["probabilities"].numpy().sum(-1), 1.0, rtol=1e-5)


def test_predict_prints_a_line_for_each_row(trained, tmp_path, capsys):
    run, path = trained
    inputs, _ = make_task(load_config(Config, run.config)).examples("test")
    file = tmp_path / "inputs.npy"
    options = long_memory.Predict(inputs=str(file), saved_model=str(path.parent), batch_size=4)
    np.save(file, inputs[:7])
    long_memory.predict(options)
    header, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 7
    assert {len(row.split("\t")) for row in rows} == {len(header.split("\t"))}
    np.save(file, inputs[0])
    with pytest.raises(ValueError, match="expected an array"):
        long_memory.predict(options)


@pytest.mark.slow
@pytest.mark.parametrize("cell", NAMES)
def test_every_cell_trains(cell, tmp_path):
    model = Model(cell=cell, units=4)
    config = smoke(tmp_path / "{cell}", epochs=1, steps_per_epoch=3)
    history = long_memory.train(dataclasses.replace(config, model=model)).history
    assert math.isfinite(history["val_loss"][0])
    again = keras.models.load_model(RunDirectory(tmp_path / cell).model)
    assert again.input.shape == (None, None, 2)


def test_an_lstm_learns_to_add(tmp_path):
    config = smoke(
        tmp_path, optimizer="adam", learning_rate=0.01, epochs=6, steps_per_epoch=50, clip_norm=1.0
    )
    model = Model(cell="lstm", units=16)
    data = dataclasses.replace(config.data, length=4, validation=200)
    history = long_memory.train(dataclasses.replace(config, model=model, data=data)).history
    assert history["val_loss"][-1] < 0.05 < 1 / 6


@pytest.mark.slow
@pytest.mark.parametrize("task", ["adding", "mnist"])
def test_killed_and_resumed_ends_with_the_same_weights(task, images, tmp_path):
    """SIGKILL in the middle of an epoch, twice; then bit for bit what an unbroken run gives."""
    weights = {}
    for name, kills in (("unbroken", 0), ("killed", 2)):
        run = RunDirectory(tmp_path / name).create()
        config = smoke(run.path, task, images, deterministic=True, epochs=3, checkpoint_steps=1)
        config = dataclasses.replace(config, model=Model(cell="dropout_lstm", units=4))
        save_config(config, tmp_path / "config.json")
        for attempt in range(kills + 1):
            process = subprocess.Popen(
                [sys.executable, "-c", TRAIN, tmp_path / "config.json", str(attempt)], cwd=ROOT
            )
            if attempt < kills:
                _wait_for_new(run.checkpoints / "last.npz", process)
                process.send_signal(signal.SIGKILL)
            assert process.wait() == (-signal.SIGKILL if attempt < kills else 0)
        with np.load(run.checkpoints / "last.npz") as file:
            weights[name] = {k: file[k] for k in file.files if k.split("/")[0] != "state"}
    assert weights["unbroken"].keys() == weights["killed"].keys()
    for name, value in weights["unbroken"].items():
        np.testing.assert_array_equal(value, weights["killed"][name], err_msg=name)


def _wait_for_new(path, process, seconds=120):
    """Waits until the process has replaced the file."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    end = time.monotonic() + seconds
    while not path.exists() or path.stat().st_mtime_ns == before:
        assert process.poll() is None, "training ended before it wrote a checkpoint"
        assert time.monotonic() < end, "no checkpoint in time"
        time.sleep(0.02)


def test_the_time_budget_ends_a_run_and_more_minutes_continue_it(tmp_path):
    config = smoke(tmp_path, epochs=4, minutes=1e-9)
    assert len(long_memory.train(config).history["loss"]) == 1
    longer = dataclasses.replace(
        config, resume=True, training=dataclasses.replace(config.training, minutes=5.0)
    )
    assert len(long_memory.train(longer).history["loss"]) == 4
    assert load_curve(RunDirectory(tmp_path))["step"] == [10, 20, 30, 40]


def test_resume_refuses_other_settings(tmp_path):
    config = smoke(tmp_path, epochs=1)
    long_memory.train(config)
    with pytest.raises(FileExistsError, match="--resume"):
        long_memory.train(config)
    with pytest.raises(ValueError, match=r"model.units: 8 -> 9"):
        long_memory.train(dataclasses.replace(config, resume=True, model=Model(units=9)))


@pytest.mark.slow
def test_init_from_starts_with_the_other_runs_weights(tmp_path):
    first = smoke(tmp_path / "first")
    trained = long_memory.train(first).history
    second = smoke(tmp_path / "second", epochs=1, learning_rate=1e-9)
    second = dataclasses.replace(second, init_from=first.run)
    history = long_memory.train(second).history
    assert history["val_loss"][0] == pytest.approx(min(trained["val_loss"]), rel=1e-4)


@pytest.mark.slow
def test_compare_trains_evaluates_and_draws(tmp_path):
    old = smoke(tmp_path / "old", epochs=1)
    long_memory.train(old)
    with pytest.raises(FileNotFoundError, match="evaluate --run"):
        compare(Compare(runs=(old.run,)))
    long_memory.evaluate(long_memory.Evaluate(run=old.run))
    output = tmp_path / "both"
    scored = compare(Compare(runs=(old.run,), cells=("irnn",), preset="smoke", output=str(output)))
    assert set(scored) == {"old", "irnn"}
    assert (output / "comparison.png").exists()
    table = (output / "comparison.md").read_text()
    rows = [[c.strip() for c in line.strip("|\n").split("|")] for line in table.splitlines()]
    assert rows[0][:4] == ["run", "cell", "units", "parameters"]
    losses = [float(row[-1]) for row in rows[2:-1]]
    assert losses == sorted(losses)  # the best first
    assert rows[-1][0] == "without memory"
    assert float(rows[-1][-1]) == pytest.approx(1 / 6, abs=1e-4)
    # What is trained can be compared by its folder.
    runs = (old.run, str(output / "irnn"))
    assert compare(Compare(runs=runs, output=str(tmp_path / "again"))) == scored


def test_runs_of_different_tasks_are_not_compared(tmp_path):
    for name, length in (("one", 10), ("other", 11)):
        config = smoke(tmp_path / name, "copy", epochs=1, steps_per_epoch=1)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, length=length))
        long_memory.train(config)
        long_memory.evaluate(long_memory.Evaluate(run=config.run))
    runs = tuple(str(tmp_path / name) for name in ("one", "other"))
    with pytest.raises(ValueError, match="one task and length"):
        compare(Compare(runs=runs, output=str(tmp_path)))


def test_mistakes_end_in_one_line(tmp_path):
    done = command("train", "--preset", "mnist", "--run", tmp_path / "run")
    assert done.returncode == 2
    assert "--data.path" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(FileNotFoundError, match="train --run"):
        long_memory.evaluate(long_memory.Evaluate(run=str(tmp_path / "nowhere")))
    with pytest.raises(ValueError, match="--cells"):
        compare(Compare(output=str(tmp_path)))


@pytest.mark.slow
@pytest.mark.realdata
def test_real_digits_are_read(data_dir, tmp_path):
    config = Config(
        run=str(tmp_path),
        task="mnist",
        data=Data(path=str(data_dir / "mnist" / "mnist.npz"), shrink=7, validation=500, test=100),
        model=Model(cell="gru", units=16),
        training=Training(
            epochs=1, steps_per_epoch=100, optimizer="adam", learning_rate=0.01, batch_size=50
        ),
    )
    history = long_memory.train(config).history
    assert history["val_accuracy"][0] > 0.25  # 16 grey squares; chance is 0.1
