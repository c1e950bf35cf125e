"""The tasks by their definitions, and what is said to be reachable without memory."""

import dataclasses
import math

import keras
import numpy as np
import pytest

from pipelines.long_memory_cells import NAMES, recipe
from pipelines.long_memory_config import PRESETS, Config, Data, Model, resolved
from pipelines.long_memory_tasks import (
    AddingProblem,
    CopyMemory,
    PixelDigits,
    RecallAccuracy,
    evaluation_dataset,
    make_task,
)

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(256, size=(60, 8, 8)).astype("uint8")
    y = np.arange(60) % 10
    path = tmp_path / "images.npz"
    np.savez(path, x_train=x[:50], y_train=y[:50], x_test=x[50:], y_test=y[50:])
    return path


def pixels(path, **options):
    return PixelDigits(Data(path=str(path), validation=5, **options))


@pytest.mark.parametrize("length", [2, 7, 200])
def test_adding_sums_one_value_of_each_half(length):
    task = AddingProblem(Data(length=length))
    x, y = task.generate(np.random.default_rng(1), 500)
    assert (x.dtype, x.shape, y.shape) == (np.float32, (500, length, 2), (500, 1))
    for row in range(500):
        first, second = np.flatnonzero(x[row, :, 1])
        assert first < length // 2 <= second
        assert y[row, 0] == pytest.approx(x[row, first, 0] + x[row, second, 0], rel=1e-6)
    assert set(np.unique(x[..., 1])) <= {0.0, 1.0}
    assert 0.0 <= x[..., 0].min() < x[..., 0].max() < 1.0
    if length < 10:
        assert set(np.nonzero(x[..., 1])[1]) == set(range(length))  # every step has its turn


def test_answering_1_is_the_adding_problems_baseline():
    task = AddingProblem(Data(length=10, test=40_000))
    _, y = task.examples("test")
    # (y - 1)^2 has a deviation of (1/15 - 1/36)^(1/2) < 0.2, so the mean of 40,000 has 0.001.
    assert np.mean((y - 1.0) ** 2) == pytest.approx(task.baselines["loss"], abs=4 * 0.001)
    assert task.baselines["loss"] == pytest.approx(0.167, abs=5e-4)
    constant = min(np.mean((y - c) ** 2) for c in (0.9, 0.95, 1.0, 1.05, 1.1))
    assert constant == np.mean((y - 1.0) ** 2)


@pytest.mark.parametrize("length", [1, 5, 200])
def test_copy_is_symbols_blanks_delimiter_blanks(length):
    task = CopyMemory(Data(length=length))
    x, y = task.generate(np.random.default_rng(1), 300)
    assert x.shape == y.shape == (300, length + 20)
    np.testing.assert_array_equal(x[:, :10], y[:, -10:])
    assert set(np.unique(x[:, :10])) == set(range(8))
    np.testing.assert_array_equal(y[:, :-10], 8)
    assert (x == 9).sum() == 300
    np.testing.assert_array_equal(x[:, -11], 9)  # the answer is due right after it
    np.testing.assert_array_equal(x[:, 10:-11], 8)
    np.testing.assert_array_equal(x[:, -10:], 8)


@pytest.mark.parametrize("length", [5, 200])
def test_blanks_and_uniform_symbols_are_copys_baseline(length):
    task = CopyMemory(Data(length=length))
    nats = task.baselines["loss"]
    assert nats == pytest.approx(10 * math.log(8) / (length + 20))
    _, y = task.generate(np.random.default_rng(1), 50)
    logits = np.full((*y.shape, 9), -100.0, "float32")
    logits[:, :-10, 8] = 100.0
    logits[:, -10:, :8] = 0.0
    loss = task.compile_options()["loss"]
    assert float(loss(y, logits)) == pytest.approx(nats, rel=1e-5)


def test_recall_accuracy_looks_at_the_answer_only():
    task = CopyMemory(Data(length=5))
    _, y = task.generate(np.random.default_rng(1), 2)
    answers = y.copy()
    answers[:, :-10] = 3  # wrong where blanks are due: does not matter
    answers[0, -4:] = (answers[0, -4:] + 1) % 8  # 4 of 20 wrong
    metric = RecallAccuracy()
    metric.update_state(y, np.eye(9, dtype="float32")[answers])
    assert float(metric.result()) == pytest.approx(16 / 20)


