"""Language modelling: text in, the probability of every next token out; any recurrent cell.

    python -m pipelines.language_model train --run runs/log
    python -m pipelines.language_model train --data.path FOLDER --run runs/mine
    python -m pipelines.language_model count --like runs/log --run runs/log-5grams
    python -m pipelines.language_model evaluate --run runs/log
    python -m pipelines.language_model mix --runs runs/log --ngrams 5
    python -m pipelines.language_model export --run runs/log --output saved_models/log
    python -m pipelines.language_model predict --saved-model saved_models/log --files new.txt
    python -m pipelines.language_model predict --saved-model saved_models/log --generate

The script reads in the order in which data flows: make_datasets, build_model, train, evaluate,
export; the settings stand in language_model_config.py. Copy both and change what you like.
"""

import dataclasses
import functools
import itertools
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from pipelines.command_line import run_commands
from pipelines.corpora import Corpus, count_ids, encode_to_file, tokenizer_of_run
from pipelines.finish_run import finish_run
from pipelines.language_model_config import PRESETS, Config
from pipelines.language_model_count import count
from pipelines.language_model_mixture import mixture
from pipelines.language_model_predict import predict
from pipelines.language_model_report import report
from pipelines.run_directory import RunDirectory, claim_run, load_config
from pipelines.start_run import seed_run, take_weights
from seqkeras import models
from seqkeras.constants import UNK
from seqkeras.counts import NGramCounts, count_ngrams
from seqkeras.data.segments import SegmentBatches
from seqkeras.data.spelling import RESERVED, spell
from seqkeras.data.tokenizers import load_tokenizer
from seqkeras.layers import CharacterCNN, CharacterLSTMHead, SpelledEmbedding, SpelledSoftmaxHead
from seqkeras.models.billion_words import ROWS
from seqkeras.models.language_model import carry_states
from seqkeras.serving.text_generators import TextGenerator
from seqkeras.serving.text_scorers import TextScorer
from seqkeras.training.adam import Adam
from seqkeras.training.callbacks import (
    CarriedStates,
    Checkpointing,
    Progress,
    StopOnNonFinite,
    TensorBoardLogger,
)
from seqkeras.training.checkpoints import average_checkpoints
from seqkeras.training.losses import TokenCrossentropy
from seqkeras.training.metrics import Perplexity, TokenLoss
from seqkeras.training.optimizer import GuardedOptimizer
from seqkeras.training.resume import fit
from seqkeras.training.run_lock import run_lock

MONITOR = "val_perplexity"
OPTIMIZERS = {"sgd": keras.optimizers.SGD, "adagrad": keras.optimizers.Adagrad, "adam": Adam}


class Datasets(NamedTuple):
    """What training reads.

    Attributes:
        tokenizer: `Tokenizer`.
        batches: `SegmentBatches` of the training split.
        validation: Finite dataset of the validation split, as many streams side by side.
        counts: int array `(V,)`, how often each token occurs in the training split.
        ngrams: `NGramCounts` of the training split, None where none are asked for.
    """

    tokenizer: object
    batches: SegmentBatches
    validation: object
    counts: np.ndarray
    ngrams: NGramCounts | None


def make_datasets(config):
    """Reads, encodes, cuts into streams; writes the tokenizer into the run, or reads it there."""
    data, run = config.data, RunDirectory(config.run)
    if not config.resume:  # ids of another start, which may have had another vocabulary
        shutil.rmtree(run.corpus, ignore_errors=True)
    corpora = {name: Corpus(data, name, config.seed) for name in (data.train, data.validation)}
    tokenizer = tokenizer_of_run(config, run, corpora[data.train])
    size = tokenizer.vocabulary_size
    (train, counts), (validation, validation_counts) = (
        _stream(corpora[split], tokenizer, run.corpus / f"{name}.int32", config.resume)
        for name, split in (("train", data.train), ("validation", data.validation))
    )
    batches = segments(train, data.segment_length, data.streams)
    unknown, validation_unknown = (c[UNK] / c.sum() for c in (counts, validation_counts))
    print(
        f"{counts.sum():,} training and {validation_counts.sum():,} validation tokens, "
        f"{unknown:.2%} and {validation_unknown:.2%} of them unknown; "
        f"vocabulary of {size:,}; {batches.steps_per_epoch} batches an epoch",
        flush=True,
    )
    streams = segments(validation, data.segment_length, data.streams)
    order = config.model.ngrams
    ngrams = None if order is None else count_ngrams([train[1:]], order, size)
    return Datasets(tokenizer, batches, streams.evaluation_dataset(), counts, ngrams)


def _stream(lines, tokenizer, path, keep):
    """Returns END and then the ids of a corpus, in a file, and how often each id occurs."""
    stream = encode_to_file(lines, tokenizer, path, keep)
    return stream, count_ids(stream[1:], tokenizer.vocabulary_size)


