"""The set-regression pipeline, run for real: its smoke preset, several seeds, own files."""

import dataclasses
import functools
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from pipelines import set_regression
from pipelines.run_directory import RunDirectory, load_config
from pipelines.set_regression_compare import Compare, compare
from pipelines.set_regression_config import PRESETS, Config, Data, Model
from pipelines.set_regression_data import Maximum, make_task, statistics
from pipelines.set_regression_predict import parse_set
from tests.pipelines.commands import run_pipeline

pytestmark = pytest.mark.tensorflow

SMOKE = PRESETS["smoke"]
STRANGER = """
import json, sys
sys.modules["keras"] = sys.modules["seqkeras"] = None
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
inputs = json.load(sys.stdin)
answer = serve(
    elements=tf.constant(inputs["elements"], tf.float32),
    length=tf.constant(inputs["length"], tf.int32),
)
print(json.dumps(answer["answers"].numpy().tolist()))
"""


def smoke(run, path="builtin", model=None, **training):
    return dataclasses.replace(
        SMOKE,
        run=str(run),
        data=dataclasses.replace(SMOKE.data, path=str(path)),
        model=model or SMOKE.model,
        training=dataclasses.replace(SMOKE.training, **training),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two seeds of the smoke preset as it is, trained, evaluated and exported."""
    folder = tmp_path_factory.mktemp("maximum")
    config = dataclasses.replace(SMOKE, run=str(folder / "run"), repeats=2)
    set_regression.train(config)
    set_regression.evaluate(set_regression.Evaluate(run=config.run))
    output = folder / "saved_models" / "maximum"
    path = set_regression.export(set_regression.Export(run=config.run, output=str(output)))
    return RunDirectory(config.run), path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Sets of pairs: the sum of their products, and how many there are."""
    rng, arrays = np.random.default_rng(2), {}
    for split, count in (("train", 100), ("test", 20)):
        x, length = rng.normal(size=(count, 4, 2)), rng.integers(1, 5, count)
        real = np.arange(4) < length[:, None]
        products = np.sum(np.where(real, x[:, :, 0] * x[:, :, 1], 0.0), axis=1)
        arrays[f"x_{split}"] = np.where(real[:, :, None], x, np.nan)
        arrays[f"y_{split}"] = np.stack([products, length], axis=1)
        arrays[f"length_{split}"] = length
    path = tmp_path_factory.mktemp("sets") / "products.npz"
    np.savez(path, **arrays)
    return path


command = functools.partial(run_pipeline, "set_regression")


def member(run, seed):
    return RunDirectory(run.path / f"seed-{seed}")


def test_the_maximum_is_that_of_the_real_elements():
    task = Maximum(Data(largest=6, highest=10.0, test=500))
    sets = task.sets("test")
    assert set(sets.length) == set(range(1, 7))
    for elements, length, target in zip(*sets, strict=True):
        assert not elements[length:].any()
        assert target[0, 0] == elements[:length].max()
    assert 0.0 <= sets.elements.min() <= sets.elements.max() <= 10.0
    found = statistics(task)
    assert found["mean"][0] == pytest.approx(5.0, abs=0.1)
    assert found["variance"][0] == pytest.approx(100 / 12, rel=0.03)


@pytest.mark.slow
def test_each_seed_leaves_a_whole_run(trained):
    run, _ = trained
    assert load_config(Config, run.config).repeats == 2
    for seed in (1, 2):
        single = member(run, seed)
        config = load_config(Config, single.config)
        assert (config.seed, config.repeats) == (seed, 1)
        assert (single.plots / "learning_curve.png").exists()
        assert {"last.npz", "best.npz"} <= {path.name for path in single.checkpoints.iterdir()}
        assert single.model.exists()


def test_evaluate_gives_mean_and_spread_of_the_best_epochs(trained):
    run, _ = trained
    scores = json.loads(run.metrics.read_text())
    test = Maximum(SMOKE.data).sets("test")
    errors = []
    for seed in (1, 2):
        curve = json.loads((member(run, seed).path / "curve.json").read_text())
        each = scores["seeds"][str(seed)]
        assert each["validation"]["mae"] == pytest.approx(min(curve["val_mae"]), rel=1e-4)
        model = keras.models.load_model(member(run, seed).model)
        answers = model({"elements": test.elements, "length": test.length})
        errors.append(np.mean(np.abs(keras.ops.convert_to_numpy(answers) - test.targets)))
        assert each["test"]["mae"] == pytest.approx(errors[-1], rel=1e-4)
    assert scores["test"]["mae"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert scores["spread"]["test"]["mae"] == pytest.approx(np.std(errors, ddof=1), rel=1e-3)
    assert 10.0 < scores["constant answer"]["mae"] < 25.0
    assert scores["parameters"] == model.count_params()


def test_a_stranger_gets_the_answers_of_the_seed_best_on_validation_sets(trained, tmp_path):
    run, path = trained
    scores = json.loads(run.metrics.read_text())["seeds"]
    best = min(scores, key=lambda seed: scores[seed]["validation"]["mae"])
    test = Maximum(SMOKE.data).sets("test")
    real = np.arange(test.elements.shape[1]) < test.length[:, None]
    inputs = {
        "elements": np.where(real[:, :, None], test.elements, 7e7).tolist(),  # garbage behind
        "length": test.length.tolist(),
    }
    moved = shutil.copytree(path, tmp_path / "elsewhere")
    process = subprocess.run(
        [sys.executable, "-c", STRANGER, str(moved)],
        input=json.dumps(inputs),
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
        check=True,
    )
    model = keras.models.load_model(member(run, best).model)
    expected = model({"elements": test.elements, "length": test.length})[:, 0]
    np.testing.assert_allclose(json.loads(process.stdout), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_predict_answers_lines(trained, tmp_path):
    _, path = trained
    (tmp_path / "sets.txt").write_text("3 14 7\n7 3 14\n50.5\n")
    from_file = command("predict", "--saved-model", path, "--files", tmp_path / "sets.txt")
    assert from_file.returncode == 0, from_file.stderr
    answers = [float(line) for line in from_file.stdout.splitlines()]
    assert len(answers) == 3
    assert answers[0] == pytest.approx(answers[1], rel=1e-4)  # in any order
    wrong = command("predict", "--saved-model", path.parent, stdin="1 2\n1 x\n")
    assert wrong.returncode == 2
    assert "standard input, line 2: expected a set such as '1.5 1.5'" in wrong.stderr
    for line in ("", "1,2 3", "1 nan"):
        with pytest.raises(ValueError, match="here: expected a set"):
            parse_set(line, 1, "here")


@pytest.mark.slow
def test_a_file_of_sets_and_two_targets(file, tmp_path):
    config = smoke(tmp_path / "run", file, Model(units=8, pooling="sum", encoder="rff"), epochs=4)
    set_regression.train(config)
    scores = set_regression.evaluate(set_regression.Evaluate(run=config.run))
    assert scores["test"]["mae"] < scores["constant answer"]["mae"]
    output = tmp_path / "saved_models" / "products"
    path = set_regression.export(set_regression.Export(run=config.run, output=str(output)))
    shown = command("predict", "--saved-model", path, stdin="1,2 3,4\n")
    assert len(shown.stdout.split("\t")) == 2, shown.stderr


def test_mistakes_in_the_file_are_told(file, tmp_path):
    with np.load(file) as arrays:
        good = dict(arrays)
    for changes, message in (
        ({"y_train": good["y_train"][:-1]}, "expected x_train as numbers"),
        ({"length_train": good["length_train"] + 4}, "expected length_train from 1 to 4"),
        ({"y_train": good["y_train"] * np.nan}, "y_train: expected finite numbers, got nan"),
        ({"x_validation": good["x_test"]}, "expected the arrays \\['y_validation'\\]"),
    ):
        path = tmp_path / "wrong.npz"
        np.savez(path, **(good | changes))
        with pytest.raises(ValueError, match=message):
            make_task(smoke(tmp_path, path))
    without_test = {name: value for name, value in good.items() if name != "x_test"}
    np.savez(path, **without_test)
    task = make_task(smoke(tmp_path, path))  # nothing but `evaluate` asks for the test sets
    assert len(task.sets("validation").length) == 20
    with pytest.raises(ValueError, match="x_test"):
        task.sets("test")
    with pytest.raises(ValueError, match='expected "builtin" or an .npz file'):
        make_task(smoke(tmp_path, "tfds:sets"))
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere.npz"):
        make_task(smoke(tmp_path, tmp_path / "nowhere.npz"))


@pytest.mark.slow
def test_interrupted_and_resumed_ends_with_the_same_weights(tmp_path, monkeypatch):
    weights = {}
    original = keras.callbacks.CallbackList.on_train_batch_end
    for name in ("unbroken", "broken"):
        config = smoke(tmp_path / name, epochs=3, checkpoint_steps=1)
        if name == "broken":
            seen = []

            def on_train_batch_end(self, batch, logs=None, seen=seen):
                original(self, batch, logs)
                seen.append(batch)
                if len(seen) == 14:
                    raise KeyboardInterrupt

            with monkeypatch.context() as patch:
                patch.setattr(
                    keras.callbacks.CallbackList, "on_train_batch_end", on_train_batch_end
                )
                with pytest.raises(KeyboardInterrupt):
                    set_regression.train(config)
            with pytest.raises(FileExistsError, match="--resume"):
                set_regression.train(config)
            config = dataclasses.replace(config, resume=True)
        set_regression.train(config)
        weights[name] = keras.models.load_model(RunDirectory(config.run).model).get_weights()
    for one, other in zip(weights["unbroken"], weights["broken"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_init_from_starts_with_the_other_runs_weights(tmp_path):
    first = smoke(tmp_path / "first")
    before = set_regression.train(first).history
    second = smoke(tmp_path / "second", epochs=1, learning_rate=1e-9)
    history = set_regression.train(dataclasses.replace(second, init_from=first.run)).history
    assert history["val_mae"][0] == pytest.approx(min(before["val_mae"]), rel=1e-4)


@pytest.mark.slow
def test_compare_trains_evaluates_and_draws(trained, tmp_path):
    run, _ = trained
    options = Compare(
        runs=(str(run.path),), models=("rff-max",), preset="smoke", output=str(tmp_path)
    )
    scored = compare(options)
    assert set(scored) == {"run", "rff-max"}
    assert (tmp_path / "comparison.png").exists()
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in (tmp_path / "comparison.md").read_text().splitlines()
    ]
    assert rows[0][:2] == ["run", "model"]
    errors = [float(row[-2].split(" ± ")[0]) for row in rows[2:-1]]
    assert errors == sorted(errors)  # the best first
    assert rows[-1][0] == "constant answer"
    with pytest.raises(ValueError, match="--models"):
        compare(Compare(output=str(tmp_path)))
    with pytest.raises(FileNotFoundError, match="evaluate --run"):
        compare(Compare(runs=(str(tmp_path / "nowhere"),)))


def test_the_command_line_tells_mistakes_in_one_line(tmp_path):
    done = command("train", "--preset", "smoke", "--repeats", "0", "--run", tmp_path / "run")
    assert done.returncode == 2
    assert "repeats: expected at least 1, got 0" in done.stderr
    assert "Traceback" not in done.stderr
