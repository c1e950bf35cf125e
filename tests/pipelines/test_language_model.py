"""The language-model pipeline, run for real: its smoke preset, text files, and TFDS' reader."""

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

from pipelines import language_model
from pipelines.corpora import Corpus, encode_corpus
from pipelines.language_model_config import PRESETS, Characters, Config, Data, Model, Training
from pipelines.language_model_count import Count
from pipelines.language_model_mixture import Mix, hidden_states
from pipelines.language_model_report import score_stream
from pipelines.log_lines import make_log
from pipelines.run_directory import RunDirectory, load_config
from seqkeras.constants import END
from seqkeras.counts import count_ngrams
from seqkeras.models import with_targets
from seqkeras.models.billion_words import ROWS
from seqkeras.models.language_model import carry_states
from seqkeras.serving.versions import load_functions
from tests.pipelines.commands import run_pipeline

pytestmark = pytest.mark.tensorflow

command = functools.partial(run_pipeline, "language_model")

STRANGER = """
import json, sys
sys.modules["keras"] = sys.modules["seqkeras"] = None
import tensorflow as tf
score = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
answer = score(text=tf.constant(json.load(sys.stdin)))
print(json.dumps(answer["log_probability"].numpy().tolist()))
"""
RNG = np.random.default_rng(7)
WORDS = [f"w{i}" for i in range(500)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sentences of a small grammar, prepared as the Penn Treebank's files are."""
    folder = tmp_path_factory.mktemp("text")
    for split, count in (("train", 300), ("valid", 40), ("test", 40)):
        lines = []
        for _ in range(count):
            animal, verb = RNG.choice(["cat", "dog", "<unk>"]), RNG.choice(["sees", "likes"])
            lines.append(f" the {animal} {verb} the {animal} ")
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def small_config(folder, run, **training):
    return Config(
        run=str(run),
        data=Data(
            path=str(folder),
            validation="valid",
            tokenizer="whitespace",
            segment_length=9,
            streams=4,
        ),
        model=Model(cell="gru", units=8, embedding_dim=8, dropout=0.0),
        training=Training(
            **{"epochs": 4, "learning_rate": 0.02, "checkpoint_steps": 7, "hold_epochs": 2}
            | training
        ),
    )


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    run = RunDirectory(tmp_path_factory.mktemp("runs") / "sentences")
    language_model.train(small_config(folder, run.path))
    return run


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("saved_models") / "sentences"
    return language_model.export(language_model.Export(str(trained.path), str(output)))


def test_smoke_preset_learns(tmp_path):
    config = dataclasses.replace(PRESETS["smoke"], run=str(tmp_path / "smoke"))
    history = language_model.train(config).history
    assert history["val_perplexity"][-1] < 6  # of 60 tokens
    results = language_model.evaluate(language_model.Evaluate(config.run, ("test",)))
    assert results["test"]["perplexity"] == pytest.approx(history["val_perplexity"][-1], rel=0.2)


@pytest.mark.parametrize(
    "model",
    [
        Model(head="importance", samples=20, tied_output=True),
        Model(head="huffman"),
        Model(inputs="characters", head="characters", characters=Characters(dim=4, filters=3)),
        Model(head="character_lstm", characters=Characters(dim=4)),
        Model(ngrams=3),
    ],
    ids=["sampled", "huffman", "characters", "spelled out", "n-grams"],
)
def test_other_inputs_and_outputs_learn_and_load(model, folder, tmp_path):
    model = dataclasses.replace(model, cell="gru", units=8, embedding_dim=8, dropout=0.0)
    config = small_config(folder, tmp_path / "run", learning_rate=0.05)
    config = dataclasses.replace(config, model=model)
    history = language_model.train(config).history
    results = language_model.evaluate(language_model.Evaluate(config.run, ("valid",)))
    assert results["valid"]["perplexity"] < 3  # of 9 tokens
    _, model, tokenizer = language_model.load_run(config.run)
    ids = encode_corpus(Corpus(config.data, "valid", 1), tokenizer)
    streams = language_model.segments(np.concatenate([[END], ids]), 9, 4).evaluation_dataset()
    scoring = with_targets(carry_states(model, streams=4))
    losses = np.concatenate([scoring(list(inputs)) for inputs, _ in streams], axis=1)
    assert np.exp(losses.mean()) == pytest.approx(min(history["val_perplexity"]), rel=1e-3)


def test_a_run_holds_everything(trained):
    assert load_config(Config, trained.config).data.tokenizer == "whitespace"
    for path in (
        trained.model,
        trained.logs,
        trained.source_tokenizer,
        trained.plots / "learning_curve.png",
    ):
        assert path.exists()


def test_perplexity_is_that_of_one_stream(trained, folder):
    """Word by word, one forward pass over all that came before each."""
    results = language_model.evaluate(language_model.Evaluate(str(trained.path), ("valid",)))
    _, model, tokenizer = language_model.load_run(trained.path)
    ids = encode_corpus((folder / "valid.txt").read_text().splitlines(), tokenizer)
    logits = np.asarray(model(np.concatenate([[END], ids[:-1]])[None]))[0].astype("float64")
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = np.exp(-log_probs[np.arange(len(ids)), ids].mean())
    assert results["valid"]["perplexity"] == pytest.approx(wanted, rel=1e-4)
    assert results["valid"]["tokens"] == len(ids) == 40 * 6
    assert wanted > 6 ** (1 / 6)  # a sentence of six tokens is one of six


def test_scoring_twice_gives_the_same(trained):
    _, model, tokenizer = language_model.load_run(trained.path)
    carrying = carry_states(model, streams=1)
    ids = RNG.integers(4, tokenizer.vocabulary_size, 450).astype("int32")
    first, second = (score_stream(carrying, ids) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(score_stream(carrying, ids[:1]), first[:1], rtol=1e-5)


def test_hidden_states_are_those_that_the_output_is_made_of(trained):
    _, model, tokenizer = language_model.load_run(trained.path)
    ids = RNG.integers(4, tokenizer.vocabulary_size, 250).astype("int32")
    logits = np.asarray(model.layers[-1](hidden_states(model)(ids))).astype("float64")
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = score_stream(carry_states(model, streams=1), ids)
    np.testing.assert_allclose(log_probs[np.arange(250), ids], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("by_frequency", [False, True])
def test_a_mixture_is_as_good_as_its_best_member_on_validation(trained, by_frequency):
    options = Mix((str(trained.path),), ngrams=(2,), discount=0.5, caches=(50,))
    options = dataclasses.replace(options, continuous_caches=(30,))
    options = dataclasses.replace(options, maximum_entropy=(2,), sparse_nonnegative=(3,))
    options = dataclasses.replace(options, by_frequency=by_frequency)
    for scores in language_model.mixture(options)["perplexity"].values():
        assert len(scores) == 7
    scores = json.loads((trained.path / "mixture.json").read_text())["perplexity"]["valid"]
    best = min(scores[str(trained.path)], scores["Kneser-Ney 2-gram"])
    assert scores["mixture"] <= 1.0001 * best  # the weights converge slowly at a corner
    assert scores["cache of 50 tokens"] == np.inf  # it has no new word
    results = language_model.evaluate(language_model.Evaluate(str(trained.path), ("valid",)))
    wanted = results["valid"]["perplexity"]
    assert scores[str(trained.path)] == pytest.approx(wanted, rel=1e-4)


def test_a_mixture_wants_one_vocabulary(trained, tmp_path):
    other = Config(run=str(tmp_path / "other"), data=Data(vocabulary_size=30))
    RunDirectory(other.run).create()
    language_model.make_datasets(other)
    with pytest.raises(ValueError, match="expected models of one vocabulary, that of .*other is"):
        language_model.mixture(Mix(runs=(str(trained.path), other.run)))


def test_the_rate_falls_after_the_epochs_it_is_held(folder, tmp_path):
    config = small_config(folder, tmp_path, optimizer="sgd", epochs=5, hold_epochs=2)
    model = language_model.build_model(config, WORDS[:9])
    language_model.compile_model(config, model, steps_per_epoch=10)
    rate = model.optimizer.inner_optimizer._learning_rate
    rates = [float(rate(step)) for step in (0, 19, 20, 29, 30, 49)]
    np.testing.assert_allclose(np.array(rates) / rates[0], [1, 1, 0.5, 0.5, 0.25, 0.125])


def test_uniform_weights_are_uniform(folder, tmp_path):
    config = small_config(folder, tmp_path, uniform_weights=0.1)
    model = language_model.build_model(config, WORDS)
    language_model.start_weights(config, model)
    for weight in model.get_weights():
        assert np.abs(weight).max() <= 0.1
        assert len(np.unique(weight)) > 1
    assert np.abs(np.concatenate([w.ravel() for w in model.get_weights()])).max() > 0.099


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (Model(head="nce"), -np.log(500)),
        (Model(head="negative", samples=20), -np.log(20)),
        (Model(ngrams=2), 0.0),
    ],
)
def test_what_starts_from_a_value_of_its_own_keeps_it(model, value, folder, tmp_path):
    config = dataclasses.replace(small_config(folder, tmp_path, uniform_weights=0.1), model=model)
    ngrams = count_ngrams([np.arange(3, 400)], 2, 500) if model.ngrams else None
    model = language_model.build_model(config, WORDS, ngrams=ngrams)
    language_model.start_weights(config, model)
    (kept,) = model.layers[-1].own_start
    np.testing.assert_allclose(kept, np.full(kept.shape, value), rtol=1e-6)


def test_resumed_ends_where_an_uninterrupted_run_does(trained, folder, tmp_path):
    """The learning rates of the first epochs do not depend on how many there are."""
    first = small_config(folder, tmp_path / "cut", epochs=2)
    language_model.train(first)
    with pytest.raises(FileExistsError, match="holds a run. Go on with it by --resume"):
        language_model.train(first)
    language_model.train(dataclasses.replace(small_config(folder, first.run), resume=True))
    models = [language_model.load_run(run)[1] for run in (trained.path, first.run)]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_segments_can_stand_for_themselves(folder, tmp_path):
    """Then a batch's losses are those of a model that begins with zero states at each segment."""
    config = small_config(folder, tmp_path / "run", epochs=1, learning_rate=1e-9)
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, carried_states=False)
    )
    history = language_model.train(config).history
    _, model, tokenizer = language_model.load_run(config.run)
    ids = encode_corpus((folder / "valid.txt").read_text().splitlines(), tokenizer)
    streams = language_model.segments(np.concatenate([[END], ids]), 9, 4).evaluation_dataset()
    losses = [
        keras.ops.convert_to_numpy(model.layers[-1](hidden_of(model)(x), targets=y))
        for (x, _), y in streams
    ]
    wanted = np.exp(np.mean(np.concatenate([loss.ravel() for loss in losses])))
    assert history["val_perplexity"][0] == pytest.approx(wanted, rel=1e-4)


