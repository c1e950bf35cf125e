"""The settings of the translation pipeline: the only home of each default, and the presets."""

import dataclasses
from typing import Literal

from seqkeras.decoding.translator import BeamSettings


@dataclasses.dataclass(frozen=True)
class Data:
    """What is read, and how it becomes tokens."""

    path: str = "builtin"
    """"builtin" (generated dates), a folder with SPLIT.LANGUAGE or SPLIT.tsv files, or
    tfds:NAME."""
    source: str = "en"
    """Suffix of the source files, or the source language of a TFDS set."""
    target: str = "de"
    """Suffix of the target files, or the target language."""
    train: str = "train"
    """Name of the training split."""
    validation: str = "validation"
    """Name of the split by which everything is chosen."""
    tests: tuple[str, ...] = ("unseen_dates", "unseen_combinations")
    """Names of the splits that only `evaluate` reads."""
    tokenizer: Literal["characters", "words", "subwords"] = "characters"
    """What a token is; trained on the training split, saved with the run, part of the export."""
    vocabulary_size: int = 1000
    """Most tokens of a vocabulary."""
    joint_vocabulary: bool = False
    """One tokenizer, trained on both sides, for both sides."""
    lowercase: bool = False
    """Lower-case all text, also what the model writes."""
    max_length: int = 100
    """Training and validation pairs with a longer side, in tokens, are left out, and counted."""
    tokens_per_batch: int = 4096
    """Most padded positions of a batch on either side."""


@dataclasses.dataclass(frozen=True)
class Model:
    """What is trained; see `seqkeras.models`."""

    family: Literal["attention_seq2seq", "seq2seq", "transformer"] = "attention_seq2seq"
    cell: Literal["gru", "gru_reset_after", "lstm", "simple_rnn"] = "gru"
    """Of encoder and decoder; "gru" resets before the matmul, as in the notes. Like all that is
    said to be of cells below, it is not for transformer."""
    embedding_dim: int = 64
    """Size of the token embeddings of a model of cells."""
    units: int = 128
    """Size of every cell, of each direction, of the attention's score and of the readout; of
    transformer, the size of the embeddings and of every layer."""
    encoder_layers: int = 1
    decoder_layers: int = 1
    """For seq2seq both depths must be the same: the states go over one to one."""
    dropout: float = 0.1
    """Rate on embeddings, between layers, on the memory and before the logits; of transformer, on
    embeddings and on what each part of a layer adds."""
    first_token: Literal["start", "state"] = "start"
    """Whether the first token comes after a START token or from the encoder's state alone."""
    attention: Literal["bahdanau", "dot", "scaled_dot", "general"] = "bahdanau"
    """This and the three below: attention_seq2seq only."""
    query: Literal["previous", "current"] = "previous"
    """Which state asks: the one before the step (Bahdanau) or after it (Luong)."""
    input_feeding: bool = True
    """For query "current": what the decoder made of state and context enters its next step."""
    memory_units: int | None = None
    """Size of a learned map of the memory (notes B (5)); the dot products need that of `units`."""
    reverse_source: bool = True
    """For seq2seq: read the source from its end."""
    hidden_units: int = 256
    """This and all below: transformer only. Width of the feed-forward networks."""
    num_heads: int = 4
    """A divisor of `units`."""
    attention_dropout: float = 0.0
    """Rate on the attention weights."""
    hidden_dropout: float = 0.0
    """Rate inside the feed-forward networks."""
    norm: Literal["pre", "post"] = "pre"
    """Whether layer norm stands before each part of a layer, or after its sum (the paper)."""
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    """Learned ones are as many as `data.max_length` and the decoding's limits ask for."""
    tied_output: bool = True
    """One matrix embeds the target and makes the logits; with a joint vocabulary, also the
    source."""


