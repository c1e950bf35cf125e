"""The translation pipeline, run for real: its smoke preset, and a small folder of files."""

import dataclasses
import functools
import json
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from pipelines import translation, translation_config
from pipelines.load_translator import load_translator
from pipelines.run_directory import RunDirectory, load_config, save_config
from seqkeras.decoding.corpus import run_corpus
from seqkeras.serving.versions import load_signatures
from tests.pipelines.commands import ROOT, run_pipeline

pytestmark = pytest.mark.tensorflow

TRAIN = """
import dataclasses, sys
from pipelines import translation
from pipelines.run_directory import load_config
from pipelines.translation_config import Config
config = load_config(Config, sys.argv[1])
translation.train(dataclasses.replace(config, resume=sys.argv[2] != "0"))
"""
WORDS = ["ein", "zwei", "drei", "vier", "acht", "neun", "zehn", "elf"]


@pytest.fixture(autouse=True)
def _same_precision_afterwards():
    yield
    keras.mixed_precision.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Parallel files: the target is the source in capitals, backwards."""
    folder = tmp_path_factory.mktemp("parallel")
    rng = np.random.default_rng(0)
    for split, count in (("train", 300), ("val", 20), ("test", 20)):
        lines = [" ".join(rng.choice(WORDS, rng.integers(1, 7))) for _ in range(count)]
        (folder / f"{split}.aa").write_text("\n".join(lines) + "\n")
        reverse = [" ".join(line.upper().split()[::-1]) for line in lines]
        (folder / f"{split}.bb").write_text("\n".join(reverse) + "\n")
    return folder


def small_config(folder, run, **training):
    training = {"epochs": 2, "checkpoint_steps": 2, "log_steps": 5, "average": 2, **training}
    return translation_config.Config(
        run=str(run),
        data=translation_config.Data(
            path=str(folder),
            source="aa",
            target="bb",
            validation="val",
            tests=("test",),
            tokenizer="words",
            tokens_per_batch=200,
        ),
        model=translation_config.Model(embedding_dim=8, units=8),
        training=translation_config.Training(**training),
    )


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "small"
    translation.train(small_config(folder, run))
    return RunDirectory(run)


@pytest.fixture(scope="module")
def evaluated(trained):
    translation.evaluate(translation.Evaluate(run=str(trained.path)))
    return json.loads(trained.metrics.read_text("utf-8"))


@pytest.fixture(scope="module")
def exported(trained, evaluated, tmp_path_factory):
    assert evaluated  # the card has its numbers
    output = tmp_path_factory.mktemp("saved_models") / "small"
    return translation.export(translation.Export(run=str(trained.path), output=str(output)))


command = functools.partial(run_pipeline, "translation")


def test_a_run_holds_everything(trained):
    config = load_config(translation_config.Config, trained.config)
    assert config.run == str(trained.path)
    for path in (trained.model, trained.source_tokenizer, trained.target_tokenizer, trained.logs):
        assert path.exists()
    assert (trained.plots / "learning_curve.png").exists()
    assert {"last.npz", "best.npz"} < {path.name for path in trained.checkpoints.iterdir()}


def test_evaluate_measures_what_the_files_say(trained, evaluated):
    assert set(evaluated) == {"val", "test"}
    rows = (trained.samples / "test.tsv").read_text("utf-8").splitlines()[1:]
    cells = [row.split("\t") for row in rows]
    right = sum(reference == hypothesis for _, _, _, reference, hypothesis in cells)
    assert evaluated["test"]["exact_match"] == pytest.approx(100 * right / 20)
    assert all((mark == "yes") == (r == h) for mark, _, _, r, h in cells)
    assert sum(row["sentences"] for row in evaluated["test"]["by_length"]) == 20


def test_perplexity_is_that_of_the_metric_in_training(trained, evaluated):
    """Two ways to one number: `score` in strings, and the compiled metric on token batches."""
    config = load_config(translation_config.Config, trained.config)
    datasets = translation.make_datasets(dataclasses.replace(config, resume=True))
    model = keras.models.load_model(trained.model)
    translation.compile_model(config, model, 1)
    logs = model.evaluate(datasets.validation, return_dict=True, verbose=0)
    assert evaluated["val"]["perplexity"] == pytest.approx(logs["perplexity"], rel=1e-4)


def test_the_export_answers_as_the_run_does(trained, exported, folder):
    sources = (folder / "test.aa").read_text().splitlines()
    ours = [row["text"] for row in run_corpus(load_signatures(exported)["translate"], sources)]
    samples = (trained.samples / "test.tsv").read_text("utf-8").splitlines()[1:]
    assert ours == [row.split("\t")[4] for row in samples]


def test_predict_reads_files_and_standard_input(exported, folder, tmp_path):
    from_file = command("predict", "--saved-model", exported, "--files", folder / "test.aa")
    assert from_file.returncode == 0, from_file.stderr
    from_stdin = command(
        "predict", "--saved-model", exported.parent, stdin=(folder / "test.aa").read_text()
    )
    assert from_file.stdout == from_stdin.stdout
    assert len(from_file.stdout.splitlines()) == 20
    alignments = tmp_path / "alignments"
    n_best = command(
        "predict", "--saved-model", exported, "--n-best", "--scores", "--alignments", alignments,
        stdin="zwei\n",
    )  # fmt: skip
    scores = [float(line.split("\t")[0]) for line in n_best.stdout.splitlines() if line]
    assert len(scores) > 1
    assert scores == sorted(scores, reverse=True)
    assert (alignments / "00001.png").exists()
    assert re.fullmatch(r"(\d+-\d+ ?)+\n", (alignments / "alignments.txt").read_text())


@pytest.mark.slow
def test_killed_and_resumed_ends_with_the_same_weights(folder, tmp_path):
    """SIGKILL in the middle of an epoch, twice; then bit for bit what an unbroken run gives."""
    weights = {}
    for name, kills in (("unbroken", 0), ("killed", 2)):
        run = RunDirectory(tmp_path / name).create()
        config = small_config(folder, run.path, deterministic=True, epochs=3, checkpoint_steps=1)
        save_config(config, tmp_path / "config.json")
        for attempt in range(kills + 1):
            process = subprocess.Popen(
                [sys.executable, "-c", TRAIN, tmp_path / "config.json", str(attempt)], cwd=ROOT
            )
            if attempt < kills:
                _wait_for_new(run.checkpoints / "last.npz", process)
                process.send_signal(signal.SIGKILL)
            assert process.wait() == (-signal.SIGKILL if attempt < kills else 0)
        weights[name] = keras.models.load_model(run.model).get_weights()
    for one, other in zip(weights["unbroken"], weights["killed"], strict=True):
        np.testing.assert_array_equal(one, other)


def _wait_for_new(path, process, seconds=120):
    """Waits until the process has replaced the file."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    end = time.monotonic() + seconds
    while not path.exists() or path.stat().st_mtime_ns == before:
        assert process.poll() is None, "training ended before it wrote a checkpoint"
        assert time.monotonic() < end, "no checkpoint in time"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("training", "model"),
    [
        ({"mixed_precision": True}, {}),
        ({"accumulate_steps": 3, "label_smoothing": 0.1}, {"cell": "lstm", "first_token": "state"}),
        ({"scheduled_sampling": 5.0}, {"query": "current", "attention": "general"}),
    ],
    ids=["mixed precision", "accumulation", "scheduled sampling"],
)
def test_options_train(folder, tmp_path, training, model):
    config = small_config(folder, tmp_path / "run", epochs=2, average=1, **training)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, **model))
    history = translation.train(config).history
    assert history["val_perplexity"][-1] < history["val_perplexity"][0]


