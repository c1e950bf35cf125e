"""Translation: pairs of texts in, a model that translates raw strings out.

    python -m pipelines.translation train --run runs/dates
    python -m pipelines.translation train --preset multi30k --data.path FOLDER --run runs/multi30k
    python -m pipelines.translation evaluate --run runs/dates
    python -m pipelines.translation export --run runs/dates --output saved_models/dates
    python -m pipelines.translation predict --saved-model saved_models/dates

The script reads in the order in which data flows: make_datasets, build_model, train, evaluate,
export; the settings stand in translation_config.py, what is watched meanwhile in
translation_callbacks.py. Copy them and change what you like.
"""

import dataclasses
import json
from pathlib import Path
from typing import Literal, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipelines.command_line import run_commands
from pipelines.finish_run import finish_run
from pipelines.load_translator import load_translator
from pipelines.predict import predict
from pipelines.run_directory import RunDirectory, changed_settings, claim_run, load_config
from pipelines.start_run import seed_run, take_weights
from pipelines.text_pairs import read_pairs
from pipelines.translation_callbacks import make_callbacks
from pipelines.translation_config import AS_CONFIGURED, PRESETS, Config, Search
from pipelines.translation_report import report, scores_of_runs
from seqkeras import models
from seqkeras.data import TokenBatches, encode_pairs
from seqkeras.data.tokenizers import load_tokenizer, train_tokenizer
from seqkeras.decoding.corpus import with_look
from seqkeras.decoding.threads import one_thread_a_batch
from seqkeras.training.adam import Adam
from seqkeras.training.callbacks import Checkpointing
from seqkeras.training.checkpoints import average_checkpoints
from seqkeras.training.losses import TokenCrossentropy
from seqkeras.training.metrics import Perplexity, TokenAccuracy, TokenLoss
from seqkeras.training.optimizer import GuardedOptimizer
from seqkeras.training.padding_share import PaddingShare
from seqkeras.training.resume import fit
from seqkeras.training.run_lock import run_lock
from seqkeras.training.schedules import build_schedule


class Datasets(NamedTuple):
    """What training reads.

    Attributes:
        source_tokenizer, target_tokenizer: `Tokenizer`s.
        batches: `TokenBatches` of the training pairs.
        validation: Finite dataset of the validation pairs.
        validation_pairs: The same as strings.
        target_counts: Int array `(V,)`, how often training has each target token.
    """

    source_tokenizer: object
    target_tokenizer: object
    batches: TokenBatches
    validation: tf.data.Dataset
    validation_pairs: list
    target_counts: np.ndarray


def make_datasets(config):
    """Reads, tokenizes and batches; writes the tokenizers into the run, or reads them there."""
    data, run = config.data, RunDirectory(config.run)
    train_pairs = read_pairs(data, data.train, config.seed)
    validation_pairs = read_pairs(data, data.validation, config.seed)
    source_tokenizer, target_tokenizer = _tokenizers(config, run, train_pairs)
    encoded = []
    for pairs, name in ((train_pairs, data.train), (validation_pairs, data.validation)):
        rows, lengths = encode_pairs(
            pairs, source_tokenizer, target_tokenizer, data.max_length, name
        )
        print(lengths, flush=True)
        encoded.append(rows)
    options = {"seed": config.seed, "feed_targets": config.model.family == "transformer"}
    batches, validation = (TokenBatches(x, data.tokens_per_batch, **options) for x in encoded)
    print(
        f"{batches.steps_per_epoch} batches an epoch, {batches.padding_share():.1%} padding; "
        f"vocabularies of {source_tokenizer.vocabulary_size} and "
        f"{target_tokenizer.vocabulary_size} {data.tokenizer}",
        flush=True,
    )
    return Datasets(
        source_tokenizer,
        target_tokenizer,
        batches,
        validation.evaluation_dataset(),
        validation_pairs,
        np.bincount(encoded[0].target_values, minlength=target_tokenizer.vocabulary_size),
    )


def _tokenizers(config, run, pairs):
    data = config.data
    if config.resume and run.target_tokenizer.exists():
        return load_tokenizer(run.source_tokenizer), load_tokenizer(run.target_tokenizer)
    if config.init_from:
        start = RunDirectory(config.init_from)
        source = load_tokenizer(start.require(start.source_tokenizer))
        target = load_tokenizer(start.require(start.target_tokenizer))
    else:
        sources, targets = map(list, zip(*pairs, strict=True))
        options = {"lowercase": data.lowercase}
        if data.joint_vocabulary:
            both = sources + targets
            source = train_tokenizer(data.tokenizer, both, data.vocabulary_size, **options)
            target = source
        else:
            source = train_tokenizer(data.tokenizer, sources, data.vocabulary_size, **options)
            target = train_tokenizer(data.tokenizer, targets, data.vocabulary_size, **options)
    source.save(run.source_tokenizer)
    target.save(run.target_tokenizer)
    return source, target


