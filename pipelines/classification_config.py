"""The settings of the classification pipeline: the only home of each default, and the presets."""

import dataclasses
from typing import Literal

from seqkeras.models.cells import CELLS

CellName = Literal[tuple(CELLS)]


@dataclasses.dataclass(frozen=True)
class Data:
    """What is read, and how it becomes sequences."""

    path: str = "builtin"
    """"builtin" (generated control charts), a folder with SPLIT.csv (time series) or SPLIT.tsv
    (label, tab, text), an .npz file with x_SPLIT and y_SPLIT, or tfds:NAME (text)."""
    train: str = "train"
    """Name of the training split."""
    validation: str | None = None
    """Name of the split by which everything is chosen; None: a part of the training split."""
    held_out: float = 0.2
    """That part, the same share of every class."""
    tests: tuple[str, ...] = ("test",)
    """Names of the splits that only `evaluate` reads."""
    tokenizer: Literal["characters", "words", "subwords"] = "words"
    """For text, what a token is; trained on the training split, part of the export."""
    vocabulary_size: int = 8000
    """For text, most tokens of a vocabulary."""
    lowercase: bool = True
    """For text, lower-case it all."""
    max_length: int = 1000
    """Time steps, or tokens, that are read of each sequence; what is longer is cut there."""
    steps_per_batch: int = 4000
    """Most padded steps of a batch, rows times the longest of them."""


@dataclasses.dataclass(frozen=True)
class Model:
    """What is trained; see `seqkeras.models.sequence_classifier`."""

    cell: CellName = "lstm"
    embedding_dim: int = 64
    """For text, size of the embeddings."""
    units: int = 64
    """Size of every cell, in each direction."""
    layers: int = 1
    bidirectional: bool = True
    pooling: Literal["last", "mean", "max"] = "last"
    """What of the last layer decides: its last outputs, or their mean or maximum over time."""
    dropout: float = 0.2
    """Rate on embeddings, between layers and before the softmax."""


@dataclasses.dataclass(frozen=True)
class Training:
    """How it is trained."""

    epochs: int = 30
    """Passes over the training split, unless `patience` ends training before."""
    learning_rate: float = 3e-3
    """The peak of the schedule."""
    schedule: Literal["constant", "inverse_square_root", "cosine"] = "cosine"
    warmup_steps: int = 20
    clip_norm: float = 1.0
    """Largest global norm of the gradient."""
    patience: int = 10
    """Epochs without a better validation loss after which training stops."""
    average: int = 1
    """How many of the best epochs' checkpoints are averaged into the final model."""
    checkpoint_steps: int = 200
    """Steps between two checkpoints: the most that a kill can lose."""
    log_steps: int = 20
    """Steps between two points of the TensorBoard curves."""
    deterministic: bool = False
    """Bit-identical results for the same seed, also over --resume."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a run does."""

    run: str = "runs/control_charts"
    """Folder of the run."""
    resume: bool = False
    """Go on from the last checkpoint of the run."""
    init_from: str | None = None
    """Folder of another run with the same classes, whose tokenizer and weights this one starts
    from; series are standardised by the statistics of the new training split."""
    seed: int = 1
    data: Data = Data()
    model: Model = Model()
    training: Training = Training()


_BUILTIN = Config(data=Data(tests=("test", "longer")))

PRESETS = {
    "builtin": _BUILTIN,
    "basic_motions": Config(
        run="runs/basic_motions",
        data=Data(path="BasicMotions.npz", steps_per_batch=800),
        model=Model(cell="gru", pooling="mean"),
        training=Training(epochs=60, patience=30),
    ),
    "gun_point": Config(
        run="runs/gun_point",
        data=Data(path="GunPoint.npz", steps_per_batch=1200),
        model=Model(cell="gru", pooling="max"),
        training=Training(epochs=150, patience=60),
    ),
    "smoke": dataclasses.replace(
        _BUILTIN,
        run="runs/smoke_classification",
        model=Model(units=8, cell="gru"),
        training=Training(epochs=2, learning_rate=1e-2, log_steps=5, checkpoint_steps=5),
    ),
}