def test_without_attention_all_but_alignments(folder, tmp_path):
    config = small_config(folder, tmp_path / "plain", epochs=1, average=1)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, family="seq2seq"))
    translation.train(config)
    run = RunDirectory(config.run)
    results = translation.evaluate(translation.Evaluate(run=config.run, splits=("test",)))
    assert results["test"]["sentences"] == 20
    assert not list(run.plots.glob("attention*"))
    path = translation.export(
        translation.Export(run=config.run, output=str(tmp_path / "saved_models" / "plain"))
    )
    assert set(load_signatures(path)) == {"translate", "n_best", "score"}
    refused = command(
        "predict", "--saved-model", path, "--alignments", tmp_path / "maps", stdin="zwei\n"
    )
    assert refused.returncode == 2
    assert "without attention" in refused.stderr


def test_an_ensemble_of_checkpoints(trained):
    """Of three times the same weights it is the model itself."""
    best = trained.checkpoints / "best.npz"
    _, single = load_translator(trained.path)
    _, triple = load_translator(trained.path, (str(trained.path), str(trained.model)))
    _, mixed = load_translator(trained.path, (str(best),))
    score = [t.score(["zwei drei"], ["DREI ZWEI"])["log_probability"] for t in (single, triple)]
    np.testing.assert_allclose(score[0], score[1], rtol=1e-5)
    assert len(mixed.parts) == 2


