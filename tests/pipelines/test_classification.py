"""The classification pipeline, run for real: its smoke preset, CSV series, and labelled text."""

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from pipelines import classification
from pipelines.classification_config import PRESETS, Config, Data, Model, Training
from pipelines.classification_report import classify
from pipelines.labelled_sequences import held_out_rows, read_split, read_training
from pipelines.run_directory import RunDirectory, load_config
from seqkeras.serving.versions import load_functions
from tests.pipelines.commands import run_pipeline

pytestmark = pytest.mark.tensorflow

STRANGER = """
import json, sys
sys.modules["keras"] = sys.modules["seqkeras"] = None
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
inputs = json.load(sys.stdin)
dtypes = {"text": tf.string, "series": tf.float32, "length": tf.int32}
answer = serve(**{name: tf.constant(value, dtypes[name]) for name, value in inputs.items()})
labels = [label.decode() for label in answer["label"].numpy()]
print(json.dumps([labels, answer["probabilities"].numpy().tolist()]))
"""
WORDS = {"fruit": ["apple", "pear", "plum"], "beast": ["cat", "dog", "owl"]}
RNG = np.random.default_rng(6)


command = functools.partial(run_pipeline, "classification")


def ask_a_stranger(path, inputs, tmp_path):
    """What a fresh process with plain TensorFlow gets from an export that was moved."""
    moved = shutil.copytree(path, tmp_path / "elsewhere")
    process = subprocess.run(
        [sys.executable, "-c", STRANGER, str(moved)],
        input=json.dumps(inputs),
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def series_folder(tmp_path_factory):
    """CSV files: series that rise or fall, of two channels and any length."""
    folder = tmp_path_factory.mktemp("series")
    for split, count in (("train", 40), ("test", 12)):
        lines = ["series,label,value,noise"]
        for number in range(count):
            label, slope = (("up", 30.0), ("down", -30.0))[number % 2]
            for step in range(RNG.integers(4, 9)):
                noise = RNG.normal()
                lines.append(f"s{number},{label},{1000 + slope * step + noise:.3f},{noise:.3f}")
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for split, count in (("train", 60), ("validation", 10), ("test", 12)):
        lines = []
        for number in range(count):
            label = ("fruit", "beast")[number % 2]
            words = RNG.choice([*WORDS[label], "a", "the"], RNG.integers(2, 6))
            lines.append(f"{label}\t{' '.join([*words, WORDS[label][0]])}")
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def small_config(folder, run, validation=None, **training):
    training = {"epochs": 8, "learning_rate": 0.02, "checkpoint_steps": 2, **training}
    return Config(
        run=str(run),
        data=Data(path=str(folder), validation=validation, steps_per_batch=80),
        model=Model(cell="gru", units=8, embedding_dim=8, dropout=0.0),
        training=Training(**training),
    )


@pytest.fixture(scope="module")
def trained(series_folder, tmp_path_factory):
    run = RunDirectory(tmp_path_factory.mktemp("runs") / "series")
    classification.train(small_config(series_folder, run.path))
    classification.evaluate(classification.Evaluate(run=str(run.path)))
    return run


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("saved_models") / "series"
    return classification.export(classification.Export(run=str(trained.path), output=str(output)))


def test_smoke_preset_learns(tmp_path):
    config = dataclasses.replace(PRESETS["smoke"], run=str(tmp_path / "smoke"))
    history = classification.train(config).history
    assert history["val_loss"][-1] < 0.95 * np.log(6)  # uniform guessing has log 6


def test_a_run_holds_everything(trained):
    assert load_config(Config, trained.config).run == str(trained.path)
    assert json.loads(trained.labels.read_text()) == ["down", "up"]
    for path in (trained.model, trained.logs, trained.plots / "learning_curve.png"):
        assert path.exists()
    assert not trained.source_tokenizer.exists()
    assert (trained.plots / "confusion.test.png").exists()


def test_evaluate_measures_what_the_files_say(trained):
    scores = json.loads(trained.metrics.read_text("utf-8"))["test"]
    cells = [row.split("\t") for row in (trained.samples / "test.tsv").read_text().splitlines()[1:]]
    right = sum(label == answer for _, _, label, answer, _ in cells)
    assert len(cells) == scores["examples"] == np.sum(scores["confusion"]) == 12
    assert scores["accuracy"] == pytest.approx(right / 12)
    assert scores["accuracy"] > 0.9  # raw values near 1000: the statistics are in the model
    assert [row["label"] for row in scores["per_class"]] == ["down", "up"]
    assert cells[0][4] == "s0"


def test_cross_entropy_is_that_of_training(trained):
    config, classifier = classification.load_classifier(trained.path)
    datasets = classification.make_datasets(dataclasses.replace(config, resume=True))
    classification.compile_model(config, classifier.model, 1)
    logs = classifier.model.evaluate(datasets.validation, return_dict=True, verbose=0)
    _, validation = read_training(config.data, config.seed)
    answers = classify(
        classifier.signatures()["serving_default"], validation.sequences, batch_size=3
    )
    ids = [classifier.labels.index(label) for label in validation.labels]
    nats = [-np.log(a["probabilities"][i]) for a, i in zip(answers, ids, strict=True)]
    assert np.mean(nats) == pytest.approx(logs["loss"], rel=1e-3)


def test_a_stranger_gets_the_same_answers_for_series(trained, exported, tmp_path):
    config, classifier = classification.load_classifier(trained.path)
    split = read_split(config.data, "test", config.seed)
    ours = classify(classifier.signatures()["serving_default"], split.sequences, batch_size=64)
    longest = max(map(len, split.sequences))
    garbage = [[7e7, -7e7]]  # behind the end of a series
    inputs = {
        "series": [[*s.tolist(), *garbage * (longest - len(s))] for s in split.sequences],
        "length": [len(s) for s in split.sequences],
    }
    labels, probabilities = ask_a_stranger(exported, inputs, tmp_path)
    assert labels == [answer["label"] for answer in ours]
    wanted = [answer["probabilities"] for answer in ours]
    np.testing.assert_allclose(probabilities, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_predict_reads_csv_from_files_and_standard_input(
    series_folder, trained, exported, tmp_path
):
    rows = [line.split(",") for line in (series_folder / "test.csv").read_text().splitlines()]
    unlabelled = "".join(",".join([row[0], *row[2:]]) + "\n" for row in rows)
    from_file = command("predict", "--saved-model", exported, "--files", series_folder / "test.csv")
    from_stdin = command("predict", "--saved-model", exported.parent, stdin=unlabelled)
    assert from_file.returncode == 0, from_file.stderr
    assert from_stdin.stdout == from_file.stdout
    samples = (trained.samples / "test.tsv").read_text().splitlines()[1:]
    wanted = [f"{cells[4]}\t{cells[3]}" for cells in (row.split("\t") for row in samples)]
    assert from_file.stdout.splitlines() == wanted
    (tmp_path / "wide.csv").write_text("series,a,b,c\nx,1,2,3\n")
    wide = command("predict", "--saved-model", exported, "--files", tmp_path / "wide.csv")
    assert wide.returncode == 2
    assert "expected 2 channels" in wide.stderr
    assert "got 3: a,b,c" in wide.stderr


@pytest.mark.slow
def test_text_from_tsv_to_a_stranger(text_folder, tmp_path):
    run = RunDirectory(tmp_path / "text")
    classification.train(small_config(text_folder, run.path, validation="validation"))
    results = classification.evaluate(classification.Evaluate(run=str(run.path)))
    assert set(results) == {"validation", "test"}
    assert results["test"]["accuracy"] > 0.9
    path = classification.export(
        classification.Export(run=str(run.path), output=str(tmp_path / "saved_models" / "text"))
    )
    texts = ["the Apple", "dog a", "", "unseen \u2603"]
    ours = classify(load_functions(path)["serving_default"], texts, batch_size=1)
    labels, probabilities = ask_a_stranger(path, {"text": texts}, tmp_path)
    assert labels == [answer["label"] for answer in ours]
    assert labels[:2] == ["fruit", "beast"]
    wanted = [answer["probabilities"] for answer in ours]
    np.testing.assert_allclose(probabilities, wanted, rtol=1e-4)
    shown = command("predict", "--saved-model", path, "--probabilities", stdin="the Apple\n\n")
    assert shown.stdout.splitlines()[0].startswith("fruit\tbeast 0.")
    assert len(shown.stdout.splitlines()) == 2  # an empty line is an empty text
    card = (path / "README.md").read_text("utf-8")
    assert "| test: accuracy |" in card
    assert "Classifies texts (texts" in card


@pytest.mark.slow
def test_interrupted_and_resumed_ends_with_the_same_weights(series_folder, tmp_path, monkeypatch):
    weights = {}
    for name in ("unbroken", "broken"):
        run = RunDirectory(tmp_path / name)
        config = small_config(series_folder, run.path, epochs=3, checkpoint_steps=1)
        if name == "broken":
            with monkeypatch.context() as patch:
                patch.setattr(keras.callbacks.CallbackList, "on_train_batch_end", _interrupt_at(4))
                with pytest.raises(KeyboardInterrupt):
                    classification.train(config)
            config = dataclasses.replace(config, resume=True)
        classification.train(config)
        weights[name] = keras.models.load_model(run.model).get_weights()
    for one, other in zip(weights["unbroken"], weights["broken"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def _interrupt_at(count):
    seen = []
    original = keras.callbacks.CallbackList.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        original(self, batch, logs)
        seen.append(batch)
        if len(seen) == count:
            raise KeyboardInterrupt

    return on_train_batch_end


def test_a_run_is_not_mixed_with_another(trained):
    config = load_config(Config, trained.config)
    with pytest.raises(FileExistsError, match="--resume"):
        classification.train(config)
    with pytest.raises(ValueError, match=r"seed: 1 -> 2"):
        classification.train(dataclasses.replace(config, resume=True, seed=2))


@pytest.mark.slow
def test_init_from_starts_with_the_other_runs_weights(trained, series_folder, tmp_path):
    config = small_config(series_folder, tmp_path / "second", epochs=1, learning_rate=1e-6)
    config = dataclasses.replace(config, init_from=str(trained.path))
    history = classification.train(config).history
    assert history["val_accuracy"][0] > 0.9


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.csv").write_text("series,label,x\n" + text)
    return folder


GOOD = "".join(f"{label}{i},{label},{i}\n" for label in "ab" for i in range(3))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train": GOOD + "a9,a\n"}, "train.csv, line 8: expected 3 columns"),
        ({"train": GOOD + "a9,a,nan\n"}, "train.csv, line 8: expected a finite number"),
        ({"train": ""}, "train.csv: expected at least one line"),
        ({"train": GOOD + "c,c,1\n"}, "class 'c' has one training example"),
        ({}, "expected a folder with train.csv"),
    ],
)
def test_mistakes_in_the_data_name_the_line(tmp_path, files, message):
    folder = write(tmp_path, **files)
    config = small_config(folder, tmp_path / "run")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        classification.train(config)


def test_labels_and_channels_of_a_test_must_be_those_of_training(trained, tmp_path):
    config = load_config(Config, trained.config)
    for name, text, message in (
        ("label", "series,label,x,y\ns,sideways,1,2\n", "'sideways' of example 1 does not occur"),
        ("channels", "series,label,x\ns,up,1\n", "expected 2 channels, as in training, got 1"),
    ):
        run = RunDirectory(shutil.copytree(trained.path, tmp_path / name))
        data = tmp_path / f"{name}_data"
        data.mkdir()
        (data / "test.csv").write_text(text)
        changed = dataclasses.replace(config.data, path=str(data))
        text = json.dumps(dataclasses.asdict(dataclasses.replace(config, data=changed)))
        run.config.write_text(text)
        with pytest.raises(ValueError, match=message):
            classification.evaluate(classification.Evaluate(run=str(run.path)))


def test_the_command_line_tells_mistakes_in_one_line(tmp_path):
    missing = command("train", "--data.path", tmp_path / "nowhere", "--run", tmp_path / "run")
    assert missing.returncode == 2
    assert "expected a folder with train.csv" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_what_is_held_out_is_a_share_of_every_class():
    labels = ["a"] * 10 + ["b"] * 5 + ["c"] * 2
    held = held_out_rows(labels, 0.2, seed=1)
    assert held == sorted(set(held))
    assert [labels[row] for row in held] == ["a", "a", "b", "c"]
    assert held == held_out_rows(labels, 0.2, seed=1)
    assert held != held_out_rows(labels, 0.2, seed=2)
    with pytest.raises(ValueError, match=r"in \(0, 1\), got 1.0"):
        held_out_rows(labels, 1.0, seed=1)


@pytest.mark.slow
@pytest.mark.realdata
def test_basic_motions_is_read_by_its_preset(data_dir, tmp_path):
    preset = PRESETS["basic_motions"]
    path = data_dir / "ucr_uea" / preset.data.path
    config = dataclasses.replace(
        preset,
        run=str(tmp_path / "run"),
        data=dataclasses.replace(preset.data, path=str(path)),
        training=dataclasses.replace(preset.training, epochs=8, warmup_steps=2),
    )
    classification.train(config)
    scores = classification.evaluate(classification.Evaluate(run=config.run))["test"]
    assert scores["accuracy"] > 0.5  # four classes
