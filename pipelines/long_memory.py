"""Long memory: what a recurrent cell remembers over hundreds of steps.

    python -m pipelines.long_memory train --preset adding --model.cell lstm
    python -m pipelines.long_memory train --preset mnist --model.cell gru --data.path mnist.npz
    python -m pipelines.long_memory evaluate --run runs/adding/lstm
    python -m pipelines.long_memory compare --runs runs/adding/lstm runs/adding/gru
    python -m pipelines.long_memory export --run runs/adding/lstm --output saved_models/adding
    python -m pipelines.long_memory predict --saved-model saved_models/adding --inputs FILE.npy

The script reads in the order in which data flows: make_datasets, build_model, train, evaluate,
export. The tasks stand in long_memory_tasks.py, the cells and how each is trained in
long_memory_cells.py, the other settings in long_memory_config.py.
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
from pipelines.long_memory_cells import make_cell
from pipelines.long_memory_compare import compare
from pipelines.long_memory_config import PRESETS, Config, resolved
from pipelines.long_memory_report import print_answers, print_scores
from pipelines.long_memory_tasks import evaluation_dataset, make_task
from pipelines.run_directory import RunDirectory, claim_run, load_config
from pipelines.start_run import seed_run, take_weights
from seqkeras.data.position_batches import ArrayBatches, GeneratedBatches
from seqkeras.layers import RNN
from seqkeras.serving.versions import find_version
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

_EVALUATION_BATCH = 500


class Datasets(NamedTuple):
    """What training reads.

    Attributes:
        batches: Training batches that know their position.
        validation: Finite dataset of the examples for choosing.
    """

    batches: ArrayBatches | GeneratedBatches
    validation: tf.data.Dataset


def make_datasets(config, task):
    """Returns the `Datasets` of a task."""
    settings = config.training
    batches = task.batches(settings.batch_size, settings.steps_per_epoch, config.seed)
    return Datasets(batches, evaluation_dataset(task, "validation", _EVALUATION_BATCH))


def build_model(config, task):
    """Returns the untrained `keras.Model`: the cell over time, and one dense layer."""

    def rnn(return_sequences):
        cell = make_cell(config.model.cell, config.model.units, task.length)
        return RNN(cell, return_sequences=return_sequences, name="rnn")

    return task.build(rnn)


def train(config: Config):
    """Trains a run, or goes on with it; leaves the model in the run as model.keras."""
    config = resolved(config)
    run = RunDirectory(config.run).create()
    with run_lock(run.path):
        return _train(config, run)


def _train(config, run):
    task = make_task(config)
    claim_run(run, config, may_change=("training.epochs", "training.minutes"))
    seed_run(config)
    datasets = make_datasets(config, task)
    model = build_model(config, task)
    print(
        f"{config.task}, {task.length} steps: {config.model.cell}, {config.model.units} units, "
        f"{model.count_params():,} parameters",
        flush=True,
    )
    take_weights(config, model)
    compile_model(config, model, task)
    settings = config.training
    checkpointing = Checkpointing(
        run.checkpoints, settings.checkpoint_steps, task.monitor, task.mode
    )
    budget = TimeBudget(settings.minutes)
    history = fit(
        model,
        datasets.batches,
        settings.epochs,
        _callbacks(config, run, task, checkpointing, budget),
        datasets.validation,
        checkpointing,
        config.resume,
    )
    save_curve(run, history, budget.curve, config.training.steps_per_epoch)
    load_weights_only(checkpointing.best_path, model)
    finish_run(run, model, history)
    return history


def compile_model(config, model, task):
    """Gives the model its optimizer, loss and metrics."""
    settings = config.training
    updates = settings.epochs * settings.steps_per_epoch
    rate = build_schedule(settings.schedule, settings.learning_rate, 0, updates)
    kinds = {"rmsprop": keras.optimizers.RMSprop, "adam": Adam}  # RMSprop: decay rho = 0.9
    optimizer = GuardedOptimizer(
        kinds[settings.optimizer](rate), clip_norm=settings.clip_norm or None
    )
    model.compile(optimizer, **task.compile_options(), jit_compile=False)


def _callbacks(config, run, task, checkpointing, budget):
    settings = config.training
    callbacks = [
        StopOnNonFinite(checkpointing.last_path),
        Progress(budget=budget),
        budget,
        TensorBoardLogger(run.logs, settings.log_steps),
    ]
    if settings.patience is not None:
        callbacks.append(EarlyStopping(settings.patience, task.monitor, task.mode))
    return callbacks


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measures a run on the validation and the test examples."""

    run: str = "runs/adding/lstm"
    """Folder of the run."""


