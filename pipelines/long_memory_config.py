"""The settings of the long-memory pipeline: the only home of each default, and the presets."""

import dataclasses
from typing import Literal

from pipelines.long_memory_cells import CellName, recipe


@dataclasses.dataclass(frozen=True)
class Data:
    """What is to be remembered."""

    path: str = "builtin"
    """"builtin" for the generated tasks, adding and copy; for mnist an .npz file of images."""
    length: int = 200
    """T: the steps of the adding problem, the blanks between symbols and answer of copy."""
    shrink: int = 1
    """mnist: each square of so many pixels a side becomes one; 2 makes 28 × 28 images 14 × 14."""
    permuted: bool = False
    """mnist: read the pixels in one random order."""
    permutation_seed: int = 1
    """Which order that is."""
    validation: int = 1000
    """Examples for choosing; mnist holds out the last of the training images."""
    test: int = 10000
    """Examples that only `evaluate` reads."""


@dataclasses.dataclass(frozen=True)
class Model:
    """What is trained."""

    cell: CellName = "lstm"
    """See long_memory_cells.py."""
    units: int | None = None
    """Size of the state; by default that of long_memory_cells.py for the task and the cell."""


@dataclasses.dataclass(frozen=True)
class Training:
    """How it is trained."""

    minutes: float | None = None
    """Stop with the last epoch that fits into so many minutes, interruptions not counted."""
    epochs: int = 50
    """Stop after so many stretches of `steps_per_epoch`, if the minutes don't end it before."""
    steps_per_epoch: int = 200
    """Batches between two validations."""
    batch_size: int = 50
    optimizer: Literal["rmsprop", "adam"] | None = None
    """This and the next two are by default those of long_memory_cells.py."""
    learning_rate: float | None = None
    clip_norm: float | None = None
    """Largest global norm of the gradient; 0.0: no clipping."""
    schedule: Literal["constant", "cosine"] = "constant"
    """"cosine" falls to zero over all epochs: choose them to fit into the minutes."""
    patience: int | None = None
    """Epochs without a better validation after which training stops; by default never."""
    checkpoint_steps: int = 100
    """Steps between two checkpoints: the most that a kill can lose."""
    log_steps: int = 20
    """Steps between two points of the TensorBoard curves."""
    deterministic: bool = False
    """Bit-identical results for the same seed and steps, also over --resume."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a run does."""

    run: str = "runs/adding/{cell}"
    """Folder of the run; {cell} stands for the name of the cell."""
    resume: bool = False
    """Go on from the last checkpoint of the run."""
    init_from: str | None = None
    """Folder of another run, whose weights this one starts from."""
    seed: int = 1
    task: Literal["adding", "copy", "mnist"] = "adding"
    data: Data = Data()
    model: Model = Model()
    training: Training = Training()


def resolved(config):
    """Returns the config with what it leaves to long_memory_cells.py written out."""
    ours = recipe(config.task, config.model.cell)
    model, training = config.model, config.training
    if model.units is None:
        model = dataclasses.replace(model, units=ours.units)
    for name in ("optimizer", "learning_rate", "clip_norm"):
        if getattr(training, name) is None:
            training = dataclasses.replace(training, **{name: getattr(ours, name)})
    run = config.run.replace("{cell}", model.cell)
    return dataclasses.replace(config, run=run, model=model, training=training)


_MNIST = Config(
    run="runs/mnist/{cell}",
    task="mnist",
    data=Data(validation=5000),
    training=Training(minutes=20.0, epochs=1000, steps_per_epoch=250, batch_size=64),
)


def _variant(config, run, **data):
    """Returns a preset whose data differ from those of another."""
    return dataclasses.replace(config, run=run, data=dataclasses.replace(config.data, **data))


_SMALL_MNIST = dataclasses.replace(
    _variant(_MNIST, "runs/small-mnist/{cell}", shrink=2),
    training=dataclasses.replace(_MNIST.training, minutes=10.0),
)

PRESETS = {
    "adding": Config(),
    "copy": Config(run="runs/copy/{cell}", task="copy", training=Training(batch_size=20)),
    "mnist": _MNIST,
    "permuted-mnist": _variant(_MNIST, "runs/permuted-mnist/{cell}", permuted=True),
    "small-mnist": _SMALL_MNIST,
    "small-permuted-mnist": _variant(
        _SMALL_MNIST, "runs/small-permuted-mnist/{cell}", permuted=True
    ),
    "smoke": Config(
        run="runs/smoke/{cell}",
        data=Data(length=10, validation=50, test=100),
        model=Model(units=8),
        training=Training(epochs=2, steps_per_epoch=10, checkpoint_steps=5, log_steps=5),
    ),
}