def test_the_search_can_be_changed_afterwards(trained):
    config, translator = load_translator(
        trained.path, search=translation_config.Search(beam_size=2, length_penalty=0.5)
    )
    assert config.decoding == translator.settings
    assert (translator.settings.beam_size, translator.settings.n_best) == (2, 2)
    assert translator.settings.length_penalty == 0.5
    assert (
        translator.settings.length_factor
        == load_config(translation_config.Config, trained.config).decoding.length_factor
    )


def test_smoke_preset_learns(tmp_path):
    config = dataclasses.replace(translation_config.PRESETS["smoke"], run=str(tmp_path / "smoke"))
    history = translation.train(config).history
    assert history["val_perplexity"][-1] < 10.0  # 15 characters; uniform guessing has 15


def test_a_folder_with_a_run_is_not_overwritten(trained):
    config = load_config(translation_config.Config, trained.config)
    with pytest.raises(FileExistsError, match="--resume"):
        translation.train(config)


def test_resume_refuses_other_settings(trained):
    config = load_config(translation_config.Config, trained.config)
    other = dataclasses.replace(config, resume=True, seed=2)
    with pytest.raises(ValueError, match=r"seed: 1 -> 2"):
        translation.train(other)


def test_init_from_starts_with_the_other_runs_weights(trained, evaluated, folder, tmp_path):
    config = small_config(folder, tmp_path / "second", epochs=1)
    config = dataclasses.replace(config, init_from=str(trained.path))
    history = translation.train(config).history
    assert history["val_perplexity"][0] < 1.05 * evaluated["val"]["perplexity"]


def test_mistakes_end_in_one_line(tmp_path):
    (tmp_path / "train.aa").write_text("eins\nzwei\n")
    (tmp_path / "train.bb").write_text("EINS\n")
    options = ("--data.path", tmp_path, "--data.source", "aa", "--data.target", "bb")
    misaligned = command("train", *options, "--run", tmp_path / "run")
    assert misaligned.returncode == 2
    assert "train.aa" in misaligned.stderr
    assert "train.bb" in misaligned.stderr
    assert "Traceback" not in misaligned.stderr
    unknown = command("train", "--preset", "nothing")
    assert unknown.returncode == 2
    assert "multi30k-lstm" in unknown.stderr
    misspelt = command("trian")
    assert misspelt.returncode == 2
    assert "out of train, evaluate, export, predict, got trian" in misspelt.stderr
    missing = command("evaluate", "--run", tmp_path / "nowhere")
    assert missing.returncode == 2
    assert "train --run" in missing.stderr
