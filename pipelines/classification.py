"""Classification: sequences in, one label out; time series or text, any recurrent cell.

    python -m pipelines.classification train --run runs/control_charts
    python -m pipelines.classification train --data.path FOLDER --run runs/mine
    python -m pipelines.classification evaluate --run runs/control_charts
    python -m pipelines.classification export --run runs/control_charts --output saved_models/charts
    python -m pipelines.classification predict --saved-model saved_models/charts --files new.csv

The script reads in the order in which data flows: make_datasets, build_model, train, evaluate,
export; the settings stand in classification_config.py. Copy both and change what you like.
"""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipelines.classification_config import PRESETS, Config
from pipelines.classification_predict import predict
from pipelines.classification_report import report
from pipelines.command_line import run_commands
from pipelines.finish_run import finish_run
from pipelines.labelled_sequences import encode, read_split, read_training
from pipelines.run_directory import RunDirectory, claim_run, load_config
from pipelines.start_run import seed_run, take_weights
from seqkeras import models
from seqkeras.data.sequence_batches import SequenceBatches
from seqkeras.data.tokenizers import load_tokenizer, train_tokenizer
from seqkeras.serving.classifiers import SeriesClassifier, TextClassifier, padded
from seqkeras.training.adam import Adam
from seqkeras.training.callbacks import (
    Checkpointing,
    EarlyStopping,
    Progress,
    StopOnNonFinite,
    TensorBoardLogger,
)
from seqkeras.training.checkpoints import average_checkpoints
from seqkeras.training.optimizer import GuardedOptimizer
from seqkeras.training.resume import fit
from seqkeras.training.run_lock import run_lock
from seqkeras.training.schedules import build_schedule

MONITOR = "val_loss"


class Datasets(NamedTuple):
    """What training reads.

    Attributes:
        labels: List of str; class i is labels[i].
        tokenizer: `Tokenizer`, or None for time series.
        mean, variance: For time series, float32 arrays `(D,)` over all training steps; else None.
        batches: `SequenceBatches` of the training split.
        validation: Finite dataset of the validation split.
    """

    labels: list
    tokenizer: object
    mean: np.ndarray | None
    variance: np.ndarray | None
    batches: SequenceBatches
    validation: tf.data.Dataset


def make_datasets(config):
    """Reads, encodes and batches; writes labels and tokenizer into the run, or reads them there."""
    data, run = config.data, RunDirectory(config.run)
    train, validation = read_training(data, config.seed)
    labels, tokenizer = _vocabularies(config, run, train)
    channels = None if train.is_text else train.sequences[0].shape[1]
    common = (labels, data.max_length, tokenizer, channels)
    encoded = encode(train, data.train, *common)
    chosen_by = encode(validation, data.validation or "held out", *common)
    batches = SequenceBatches(encoded, data.steps_per_batch, config.seed)
    print(
        f"{len(train.labels):,} training and {len(validation.labels):,} validation sequences, "
        f"{len(labels)} classes; {batches.steps_per_epoch} batches an epoch, "
        f"{batches.padding_share():.1%} padding",
        flush=True,
    )
    statistics = (None, None)
    if tokenizer is None:
        values = encoded.values.astype(np.float64)
        statistics = (values.mean(axis=0), values.var(axis=0))
    validation_batches = SequenceBatches(chosen_by, data.steps_per_batch, config.seed)
    return Datasets(
        labels, tokenizer, *statistics, batches, validation_batches.evaluation_dataset()
    )


def _vocabularies(config, run, train):
    """Returns `(labels, tokenizer)`, of the run itself, of the run to start from, or new ones."""
    if config.resume and run.labels.exists():
        return _load_vocabularies(run)
    if config.init_from:
        labels, tokenizer = _load_vocabularies(RunDirectory(config.init_from))
    else:
        labels, tokenizer = sorted(set(train.labels)), None
        if train.is_text:
            data = config.data
            tokenizer = train_tokenizer(
                data.tokenizer, train.sequences, data.vocabulary_size, lowercase=data.lowercase
            )
    run.labels.write_text(json.dumps(labels, ensure_ascii=False) + "\n", "utf-8")
    if tokenizer is not None:
        tokenizer.save(run.source_tokenizer)
    return labels, tokenizer


def _load_vocabularies(run):
    labels = json.loads(run.require(run.labels).read_text("utf-8"))
    has_tokenizer = run.source_tokenizer.exists()
    return labels, load_tokenizer(run.source_tokenizer) if has_tokenizer else None


def build_model(config, datasets):
    """Returns the untrained `keras.Model`."""
    tokenizer = datasets.tokenizer
    return models.sequence_classifier(
        len(datasets.labels),
        vocabulary_size=None if tokenizer is None else tokenizer.vocabulary_size,
        mean=datasets.mean,
        variance=datasets.variance,
        **dataclasses.asdict(config.model),
    )


def train(config: Config):
    """Trains a run, or goes on with it; leaves the model in the run as model.keras."""
    run = RunDirectory(config.run).create()
    with run_lock(run.path):
        return _train(config, run)


