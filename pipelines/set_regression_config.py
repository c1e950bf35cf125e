"""The settings of the set-regression pipeline: the only home of each default, and the presets."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Data:
    """Which sets, and what is to be told of them."""

    path: str = "builtin"
    """"builtin" (the maximum of generated sets), or an .npz file with x_SPLIT, y_SPLIT and perhaps
    length_SPLIT, see `seqkeras.data.sets`."""
    largest: int = 10
    """builtin: sets have from 1 to so many elements, each number as likely."""
    highest: float = 100.0
    """builtin: elements are uniform from 0 to this."""
    validation: int = 10000
    """Sets for choosing; of a file so many training sets are held out, at most a fifth."""
    test: int = 10000
    """builtin: sets that only `evaluate` reads; of a file all of its split "test"."""


@dataclasses.dataclass(frozen=True)
class Model:
    """What is trained; see `seqkeras.models.set_transformer`."""

    encoder: Literal["sab", "isab", "rff"] = "sab"
    blocks: int = 2
    units: int = 64
    num_heads: int = 4
    num_inducing: int = 16
    """For "isab", how many learned points there are."""
    pooling: Literal["pma", "mean", "sum", "max"] = "pma"
    layer_norm: bool = False
    standardise: bool = True
    """Scale elements and targets by their statistics over training sets, within the model."""


@dataclasses.dataclass(frozen=True)
class Training:
    """How it is trained."""

    loss: Literal["mean_absolute_error", "mean_squared_error"] = "mean_absolute_error"
    epochs: int = 40
    """Stretches of `steps_per_epoch`."""
    steps_per_epoch: int = 500
    """Batches between two validations."""
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    """"cosine" falls to zero over all epochs."""
    clip_norm: float = 0.0
    """Largest global norm of the gradient; 0.0: no clipping."""
    patience: int | None = None
    """Epochs without a better validation after which training stops; by default never."""
    xla: bool = True
    """Compile by XLA: for layers this small, half the time of a step on a CPU."""
    checkpoint_steps: int = 250
    """Steps between two checkpoints: the most that a kill can lose."""
    log_steps: int = 50
    """Steps between two points of the TensorBoard curves."""
    deterministic: bool = False
    """Bit-identical results for the same seed, also over --resume."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a run does."""

    run: str = "runs/maximum"
    """Folder of the run."""
    resume: bool = False
    """Go on from the last checkpoint of the run."""
    init_from: str | None = None
    """Folder of another run, whose weights this one starts from."""
    seed: int = 1
    repeats: int = 1
    """How many seeds, from `seed` on, to train one after the other, each in RUN/seed-SEED;
    `evaluate` then gives mean and spread."""
    data: Data = Data()
    model: Model = Model()
    training: Training = Training()


_MAXIMUM = Config()

PRESETS = {
    # 4,000 batches of a falling rate; chosen on validation sets.
    "maximum": dataclasses.replace(_MAXIMUM, training=Training(schedule="cosine", epochs=8)),
    # As in Lee et al. 2019, supplement 2.1: raw numbers, 20,000 batches of a constant rate.
    "paper": dataclasses.replace(
        _MAXIMUM, run="runs/maximum-paper", model=Model(standardise=False)
    ),
    "smoke": Config(
        run="runs/smoke_sets",
        data=Data(validation=60, test=100),
        model=Model(units=8, num_heads=2),
        training=Training(
            epochs=2,
            steps_per_epoch=10,
            learning_rate=1e-2,
            xla=False,  # compiling would take longer than training
            checkpoint_steps=5,
            log_steps=5,
        ),
    ),
}
