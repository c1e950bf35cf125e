"""Where a run keeps its things, and its config as JSON; shared by all pipelines.

RUN/config.json                  the `Config` of the run, every default written out
    source.tokenizer.json        what strings become; of a language model the only one
    target.tokenizer.json
    labels.json                  the classes of a classifier
    corpus/                      the ids that a language model is trained on, as they are read
    checkpoints/                 last.npz, best.npz, epoch-0007.npz
    model.keras                  the trained model
    logs/                        TensorBoard
    metrics.json                 what `evaluate` measured
    samples/                     translations, one file for each test set
    plots/                       pictures
"""

import dataclasses
import json
import typing
from pathlib import Path


class RunDirectory:
    """The paths of one run.

    Args:
        path: The folder; `create` makes it.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.source_tokenizer = self.path / "source.tokenizer.json"
        self.target_tokenizer = self.path / "target.tokenizer.json"
        self.labels = self.path / "labels.json"
        self.corpus = self.path / "corpus"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model.keras"
        self.logs = self.path / "logs"
        self.metrics = self.path / "metrics.json"
        self.samples = self.path / "samples"
        self.plots = self.path / "plots"

    def create(self):
        """Makes the folder and returns self."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    def require(self, path):
        """Returns a path of this run that must exist.

        Raises:
            FileNotFoundError: naming the command that makes it.
        """
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing: expected the folder of a finished run. Train one with "
                f"`train --run {self.path}`; where training was cut off, give its command again "
                "with --resume."
            )
        return path


def save_config(config, path):
    """Writes a dataclass, nested ones included, as JSON."""
    Path(path).write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", "utf-8")


def load_config(kind, path):
    """Reads what `save_config` wrote, as an instance of the dataclass `kind`.

    Raises:
        ValueError: if the file has a setting that `kind` does not know, or lacks one.
    """
    return _build(kind, json.loads(Path(path).read_text("utf-8")), str(path))


def _build(kind, values, where):
    fields = typing.get_type_hints(kind)
    if set(values) != set(fields):
        raise ValueError(
            f"{where}: expected the settings {sorted(fields)}, got {sorted(values)}. The file was "
            "written by another version; train the run again, or edit the file."
        )
    for name, field in fields.items():
        if dataclasses.is_dataclass(field):
            values[name] = _build(field, values[name], f"{where}, {name}")
        elif isinstance(values[name], list):
            values[name] = tuple(values[name])
    return kind(**values)


def changed_settings(old, new, prefix=""):
    """Returns `["training.epochs: 3 -> 5", ...]`, what differs between two configs."""
    changes = []
    for field in dataclasses.fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if dataclasses.is_dataclass(before):
            changes += changed_settings(before, after, f"{prefix}{field.name}.")
        elif before != after:
            changes.append(f"{prefix}{field.name}: {before!r} -> {after!r}")
    return changes


def claim_run(run, config, may_change=("training.epochs",)):
    """Writes the config into a new run; refuses to mix two runs in one folder.

    Args:
        run: `RunDirectory`.
        config: A config dataclass with `run` and `resume`.
        may_change: Names of the settings that may differ in a run that is resumed.

    Raises:
        FileExistsError: the folder holds a run, and `resume` is False.
        ValueError: `resume` is True, and the folder's run has other settings.
    """
    if config.resume and run.config.exists():
        old = load_config(type(config), run.config)
        same = dataclasses.replace(config, resume=old.resume, run=old.run)
        changes = changed_settings(old, same)
        changes = [c for c in changes if c.split(":")[0] not in may_change]
        if changes:
            raise ValueError(
                f"--resume: expected the settings of {run.config}, got others: "
                f"{'; '.join(changes)}. Only {', '.join(may_change)} may change; for anything else "
                "start another run."
            )
    elif run.config.exists() and (run.model.exists() or any(run.checkpoints.glob("*.npz"))):
        raise FileExistsError(
            f"{run.path} holds a run. Go on with it by --resume, or choose another folder by --run."
        )
    save_config(dataclasses.replace(config, resume=False), run.config)