def _train(config, run):
    claim_run(run, config)
    seed_run(config)
    datasets = make_datasets(config)
    model = build_model(config, datasets)
    print(f"{config.model.cell}: {model.count_params():,} parameters", flush=True)
    take_weights(config, model)
    compile_model(config, model, datasets.batches.steps_per_epoch)
    settings = config.training
    checkpointing = Checkpointing(
        run.checkpoints, settings.checkpoint_steps, MONITOR, keep_best=settings.average
    )
    callbacks = [
        StopOnNonFinite(checkpointing.last_path),
        Progress(),
        EarlyStopping(settings.patience, MONITOR),
        TensorBoardLogger(run.logs, settings.log_steps),
    ]
    history = fit(
        model,
        datasets.batches,
        settings.epochs,
        callbacks,
        datasets.validation,
        checkpointing,
        config.resume,
    )
    average_checkpoints(checkpointing.epoch_paths(), model)  # the mean of the best epochs
    finish_run(run, model, history)
    return history


def compile_model(config, model, steps_per_epoch):
    """Gives the model its optimizer, loss and metrics."""
    settings = config.training
    updates = settings.epochs * steps_per_epoch
    warmup = 0 if settings.schedule == "constant" else min(settings.warmup_steps, updates // 2)
    optimizer = GuardedOptimizer(
        Adam(build_schedule(settings.schedule, settings.learning_rate, warmup, updates)),
        clip_norm=settings.clip_norm,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    model.compile(optimizer, loss, metrics=metrics, jit_compile=False)


def load_classifier(run):
    """Returns `(config, classifier)` of a finished run: what `evaluate` and `export` start with."""
    run = RunDirectory(run)
    config = load_config(Config, run.require(run.config))
    model = keras.models.load_model(run.require(run.model))
    labels, tokenizer = _load_vocabularies(run)
    if tokenizer is None:
        return config, SeriesClassifier(model, labels, config.data.max_length)
    return config, TextClassifier(model, labels, config.data.max_length, tokenizer)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measures a run on its test splits."""

    run: str = "runs/control_charts"
    """Folder of the run."""
    splits: tuple[str, ...] = ()
    """Which splits; by default the test splits of the run, and its validation split if that has a
    name."""
    batch_size: int = 64
    """Sequences classified at a time; the results do not depend on it."""


def evaluate(options: Evaluate):
    """Classifies the splits and writes metrics.json, samples and pictures into the run."""
    config, classifier = load_classifier(options.run)
    run, data = RunDirectory(options.run), config.data
    named = (data.validation,) if data.validation else ()
    function = classifier.signatures()["serving_default"]
    results = {}
    for name in options.splits or (*named, *data.tests):
        split = read_split(data, name, config.seed)
        results[name] = report(name, split, classifier, function, run, options.batch_size)
        measured = json.loads(run.metrics.read_text("utf-8")) if run.metrics.exists() else {}
        run.metrics.write_text(json.dumps(measured | results, indent=2) + "\n", "utf-8")
    print(f"\nscores: {run.metrics}; answers: {run.samples}; pictures: {run.plots}", flush=True)
    return results


@dataclasses.dataclass(frozen=True)
class Export:
    """Writes the SavedModel of a run."""

    run: str = "runs/control_charts"
    """Folder of the run."""
    output: str = "saved_models/control_charts"
    """DIRECTORY/NAME; the version is the next free number."""


def export(options: Export):
    """Exports, verifies in a fresh process, and says where."""
    from seqkeras.serving.card import ModelCard
    from seqkeras.serving.export import export_saved_model

    config, classifier = load_classifier(options.run)
    run, output, data = RunDirectory(options.run), Path(options.output), config.data
    metrics = {}
    if run.metrics.exists():
        for name, values in json.loads(run.metrics.read_text("utf-8")).items():
            numbers = {k: v for k, v in values.items() if not isinstance(v, list)}
            metrics |= {f"{name}: {key}": value for key, value in numbers.items()}
    source = "generated control charts" if data.path == "builtin" else Path(data.path).name
    _, validation = read_training(data, config.seed)
    examples, unusual = _examples(validation.sequences[:4], validation.is_text)
    card = ModelCard(
        summary=f"Classifies {'texts' if validation.is_text else 'time series'} ({source}): "
        f"{', '.join(classifier.labels)}. It always answers one of these, also to what is none.",
        trained_on=f"{source}, split {data.train!r}. Mind the licence of the data.",
        metrics=metrics or {"not evaluated": "run `evaluate` before `export`"},
        settings={**dataclasses.asdict(config.model), "max_length": data.max_length},
        answers=_ANSWERS[validation.is_text],
    )
    path = export_saved_model(
        classifier,
        output.parent,
        output.name,
        signatures=classifier.signatures(),
        examples={"serving_default": examples},
        unusual={"serving_default": unusual},
        card=card,
    )
    print(f"exported and verified: {path}", flush=True)
    return path


_ANSWERS = {
    True: "`label` is the most probable class, `probabilities` are those of all `labels`.",
    False: "`series` has the values as they were measured, filled up to one number of steps; "
    "`length` says how many steps are real. `label` is the most probable class, `probabilities` "
    "are those of all `labels`.",
}


def _examples(sequences, is_text):
    """Returns `(examples, unusual)`: real inputs, and the ends of what may come."""
    if is_text:
        return {"text": sequences}, {"text": ["", "\u2603\U0001f40c"]}
    examples = padded(sequences)
    row = examples["series"][:1]
    # A single step with garbage behind it, and nothing at all.
    garbage = np.concatenate([row[:, :1], np.full_like(row[:, 1:], np.nan)], axis=1)
    unusual = {"series": np.concatenate([garbage, row]), "length": np.array([1, 0], np.int32)}
    return examples, unusual


COMMANDS = {"train": train, "evaluate": evaluate, "export": export, "predict": predict}

if __name__ == "__main__":
    run_commands(COMMANDS, PRESETS, __doc__, lambda run: load_config(Config, run.config))