def segments(stream, length, streams):
    """Returns `SegmentBatches` in which every token of a stream but the first is predicted.

    They feed the targets to the model, too: its head gives their losses.
    """
    return SegmentBatches(stream[:-1], stream[1:], length, streams, feed_targets=True)


def check_model(settings):
    """Raises ValueError for settings that do not go together."""
    if settings.ngrams is None:
        return
    if settings.ngrams < 2 or settings.head != "softmax" or settings.row:
        raise ValueError(
            "--model.ngrams: expected an order of at least 2, --model.head softmax and no "
            f"--model.row, got {settings.ngrams}, {settings.head!r} and {settings.row!r}."
        )


def build_model(config, vocabulary, counts=None, ngrams=None):
    """Returns the untrained `keras.Model`, tokens to logits.

    Args:
        config: `Config`.
        vocabulary: List of str, the words.
        counts: `(V,)`, how often each occurs in the training split, for the output layers that ask.
        ngrams: `NGramCounts` of the training split, for the softmax, or None.
    """
    settings = config.model
    row = ROWS[settings.row]._replace(words=len(vocabulary)) if settings.row else None
    spellings, alphabet = None, ()
    if row.inputs if row else "character" in settings.inputs + settings.head:
        spellings, alphabet = spell(vocabulary, max_length=settings.characters.max_length)
    if row:
        return row.build(spellings, len(alphabet) + RESERVED, settings.samples, counts)
    embedding, head = None, settings.head
    if settings.inputs == "characters":
        embedding = SpelledEmbedding(spellings, character_network(settings, alphabet))
    if settings.head == "characters":
        network = character_network(settings, alphabet, output_dim=settings.units)
        head = functools.partial(
            SpelledSoftmaxHead,
            spellings=spellings,
            network=network,
            correction_dim=settings.correction_dim,
            counts=counts,
            samples=settings.samples,
            name="head",
        )
    if settings.head == "character_lstm":
        head = functools.partial(
            CharacterLSTMHead,
            spellings=spellings,
            characters=len(alphabet) + RESERVED,
            dim=settings.characters.dim,
            units=settings.units,
            name="head",
        )
    return models.language_model(
        len(vocabulary),
        settings.cell,
        settings.embedding_dim,
        settings.units,
        settings.layers,
        settings.dropout,
        settings.tied_output,
        embedding,
        head,
        settings.variational_dropout,
        ngrams,
        settings.ngram_slots,
        counts=counts,
        samples=settings.samples,
    )


def character_network(settings, alphabet, output_dim=None):
    """Returns the layer from the characters of words to vectors."""
    sizes = settings.characters
    filters = {width: width * sizes.filters for width in range(1, sizes.widths + 1)}
    characters = len(alphabet) + RESERVED
    return CharacterCNN(characters, sizes.dim, filters, sizes.highways, output_dim)


def train(config: Config):
    """Trains a run, or goes on with it; leaves the model in the run as model.keras."""
    run = RunDirectory(config.run).create()
    with run_lock(run.path):
        return _train(config, run)


def _train(config, run):
    check_model(config.model)
    claim_run(run, config)
    seed_run(config)
    datasets = make_datasets(config)
    settings = config.training
    vocabulary = datasets.tokenizer.vocabulary
    trained = build_model(config, vocabulary, datasets.counts, datasets.ngrams)
    parameters = sum(int(np.prod(weight.shape)) for weight in trained.trainable_weights)
    print(f"{config.model.row or config.model.cell}: {parameters:,} parameters", flush=True)
    start_weights(config, trained)
    carrying = carry_states(trained, config.data.streams) if config.data.carried_states else trained
    model = models.with_targets(carrying)
    loss = compile_model(config, model, datasets.batches.steps_per_epoch)
    checkpointing = Checkpointing(run.checkpoints, settings.checkpoint_steps, MONITOR)
    callbacks = [
        StopOnNonFinite(checkpointing.last_path),
        CarriedStates(),
        Progress(loss.token_count),
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
    average_checkpoints([checkpointing.best_path], model)
    finish_run(run, trained, history)
    return history


def start_weights(config, model):
    """Gives a new model what it starts from: another run's weights, uniform ones, or its own."""
    take_weights(config, model)
    if config.training.uniform_weights is not None and not config.init_from:
        limit = config.training.uniform_weights
        draw = keras.initializers.RandomUniform(-limit, limit, keras.random.SeedGenerator())
        for weight in model.trainable_variables:
            if not any(weight is other for other in model.layers[-1].own_start):
                weight.assign(draw(weight.shape))


def compile_model(config, model, steps_per_epoch):
    """Gives the model its optimizer, loss and metrics; returns the loss."""
    settings = config.training
    later = range(settings.hold_epochs, max(settings.epochs, settings.hold_epochs + 1))
    rates = [settings.learning_rate * settings.decay**n for n in range(len(later) + 1)]
    # Updates count from 0, and a boundary is the last with the rate before it.
    boundaries = [epoch * steps_per_epoch - 1 for epoch in later]
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)
    inner = OPTIMIZERS[settings.optimizer](rate)
    loss = TokenCrossentropy()
    model.compile(
        GuardedOptimizer(inner, clip_norm=settings.clip_norm),
        loss,
        metrics=[TokenLoss(), Perplexity()],
        jit_compile=False,
    )
    return loss