def build_model(config, source_vocabulary, target_vocabulary):
    """Returns the untrained `keras.Model`."""
    m = config.model
    if m.family == "transformer":
        return _build_transformer(config, source_vocabulary, target_vocabulary)
    common = {
        "cell": m.cell,
        "embedding_dim": m.embedding_dim,
        "units": m.units,
        "dropout": m.dropout,
        "first_token": m.first_token,
        "scheduled_sampling": config.training.scheduled_sampling > 0.0,
    }
    if m.family == "attention_seq2seq":
        return models.attention_seq2seq(
            source_vocabulary,
            target_vocabulary,
            encoder_layers=m.encoder_layers,
            decoder_layers=m.decoder_layers,
            attention=m.attention,
            query=m.query,
            input_feeding=m.input_feeding if m.query == "current" else None,
            memory_units=m.memory_units,
            **common,
        )
    if m.encoder_layers != m.decoder_layers:
        raise ValueError(
            "seq2seq: expected the same number of layers in encoder and decoder, got "
            f"{m.encoder_layers} and {m.decoder_layers}."
        )
    return models.seq2seq(
        source_vocabulary,
        target_vocabulary,
        layers=m.encoder_layers,
        reverse_source=m.reverse_source,
        readout_units=m.units,
        **common,
    )


def _build_transformer(config, source_vocabulary, target_vocabulary):
    m, limits = config.model, config.decoding
    longest = int(limits.length_factor * config.data.max_length) + limits.length_offset
    return models.transformer(
        source_vocabulary,
        target_vocabulary,
        layers=m.encoder_layers,
        decoder_layers=m.decoder_layers,
        units=m.units,
        hidden_units=m.hidden_units,
        num_heads=m.num_heads,
        dropout=m.dropout,
        attention_dropout=m.attention_dropout,
        hidden_dropout=m.hidden_dropout,
        norm=m.norm,
        positions=m.positions,
        max_length=max(longest, config.data.max_length),
        shared_embedding=config.data.joint_vocabulary and m.tied_output,
        tied_output=m.tied_output,
    )


def train(config: Config):
    """Trains a run, or goes on with it; leaves the model in the run as model.keras."""
    run = RunDirectory(config.run).create()
    with run_lock(run.path):
        return _train(config, run)


def _train(config, run):
    claim_run(run, config)
    seed_run(config)
    precision = "mixed_bfloat16" if config.training.mixed_precision else "float32"
    keras.mixed_precision.set_dtype_policy(precision)

    datasets = make_datasets(config)
    model = build_model(
        config, datasets.source_tokenizer.vocabulary_size, datasets.target_tokenizer.vocabulary_size
    )
    print(f"{config.model.family}: {model.count_params():,} parameters", flush=True)
    take_weights(config, model)
    trainee = training_model(config, model)
    loss = compile_model(config, trainee, datasets.batches.steps_per_epoch)
    checkpointing = Checkpointing(
        run.checkpoints, config.training.checkpoint_steps, keep_best=config.training.average
    )
    history = fit(
        trainee,
        datasets.batches,
        config.training.epochs,
        make_callbacks(config, run, model, datasets, checkpointing, loss),
        datasets.validation,
        checkpointing,
        config.resume,
    )
    average_checkpoints(checkpointing.epoch_paths(), trainee)  # the mean of the best epochs
    finish_run(run, model, history)
    return history


def training_model(config, model):
    """Returns what is trained: of a Transformer a model of the same layers that gives losses."""
    if config.model.family != "transformer":
        return model
    return models.with_targets(model, config.training.label_smoothing)


