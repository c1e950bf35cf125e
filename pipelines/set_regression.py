"""Set regression: a set of vectors in, numbers out, whatever the order of the set.

    python -m pipelines.set_regression train --preset maximum --repeats 5
    python -m pipelines.set_regression evaluate --run runs/maximum
    python -m pipelines.set_regression train --data.path sets.npz --run runs/mine
    python -m pipelines.set_regression compare --models sab-pma rff-max rff-mean rff-sum
    python -m pipelines.set_regression export --run runs/maximum --output saved_models/maximum
    python -m pipelines.set_regression predict --saved-model saved_models/maximum --files sets.txt

The script reads in the order in which data flows: make_datasets, build_model, train, evaluate,
export. The sets come from set_regression_data.py, the settings stand in set_regression_config.py.
"""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipelines.command_line import run_commands
from pipelines.finish_run import finish_run
from pipelines.learning_curves import save_curve, speed
from pipelines.run_directory import RunDirectory, claim_run, load_config
from pipelines.set_regression_compare import compare
from pipelines.set_regression_config import PRESETS, Config
from pipelines.set_regression_data import (
    constant_answer,
    evaluation_dataset,
    make_task,
    statistics,
)
from pipelines.set_regression_predict import predict
from pipelines.set_regression_report import print_scores, summarise
from pipelines.start_run import seed_run, take_weights
from seqkeras import models
from seqkeras.serving.sets import SetRegressor
from seqkeras.training.adam import Adam
from seqkeras.training.callbacks import (
    Checkpointing,
    EarlyStopping,
    Progress,
    StopOnNonFinite,
    TensorBoardLogger,
)
from seqkeras.training.callbacks.time_budget import TimeBudget
from seqkeras.training.checkpoints import load_weights_only
from seqkeras.training.optimizer import GuardedOptimizer
from seqkeras.training.resume import fit
from seqkeras.training.run_lock import run_lock
from seqkeras.training.schedules import build_schedule

MONITOR = "val_mae"
_EVALUATION_BATCH = 500


class Datasets(NamedTuple):
    """What training reads.

    Attributes:
        batches: Training batches that know their position.
        validation: Finite dataset of the sets for choosing.
    """

    batches: object
    validation: tf.data.Dataset


def make_datasets(config, task):
    """Returns the `Datasets` of a task."""
    settings = config.training
    batches = task.batches(settings.batch_size, settings.steps_per_epoch, config.seed)
    return Datasets(batches, evaluation_dataset(task.sets("validation"), _EVALUATION_BATCH))


def build_model(config, task):
    """Returns the untrained `keras.Model`."""
    settings = dataclasses.asdict(config.model)
    scaled = statistics(task) if settings.pop("standardise") else {}
    return models.set_transformer(task.outputs, task.features, **scaled, **settings)


def members(config):
    """Returns the configs of the single runs that a config stands for: itself, or one a seed."""
    if config.repeats < 1:
        raise ValueError(f"repeats: expected at least 1, got {config.repeats}.")
    if config.repeats == 1:
        return [config]
    return [
        dataclasses.replace(
            config, run=str(Path(config.run) / f"seed-{seed}"), seed=seed, repeats=1
        )
        for seed in range(config.seed, config.seed + config.repeats)
    ]


def train(config: Config):
    """Trains a run, or goes on with it; leaves the model in the run as model.keras."""
    if config.repeats == 1:
        return _train_one(config)
    claim_run(RunDirectory(config.run).create(), config, may_change=("repeats", "training.epochs"))
    return [_train_one(member) for member in members(config)]


def _train_one(config):
    run = RunDirectory(config.run).create()
    with run_lock(run.path):
        return _train(config, run)


def _train(config, run):
    task = make_task(config)
    claim_run(run, config)
    keras.utils.clear_session()  # what a run before this one left
    seed_run(config)
    datasets = make_datasets(config, task)
    model = build_model(config, task)
    print(
        f"{config.model.encoder}, {config.model.pooling}, seed {config.seed}: "
        f"{model.count_params():,} parameters",
        flush=True,
    )
    take_weights(config, model)
    compile_model(config, model)
    settings = config.training
    checkpointing = Checkpointing(run.checkpoints, settings.checkpoint_steps, MONITOR)
    clock = TimeBudget()
    callbacks = [
        StopOnNonFinite(checkpointing.last_path),
        Progress(),
        clock,
        TensorBoardLogger(run.logs, settings.log_steps),
    ]
    if settings.patience is not None:
        callbacks.append(EarlyStopping(settings.patience, MONITOR))
    history = fit(
        model,
        datasets.batches,
        settings.epochs,
        callbacks,
        datasets.validation,
        checkpointing,
        config.resume,
    )
    save_curve(run, history, clock.curve, settings.steps_per_epoch)
    load_weights_only(checkpointing.best_path, model)
    finish_run(run, model, history)
    return history


