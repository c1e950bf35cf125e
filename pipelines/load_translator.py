"""From the folders of runs to a translator: what `evaluate` and `export` start with."""

import dataclasses
from pathlib import Path

import keras

from pipelines.run_directory import RunDirectory, load_config
from pipelines.translation_config import AS_CONFIGURED, Config
from seqkeras import models
from seqkeras.data.tokenizers import load_tokenizer
from seqkeras.decoding.translator import Translator
from seqkeras.training.checkpoints import load_weights_only


def load_translator(run, ensemble=(), search=AS_CONFIGURED):
    """Returns `(config, translator)` of a run or an ensemble; the config has the search used."""
    run = RunDirectory(run)
    config = load_config(Config, run.require(run.config))
    config = dataclasses.replace(config, decoding=search.apply(config.decoding))
    source = load_tokenizer(run.require(run.source_tokenizer))
    target = load_tokenizer(run.require(run.target_tokenizer))
    members = [run.require(run.model), *map(Path, ensemble)]
    parts = [models.decoding_parts(_load_member(member, target)) for member in members]
    return config, Translator(parts, source, target, config.decoding)


def _load_member(path, target):
    """Returns the model of a run's folder, of its model.keras, or of one of its checkpoints."""
    checkpoint = path if path.suffix == ".npz" else None
    folder = path.parent.parent if checkpoint else path.parent if path.is_file() else path
    run = RunDirectory(folder)
    if load_tokenizer(run.require(run.target_tokenizer)).vocabulary != target.vocabulary:
        raise ValueError(
            f"ensemble: expected models of one target vocabulary, that of {path} is another. Train "
            "it with --init-from, or on the same data with the same seed."
        )
    model = keras.models.load_model(run.require(run.model))
    if checkpoint:
        load_weights_only(checkpoint, model)
    return model
