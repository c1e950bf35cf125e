"""What is watched while a translation model trains: curves, samples, attention, embeddings."""

import dataclasses

from seqkeras import models
from seqkeras.decoding.corpus import with_look
from seqkeras.decoding.translator import Translator
from seqkeras.training.callbacks import (
    EarlyStopping,
    EmbeddingProjector,
    Progress,
    SampleTranslations,
    ScheduledSampling,
    StopOnNonFinite,
    TensorBoardLogger,
)


def make_callbacks(config, run, model, datasets, checkpointing, loss):
    """Returns the callbacks of a training.

    Args:
        config: `Config` of the run.
        run: `RunDirectory`.
        model: The `keras.Model` that translates.
        datasets: `Datasets` of translation.py.
        checkpointing: `Checkpointing` that `fit` writes by.
        loss: `TokenCrossentropy` of the training.
    """
    greedy = dataclasses.replace(config.decoding, beam_size=1, n_best=1, coverage_penalty=0.0)
    parts = models.decoding_parts(model)
    translator = Translator(
        [parts],
        datasets.source_tokenizer,
        datasets.target_tokenizer,
        greedy,
    )
    functions = with_look(translator)
    sources, references = map(list, zip(*datasets.validation_pairs[:4], strict=True))
    callbacks = [
        StopOnNonFinite(checkpointing.last_path),
        Progress(loss.token_count),
        EarlyStopping(config.training.patience),
        TensorBoardLogger(
            run.logs,
            config.training.log_steps,
            SampleTranslations(
                sources,
                lambda texts: [t.decode() for t in functions["translate"](texts)["text"].numpy()],
                references,
                _attention_images(functions),
            ),
            EmbeddingProjector(
                parts.target_embeddings,
                datasets.target_tokenizer.vocabulary,
                datasets.target_counts,
            ),
        ),
    ]
    if config.training.scheduled_sampling > 0.0:
        decay = config.training.scheduled_sampling
        callbacks.append(ScheduledSampling(model.get_layer("decoder").sampling_rate, decay))
    return callbacks


def _attention_images(functions):
    """Returns what draws the attention of texts: of a Transformer every layer and head."""
    from seqkeras.analysis.attention_maps import attention_images
    from seqkeras.analysis.head_maps import head_images

    if "look" in functions:
        return lambda texts: head_images(functions["look"](texts))
    if "align" in functions:
        return lambda texts: attention_images(functions["align"](texts))
    return None