def compile_model(config, model):
    """Gives the model its optimizer, loss and metrics."""
    settings = config.training
    updates = settings.epochs * settings.steps_per_epoch
    rate = build_schedule(settings.schedule, settings.learning_rate, 0, updates)
    optimizer = GuardedOptimizer(Adam(rate), clip_norm=settings.clip_norm or None)
    metrics = [
        keras.metrics.MeanAbsoluteError(name="mae"),
        keras.metrics.RootMeanSquaredError(name="rmse"),
    ]
    model.compile(optimizer, settings.loss, metrics=metrics, jit_compile=settings.xla)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measures a run, or the runs of all its seeds, on the validation and the test sets."""

    run: str = "runs/maximum"
    """Folder of the run."""


def evaluate(options: Evaluate):
    """Writes metrics.json into the run and prints it."""
    run = RunDirectory(options.run)
    config = load_config(Config, run.require(run.config))
    task = make_task(config)
    config = dataclasses.replace(config, run=options.run)  # the folder may have been moved
    measured = {member.seed: _measure(member, task) for member in members(config)}
    scores = summarise(measured)
    run.metrics.write_text(json.dumps(scores, indent=2) + "\n", "utf-8")
    print_scores(run, scores)
    return scores


def _measure(config, task):
    """Returns the scores of a single run."""
    run = RunDirectory(config.run)
    model = keras.models.load_model(run.require(run.model))
    compile_model(config, model)
    scores = {
        "model": f"{config.model.encoder}-{config.model.pooling}",
        "parameters": model.count_params(),
        **speed(run),
    }
    for split in ("validation", "test"):
        dataset = evaluation_dataset(task.sets(split), _EVALUATION_BATCH)
        measured = model.evaluate(dataset, return_dict=True, verbose=0)
        scores[split] = {name: measured[name] for name in ("mae", "rmse")}
    scores["constant answer"] = constant_answer(task, task.sets("test"))
    return scores


@dataclasses.dataclass(frozen=True)
class Export:
    """Writes the SavedModel of a run; of several seeds, of the best on the validation sets."""

    run: str = "runs/maximum"
    """Folder of the run."""
    output: str = "saved_models/maximum"
    """DIRECTORY/NAME; the version is the next free number."""


def export(options: Export):
    """Exports, verifies in a fresh process, and says where."""
    from seqkeras.serving.card import ModelCard
    from seqkeras.serving.export import export_saved_model

    run, output = RunDirectory(options.run), Path(options.output)
    config = load_config(Config, run.require(run.config))
    metrics, chosen = {"not evaluated": "run `evaluate` before `export`"}, members(config)[0]
    if run.metrics.exists():
        scores = json.loads(run.metrics.read_text("utf-8"))
        seed = min(scores["seeds"], key=lambda s: scores["seeds"][s]["validation"]["mae"])
        metrics = {f"test: {k}": v for k, v in scores["seeds"][seed]["test"].items()}
        metrics |= {f"constant answer: {k}": v for k, v in scores["constant answer"].items()}
        chosen = dataclasses.replace(chosen, seed=int(seed))
    folder = run if config.repeats == 1 else RunDirectory(run.path / f"seed-{chosen.seed}")
    task = make_task(config)
    regressor = SetRegressor(keras.models.load_model(folder.require(folder.model)))
    sets = task.sets("validation")
    garbage = np.where(np.arange(sets.elements.shape[1])[:, None] < 1, sets.elements[:1], np.nan)
    generated = config.data.path == "builtin"
    path = export_saved_model(
        regressor,
        output.parent,
        output.name,
        signatures=regressor.signatures(),
        examples={"serving_default": _request(sets.elements[:4], sets.length[:4])},
        # A single element with garbage behind it, and nothing at all.
        unusual={"serving_default": _request(np.concatenate([garbage, garbage]), [1, 0])},
        card=ModelCard(
            summary=f"{task.summary} Any order of a set gives one answer; the answer to an empty "
            "set means nothing.",
            trained_on="Generated sets."
            if generated
            else f"{Path(config.data.path).name}. Mind the licence of the data.",
            metrics=metrics,
            settings={**dataclasses.asdict(config.model), "seed": chosen.seed},
            answers="`elements` has the numbers as they are, filled up to one number of elements; "
            "`length` says how many are real.",
        ),
    )
    print(f"exported and verified: {path}", flush=True)
    return path


def _request(elements, length):
    return {"elements": elements.astype(np.float32), "length": np.array(length, np.int32)}


COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "export": export,
    "predict": predict,
}

if __name__ == "__main__":
    run_commands(COMMANDS, PRESETS, __doc__, lambda run: load_config(Config, run.config))