def hidden_of(model):
    return keras.Model(model.input, model.layers[-2].output)


def test_init_from_another_run_and_both_mixed(trained, folder, tmp_path):
    config = small_config(folder, tmp_path / "second", epochs=1, learning_rate=1e-6)
    config = dataclasses.replace(config, init_from=str(trained.path))
    history = language_model.train(config).history
    metrics = language_model.evaluate(language_model.Evaluate(str(trained.path), ("valid",)))
    wanted = metrics["valid"]["perplexity"]
    assert history["val_perplexity"][0] == pytest.approx(wanted, rel=0.05)
    runs = (str(trained.path), config.run)
    scores = language_model.mixture(Mix(runs, ngrams=()))["perplexity"]["valid"]
    assert set(scores) == {*runs, "mixture"}
    assert scores["mixture"] <= 1.0001 * min(scores[run] for run in runs)


def test_export_answers_a_stranger(exported, folder, tmp_path):
    lines = [*(folder / "test.txt").read_text().splitlines()[:3], ""]
    moved = shutil.copytree(exported, tmp_path / "elsewhere")
    process = subprocess.run(
        [sys.executable, "-c", STRANGER, str(moved)],
        input=json.dumps(lines),
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert process.returncode == 0, process.stderr
    score = load_functions(exported)["serving_default"]
    wanted = score(text=np.array(lines, dtype=object))["log_probability"].numpy()
    np.testing.assert_allclose(json.loads(process.stdout), wanted, rtol=1e-5)


def test_predict_prints_perplexities(exported, folder):
    done = command("predict", "--saved-model", exported, "--files", folder / "test.txt")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[1] for row in rows] == (folder / "test.txt").read_text().splitlines()
    done = command("predict", "--saved-model", exported, "--tokens", stdin="the bird\n")
    assert " </s>:-" in done.stdout
    assert "<unk>:-" in done.stdout