def compile_model(config, model, steps_per_epoch):
    """Gives the model its optimizer, loss and metrics; returns the loss."""
    settings = config.training
    gives_losses = len(model.output.shape) == 2
    smoothing = 0.0 if gives_losses else settings.label_smoothing  # else the losses have it
    updates = settings.epochs * steps_per_epoch // settings.accumulate_steps
    warmup = 0 if settings.schedule == "constant" else min(settings.warmup_steps, updates // 2)
    loss = TokenCrossentropy(smoothing)
    optimizer = GuardedOptimizer(
        Adam(
            build_schedule(settings.schedule, settings.learning_rate, warmup, updates),
            beta_2=settings.beta_2,
        ),
        clip_norm=settings.clip_norm,
        accumulate_steps=settings.accumulate_steps,
        batch_weight=loss.token_count,
    )
    metrics = [TokenLoss(smoothing), Perplexity(), PaddingShare()]
    if not gives_losses:
        metrics.append(TokenAccuracy())
    model.compile(optimizer, loss, metrics=metrics, jit_compile=False)
    return loss


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measures a run on its validation and test splits."""

    run: str = "runs/dates"
    """Folder of the run."""
    splits: tuple[str, ...] = ()
    """Which splits; by default the validation and all test splits of the run."""
    ensemble: tuple[str, ...] = ()
    """Further runs with the same tokenizers, or checkpoints (.npz) of runs, decoded together."""
    compare: tuple[str, ...] = ()
    """Folders of evaluated runs whose scores by length are drawn beside this one's."""
    search: Search = AS_CONFIGURED
    batch_size: int = 64
    """Sentences decoded at a time; the results do not depend on it."""
    length_unit: Literal["words", "characters"] = "words"
    """What the lengths of the table by length count."""


def evaluate(options: Evaluate):
    """Translates the splits and writes metrics.json, samples and plots into the run."""
    one_thread_a_batch()
    config, translator = load_translator(options.run, options.ensemble, options.search)
    run = RunDirectory(options.run)
    splits = options.splits or (config.data.validation, *config.data.tests)
    compared = scores_of_runs(options.compare, splits)
    pairs = {split: read_pairs(config.data, split, config.seed) for split in splits}
    functions = with_look(translator)
    used = _decoded_with(config, options)
    results = {}
    for split in splits:
        name = f"{split}{_variant(run, config, options)}"
        results[split] = report(name, split, pairs[split], functions, run, compared, options) | used
        measured = json.loads(run.metrics.read_text("utf-8")) if run.metrics.exists() else {}
        measured[name] = results[split]
        run.metrics.write_text(json.dumps(measured, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(
        f"\nscores: {run.metrics}; translations: {run.samples}; pictures: {run.plots}", flush=True
    )
    return results


def _decoded_with(config, options):
    """What scores depend on besides the run, as metrics.json keeps it beside them."""
    return {"decoding": dataclasses.asdict(config.decoding), "models": 1 + len(options.ensemble)}


def _variant(run, config, options):
    """How results are told apart that another search, or an ensemble, gave: "" for neither."""
    own = load_config(Config, run.config).decoding
    changes = [change.replace(" -> ", " to ") for change in changed_settings(own, config.decoding)]
    if options.ensemble:
        changes.append(f"{1 + len(options.ensemble)} models")
    return f" ({', '.join(changes)})" if changes else ""


@dataclasses.dataclass(frozen=True)
class Export:
    """Writes the SavedModel of a run."""

    run: str = "runs/dates"
    """Folder of the run."""
    output: str = "saved_models/dates"
    """DIRECTORY/NAME; the version is the next free number."""
    ensemble: tuple[str, ...] = ()
    """Further runs, or checkpoints (.npz) of runs, to decode together with this one."""
    search: Search = AS_CONFIGURED


def export(options: Export):
    """Exports, verifies in a fresh process, and says where."""
    from seqkeras.serving.card import ModelCard
    from seqkeras.serving.translators import SCORES, export_translator

    config, translator = load_translator(options.run, options.ensemble, options.search)
    run, output = RunDirectory(options.run), Path(options.output)
    used = _decoded_with(config, options)
    metrics = {}
    if run.metrics.exists():
        for name, values in json.loads(run.metrics.read_text("utf-8")).items():
            if {key: values[key] for key in used} == used:  # scores of another search say nothing
                hidden = {"by_length", *used}
                metrics |= {f"{name}: {k}": v for k, v in values.items() if k not in hidden}
    pairs = read_pairs(config.data, config.data.validation, config.seed)
    data = (
        "generated dates (Babel's CLDR data)"
        if config.data.path == "builtin"
        else (f"{Path(config.data.path).name}, {config.data.source} to {config.data.target}")
    )
    card = ModelCard(
        summary=f"Translates text: {data}. Input like its training data, one sentence a string; "
        "what is far from that comes out as fluent nonsense.",
        trained_on=f"{data}, split {config.data.train!r}. Mind the licence of the data.",
        metrics=metrics or {"not evaluated": "run `evaluate` before `export`"},
        settings={
            **dataclasses.asdict(config.model),
            "tokenizer": config.data.tokenizer,
            **dataclasses.asdict(config.decoding),
            "models": used["models"],
        },
        answers=SCORES,
    )
    path = export_translator(
        translator,
        output.parent,
        output.name,
        card=card,
        example_texts=[source for source, _ in pairs[:4]],
    )
    print(f"exported and verified: {path}", flush=True)
    return path


COMMANDS = {"train": train, "evaluate": evaluate, "export": export, "predict": predict}

if __name__ == "__main__":
    run_commands(COMMANDS, PRESETS, __doc__, lambda run: load_config(Config, run.config))