def load_run(run):
    """Returns `(config, model, tokenizer)` of a finished run."""
    run = RunDirectory(run)
    config = load_config(Config, run.require(run.config))
    model = keras.models.load_model(run.require(run.model))
    return config, model, load_tokenizer(run.require(run.source_tokenizer))


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measures a run on its validation and test splits."""

    run: str = "runs/log"
    """Folder of the run."""
    splits: tuple[str, ...] = ()
    """Which splits; by default the validation and the test splits of the run."""


def evaluate(options: Evaluate):
    """Reads each split as one stream, from zero states; writes metrics.json and samples."""
    config, model, tokenizer = load_run(options.run)
    run, data = RunDirectory(options.run), config.data
    carrying = carry_states(model, streams=1)
    results = {}
    for name in options.splits or (data.validation, *data.tests):
        lines = list(Corpus(data, name, config.seed))
        results[name] = report(name, lines, carrying, tokenizer, run)
        measured = json.loads(run.metrics.read_text("utf-8")) if run.metrics.exists() else {}
        run.metrics.write_text(json.dumps(measured | results, indent=2) + "\n", "utf-8")
    print(f"\nscores: {run.metrics}; the least probable lines: {run.samples}", flush=True)
    return results


@dataclasses.dataclass(frozen=True)
class Export:
    """Writes the SavedModel of a run."""

    run: str = "runs/log"
    """Folder of the run."""
    output: str = "saved_models/log"
    """DIRECTORY/NAME; the version is the next free number."""
    max_tokens: int = 100
    """Most tokens that `generate` goes on with, END included."""
    temperature: float = 1.0
    """Below 1 it prefers what is probable, above 1 it dares more."""
    top_k: int | None = None
    """Draw from so many most probable tokens only."""
    top_p: float | None = None
    """Draw from the fewest most probable tokens that have this probability together."""


def export(options: Export):
    """Exports, verifies in a fresh process, and says where."""
    from seqkeras.serving.card import ModelCard
    from seqkeras.serving.export import export_saved_model

    config, model, tokenizer = load_run(options.run)
    run, output, data = RunDirectory(options.run), Path(options.output), config.data
    scorer = TextScorer(model, tokenizer)
    generator = TextGenerator(
        model, tokenizer, options.max_tokens, options.temperature, options.top_k, options.top_p
    )
    metrics = {}
    if run.metrics.exists():
        for name, values in json.loads(run.metrics.read_text("utf-8")).items():
            metrics |= {f"{name}: {key}": value for key, value in values.items()}
    source = "a generated log" if data.path == "builtin" else Path(data.path).name
    examples = list(itertools.islice(Corpus(data, data.validation, config.seed), 4))
    prompts = [" ".join(line.split()[:3]) for line in examples]
    card = ModelCard(
        summary=f"Gives every token of a text ({source}) its log-probability in nats, and goes on "
        "with a text.",
        trained_on=f"{source}, split {data.train!r}. Mind the licence of the data.",
        metrics=metrics or {"not evaluated": "run `evaluate` before `export`"},
        settings={**_described(config.model), "tokenizer": data.tokenizer},
        answers="`log_probabilities` holds one number for each of the `tokens`, END (`</s>`) "
        "included, and `perplexity` is exp of minus their mean. Each text is read by itself. "
        "The signature `generate` goes on with `text`; `seed` fixes how.",
    )
    path = export_saved_model(
        scorer,
        output.parent,
        output.name,
        signatures=scorer.signatures() | generator.signatures(),
        examples={
            "serving_default": {"text": examples},
            "generate": {"text": prompts, "seed": list(range(len(prompts)))},
        },
        unusual={
            "serving_default": {"text": ["", "\u2603\U0001f40c"]},
            "generate": {"text": ["", "\u2603\U0001f40c"], "seed": [0, 2**40]},
        },
        card=card,
    )
    print(f"exported and verified: {path}", flush=True)
    return path


def _described(settings):
    """Returns the settings of a model that were read, as a dict."""
    if settings.row:
        return {"row": settings.row, "samples": settings.samples}
    return dataclasses.asdict(settings)


COMMANDS = {
    "train": train,
    "count": count,
    "evaluate": evaluate,
    "mix": mixture,
    "export": export,
    "predict": predict,
}

if __name__ == "__main__":
    run_commands(COMMANDS, PRESETS, __doc__, lambda run: load_config(Config, run.config))