def test_predict_goes_on_with_lines(exported):
    asked = ("predict", "--saved-model", exported, "--generate")
    done = command(*asked, stdin="the cat\n\nthe dog\n")
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("the cat")
    assert lines[2].startswith("the dog")
    assert done.stdout == command(*asked, stdin="the cat\n\nthe dog\n").stdout
    alone = command(*asked, "--seed", 3, stdin="the dog\n").stdout.splitlines()
    assert alone == lines[2:]
    seeds = {command(*asked, "--seed", 10 * seed, stdin="the\n").stdout for seed in range(4)}
    assert len(seeds) > 1


def test_a_mistake_ends_in_one_line(tmp_path):
    done = command("train", "--data.path", "/nowhere", "--run", tmp_path / "run")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "Error" in line]
    assert "--data.path /nowhere: expected a folder with train.txt" in line


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Data(validation="valid"), r"builtin: expected a split out of \('train', 'validation'"),
        (Data(streams=400_000), "streams from 1 to the number of steps"),
    ],
)
def test_wrong_data_is_told_before_training(data, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        language_model.train(Config(run=str(tmp_path / "run"), data=data))


def test_a_row_of_the_table_is_trained_at_its_sizes(folder, tmp_path):
    """But with few words."""
    config = small_config(folder, tmp_path / "run", epochs=1, optimizer="adagrad")
    config = dataclasses.replace(config, model=Model(row="LSTM-512-512", samples=4))
    language_model.train(config)
    _, model, tokenizer = language_model.load_run(config.run)
    row = ROWS["LSTM-512-512"]._replace(words=tokenizer.vocabulary_size)
    assert model.count_params() == row.parameters()


def test_the_preset_of_the_real_benchmark():
    config = PRESETS["lm1b"]
    assert config.data.vocabulary_size == ROWS[config.model.row].words
    begin = config.data.train.removeprefix("train[").removesuffix(":]")
    assert config.data.validation == f"train[:{begin}]"  # no line of it is trained on, or a test's


def test_a_new_start_does_not_read_the_ids_of_another(folder, tmp_path):
    config = small_config(folder, tmp_path / "run")
    stale = RunDirectory(config.run).corpus / "train.int32"
    stale.parent.mkdir(parents=True)
    np.full(500, 77, "int32").tofile(stale)
    datasets = language_model.make_datasets(config)
    assert datasets.counts.sum() == 1800
    resumed = language_model.make_datasets(dataclasses.replace(config, resume=True))
    np.testing.assert_array_equal(resumed.counts, datasets.counts)


@pytest.mark.parametrize(
    "model", [Model(ngrams=1), Model(ngrams=3, head="huffman"), Model(ngrams=2, row="LSTM-512-512")]
)
def test_ngrams_are_refused_before_anything_is_read(model, tmp_path):
    config = Config(run=str(tmp_path / "run"), data=Data(path="/nowhere"), model=model)
    with pytest.raises(ValueError, match="--model.ngrams: expected an order of at least 2"):
        language_model.train(config)


def test_a_network_with_ngrams_is_exported(folder, tmp_path):
    config = small_config(folder, tmp_path / "run", epochs=1)
    model = Model(cell="gru", units=8, embedding_dim=8, ngrams=3, ngram_slots=50)
    language_model.train(dataclasses.replace(config, model=model))
    output = str(tmp_path / "saved_models" / "both")
    path = language_model.export(language_model.Export(config.run, output, max_tokens=8))
    assert set(load_functions(path)) == {"serving_default", "generate"}


def test_the_log_is_the_same_everywhere():
    log = make_log(3, 200, 50)
    assert log == make_log(3, 200, 50)
    assert [len(split) for split in log] == [200, 50, 50]


@pytest.mark.parametrize(
    "estimator", ["single_kneser_ney", "maximum_entropy", "sparse_nonnegative", "skip_grams"]
)
def test_counted_runs_are_runs(trained, tmp_path, estimator):
    """They are evaluated, mixed and exported as trained ones are."""
    run = str(tmp_path / "ngrams")
    options = Count(run, str(trained.path), order=2, estimator=estimator)
    language_model.count(options)
    scores = language_model.evaluate(language_model.Evaluate(run))
    assert 1 < scores["valid"]["perplexity"] < 5
    mixed = language_model.mixture(Mix((str(trained.path), run), ngrams=()))["perplexity"]["valid"]
    assert mixed[run] == pytest.approx(scores["valid"]["perplexity"], rel=1e-4)
    output = str(tmp_path / "saved_models" / "ngrams")
    path = language_model.export(language_model.Export(run, output, max_tokens=8))
    functions = load_functions(path)
    assert set(functions) == {"serving_default", "generate"}


def test_count_makes_a_vocabulary_of_its_own(folder, tmp_path):
    run = tmp_path / "ngrams"
    data = Data(path=str(folder), validation="valid", tokenizer="whitespace")
    model = language_model.count(
        Count(str(run), order=3, estimator="sparse_nonnegative", data=data)
    )
    assert model.output_shape[-1] == 4 + 5  # specials, and the words of the grammar
    with pytest.raises(FileExistsError):
        language_model.count(Count(str(run), data=data))