def evaluate(options: Evaluate):
    """Writes metrics.json into the run and prints it."""
    run, config, task, model = _load(options.run)
    compile_model(config, model, task)
    scores = {
        "task": config.task,
        "cell": config.model.cell,
        "units": config.model.units,
        "parameters": model.count_params(),
        **speed(run),
    }
    for split in ("validation", "test"):
        dataset = evaluation_dataset(task, split, _EVALUATION_BATCH)
        scores[split] = model.evaluate(dataset, return_dict=True, verbose=0)
    scores["baselines"] = task.baselines
    run.metrics.write_text(json.dumps(scores, indent=2) + "\n", "utf-8")
    print_scores(run, scores)
    return scores


def _load(folder):
    """Returns `(run, config, task, model)` of a finished run."""
    run = RunDirectory(folder)
    config = load_config(Config, run.require(run.config))
    return run, config, make_task(config), keras.models.load_model(run.require(run.model))


@dataclasses.dataclass(frozen=True)
class Export:
    """Writes the SavedModel of a run."""

    run: str = "runs/adding/lstm"
    """Folder of the run."""
    output: str = "saved_models/adding"
    """DIRECTORY/NAME; the version is the next free number."""


def export(options: Export):
    """Exports, verifies in a fresh process, and says where."""
    from seqkeras.serving.card import ModelCard
    from seqkeras.serving.export import export_saved_model

    run, config, task, model = _load(options.run)
    output = Path(options.output)

    @tf.function(input_signature=[task.specification])
    def serve(inputs):
        return task.answers(model(task.prepare(inputs), training=False))

    metrics = {"not evaluated": "run `evaluate` before `export`"}
    if run.metrics.exists():
        scores = json.loads(run.metrics.read_text("utf-8"))
        metrics = {f"test: {name}": value for name, value in scores["test"].items()}
        metrics |= {f"without memory: {n}": value for n, value in scores["baselines"].items()}
    generated = config.data.path == "builtin"
    card = ModelCard(
        summary=f"{task.summary} It was trained on {task.length} steps.",
        trained_on="Generated examples."
        if generated
        else f"{Path(config.data.path).name}. Mind the licence of the data.",
        metrics=metrics,
        settings={**dataclasses.asdict(config.data), **dataclasses.asdict(config.model)},
    )
    examples = {task.specification.name: task.examples("validation")[0][:8]}
    path = export_saved_model(
        None,
        output.parent,
        output.name,
        signatures={"serving_default": serve},
        examples={"serving_default": examples},
        card=card,
    )
    print(f"exported and verified: {path}", flush=True)
    return path


@dataclasses.dataclass(frozen=True)
class Predict:
    """Prints what an export answers to an array, a line of tab-separated outputs for each row."""

    inputs: str
    """An .npy file with a batch of what the export takes, as its card says."""
    saved_model: str = "saved_models/adding"
    """The export: DIRECTORY/NAME (the highest version) or DIRECTORY/NAME/VERSION."""
    batch_size: int = 100


def predict(options: Predict):
    """Runs the command."""
    loaded = tf.saved_model.load(str(find_version(options.saved_model)))
    serve = loaded.signatures["serving_default"]
    ((name, spec),) = serve.structured_input_signature[1].items()
    rows = np.load(options.inputs, allow_pickle=False)
    if not spec.shape.is_compatible_with(rows.shape):
        raise ValueError(
            f"--inputs: expected an array {spec.shape} {spec.dtype.name}, got {rows.shape} "
            f"{rows.dtype} in {options.inputs}."
        )
    for first in range(0, len(rows), options.batch_size):
        batch = tf.constant(rows[first : first + options.batch_size], spec.dtype)
        print_answers(serve(**{name: batch}), header=first == 0)


COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "export": export,
    "predict": predict,
}

if __name__ == "__main__":
    run_commands(COMMANDS, PRESETS, __doc__, lambda run: load_config(Config, run.config))