@dataclasses.dataclass(frozen=True)
class Training:
    """How it is trained."""

    epochs: int = 5
    """Passes over the training split, unless `patience` ends training before."""
    learning_rate: float = 3e-3
    """The peak of the schedule."""
    schedule: Literal["constant", "inverse_square_root", "cosine"] = "cosine"
    warmup_steps: int = 100
    beta_2: float = 0.999
    """Of Adam: the decay of the second moments; the Transformer's paper has 0.98."""
    clip_norm: float = 1.0
    """Largest global norm of the gradient."""
    label_smoothing: float = 0.0
    """Share of the target that goes evenly to all words. A Transformer smooths in training only:
    its validation loss is the logarithm of its perplexity."""
    accumulate_steps: int = 1
    """Batches for each update."""
    mixed_precision: bool = False
    """Compute in bfloat16, keep the weights in float32; meant for accelerators."""
    scheduled_sampling: float = 0.0
    """Above 0: k of the inverse sigmoid decay of teacher forcing, in updates (Bengio et al.
    2015)."""
    patience: int = 5
    """Epochs without a better validation perplexity after which training stops."""
    average: int = 1
    """How many of the best epochs' checkpoints are averaged into the final model."""
    checkpoint_steps: int = 200
    """Steps between two checkpoints: the most that a kill can lose."""
    log_steps: int = 20
    """Steps between two points of the TensorBoard curves."""
    deterministic: bool = False
    """Bit-identical results for the same seed, also over --resume."""


@dataclasses.dataclass(frozen=True)
class Search:
    """Changes to the decoding settings of a run; None keeps what its config says."""

    beam_size: int | None = None
    """Hypotheses kept for each sentence; 1 is greedy search."""
    n_best: int | None = None
    """Hypotheses that the signature n_best returns; at most the beam size."""
    length_penalty: float | None = None
    coverage_penalty: float | None = None
    no_repeat_ngram: int | None = None
    early_stopping: bool | None = None
    length_factor: float | None = None
    length_offset: int | None = None

    def apply(self, settings):
        """Returns `BeamSettings` with the changes; `n_best` never exceeds the beam."""
        changes = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        changed = dataclasses.replace(settings, **changes)
        if self.n_best is None:
            changed = dataclasses.replace(changed, n_best=min(changed.n_best, changed.beam_size))
        return changed


AS_CONFIGURED = Search()

# A date in ISO form has ten characters, however long the source is.
_DATE_SEARCH = BeamSettings(length_penalty=0.0, length_factor=0.0, length_offset=12)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a run does."""

    run: str = "runs/dates"
    """Folder of the run."""
    resume: bool = False
    """Go on from the last checkpoint of the run."""
    init_from: str | None = None
    """Folder of another run, whose tokenizers and weights this one starts from."""
    seed: int = 1
    data: Data = Data()
    model: Model = Model()
    training: Training = Training()
    decoding: BeamSettings = _DATE_SEARCH


_SMALL_TEXT = Config(
    run="runs/multi30k",
    data=Data(
        path="multi30k",
        validation="val",
        tests=("test_2016_flickr",),
        tokenizer="subwords",
        vocabulary_size=8000,
        joint_vocabulary=True,
        tokens_per_batch=2048,
    ),
    model=Model(embedding_dim=256, units=256, dropout=0.3),
    training=Training(
        epochs=25,
        learning_rate=1.5e-3,
        warmup_steps=200,
        label_smoothing=0.1,
        average=3,
    ),
    decoding=BeamSettings(length_factor=1.5, length_offset=5),
)

# Pre-norm, so that a short warm-up and a high rate do.
_TINY_TRANSFORMER = dataclasses.replace(
    _SMALL_TEXT,
    run="runs/multi30k-transformer",
    data=dataclasses.replace(_SMALL_TEXT.data, vocabulary_size=10_000),
    model=Model(family="transformer", encoder_layers=4, decoder_layers=4, dropout=0.3),
    training=dataclasses.replace(
        _SMALL_TEXT.training,
        epochs=60,
        learning_rate=3e-3,
        schedule="inverse_square_root",
        warmup_steps=1000,
        beta_2=0.98,
        patience=15,
        average=5,
    ),
)

PRESETS = {
    "dates": Config(),
    "multi30k": _SMALL_TEXT,
    "multi30k-lstm": dataclasses.replace(
        _SMALL_TEXT,
        run="runs/multi30k-lstm",
        model=dataclasses.replace(_SMALL_TEXT.model, cell="lstm", memory_units=256),
    ),
    "multi30k-seq2seq": dataclasses.replace(
        _SMALL_TEXT,
        run="runs/multi30k-seq2seq",
        model=dataclasses.replace(_SMALL_TEXT.model, family="seq2seq", cell="gru"),
    ),
    "multi30k-transformer": _TINY_TRANSFORMER,
    "smoke": dataclasses.replace(
        Config(),
        run="runs/smoke",
        model=Model(embedding_dim=8, units=16),
        training=Training(epochs=1, log_steps=5, checkpoint_steps=5),
    ),
}