def test_an_ignorant_model_scores_the_baseline_of_pixels(images):
    task = pixels(images)
    inputs = keras.Input((64, 1))
    zeros = keras.layers.Dense(10, kernel_initializer="zeros")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, zeros)
    model.compile(**task.compile_options())
    scores = model.evaluate(evaluation_dataset(task, "test", 4), return_dict=True, verbose=0)
    assert scores["loss"] == pytest.approx(task.baselines["loss"], rel=1e-5)
    assert task.baselines == {"loss": pytest.approx(math.log(10)), "accuracy": 0.1}


def test_pixels_hold_out_the_last_training_images(images):
    task = pixels(images)
    with np.load(images) as file:
        np.testing.assert_array_equal(task.examples("validation")[0], file["x_train"][-5:])
        np.testing.assert_array_equal(task.examples("test")[1], file["y_test"])
        seen = np.concatenate([y for _, y in task.batches(9, 5, 1).dataset().take(5)])
        assert sorted(seen) == sorted(file["y_train"][:-5])


def test_shrunk_and_permuted_pixels(images):
    plain = pixels(images, shrink=2)
    permuted = pixels(images, shrink=2, permuted=True, permutation_seed=4)
    assert (plain.length, permuted.length) == (16, 16)
    raw = plain.examples("validation")[0]
    rows, shuffled = plain.prepare(raw).numpy(), permuted.prepare(raw).numpy()
    assert (rows != shuffled).any()
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.sort(shuffled, axis=1))
    again = pixels(images, shrink=2, permuted=True, permutation_seed=4).prepare(raw)
    np.testing.assert_array_equal(again, shuffled)
    other = pixels(images, shrink=2, permuted=True, permutation_seed=5).prepare(raw).numpy()
    assert (other != shuffled).any()


@pytest.mark.parametrize("task", ["adding", "copy"])
def test_every_run_is_measured_on_the_same_examples_and_none_of_them_is_trained_on(task):
    data = Data(length=6, validation=50, test=50)
    one, other = (make_task(Config(task=task, data=data, seed=seed)) for seed in (1, 2))
    for split in ("validation", "test"):
        for a, b in zip(one.examples(split), other.examples(split), strict=True):
            np.testing.assert_array_equal(a, b)
    held_out = {row.tobytes() for split in ("validation", "test") for row in one.examples(split)[0]}
    assert len(held_out) == 100
    for seed in (0, 1, 2):
        for x, _ in one.batches(50, 10, seed).dataset().take(4):
            assert not held_out & {row.tobytes() for row in x.numpy()}


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        ("adding", {"length": 1}, "at least 2"),
        ("copy", {"length": 0}, "at least 1"),
        ("mnist", {}, "--data.path"),
    ],
)
def test_what_cannot_be_a_task_raises(task, data, message):
    with pytest.raises(ValueError, match=message):
        make_task(Config(task=task, data=Data(**data)))


def test_no_image_left_to_train_on_raises(images):
    with pytest.raises(ValueError, match="from 1 to 49"):
        PixelDigits(Data(path=str(images), validation=50))


def test_what_the_config_leaves_open_comes_from_the_table():
    config = resolved(Config(task="copy", run="runs/x/{cell}", model=Model(cell="unitary")))
    ours = recipe("copy", "unitary")
    assert (config.model.units, config.training.clip_norm) == (ours.units, ours.clip_norm)
    assert config.training.learning_rate == ours.learning_rate
    assert config.training.optimizer == ours.optimizer
    assert config.run == "runs/x/unitary"
    given = dataclasses.replace(config, model=Model(cell="unitary", units=3))
    assert resolved(given).model.units == 3
    assert resolved(config) == config


def test_every_preset_has_a_recipe_for_every_cell():
    for preset in PRESETS.values():
        for cell in NAMES:
            ours = recipe(preset.task, cell)
            assert ours.units > 0
            assert ours.learning_rate > 0
            assert ours.clip_norm >= 0
