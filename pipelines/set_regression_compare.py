"""`compare`: one picture and one table of several models of sets, which it can train before."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Literal

from pipelines.learning_curves import load_curve, load_scores
from pipelines.run_directory import RunDirectory
from pipelines.set_regression_config import PRESETS
from pipelines.set_regression_report import plot_comparison, table

_ROOT = Path(__file__).parents[1]
_MODELS = tuple(f"{e}-{p}" for e in ("sab", "isab", "rff") for p in ("pma", "mean", "sum", "max"))


@dataclasses.dataclass(frozen=True)
class Compare:
    """Draws evaluated runs of one task together; with --models, trains and evaluates them first."""

    runs: tuple[str, ...] = ()
    """Folders of evaluated runs."""
    models: tuple[Literal[_MODELS], ...] = ()
    """ENCODER-POOLING to train one after the other, each in a process of its own; what is finished,
    or was interrupted, is gone on with."""
    preset: Literal[tuple(PRESETS)] = "maximum"
    """For --models: the data and how they are trained."""
    repeats: int = 1
    """For --models: how many seeds of each."""
    output: str = "runs/set_comparison"
    """Folder for comparison.png, comparison.md, and the runs of --models."""


def compare(options: Compare):
    """Writes the picture and the table; returns the scores of each run."""
    folders = [Path(run) for run in options.runs]
    output = Path(options.output).resolve()
    for model in options.models:
        folders.append(output / model)
        _train_and_evaluate(model, folders[-1], options)
    if not folders:
        raise ValueError(
            "compare: expected evaluated runs by --runs, or models to train by --models; got "
            "neither."
        )
    scored = {folder.name: load_scores(folder)[1] for folder in folders}
    if len(scored) < len(folders):
        names = [str(folder) for folder in folders]
        raise ValueError(f"compare: expected runs in folders of different names, got {names}.")
    constant = {name: scores["constant answer"] for name, scores in scored.items()}
    if any(answer != constant[folders[0].name] for answer in constant.values()):
        raise ValueError(
            "compare: expected runs with one test set, got runs with different results for a "
            f"constant answer: {constant}."
        )
    from seqkeras.analysis.figures import save_png

    curves = {folder.name: _curves(folder, scored[folder.name]) for folder in folders}
    output.mkdir(parents=True, exist_ok=True)
    text = table(scored)
    (output / "comparison.md").write_text(text, "utf-8")
    save_png(plot_comparison(curves), output / "comparison.png")
    print(f"{text}\npicture: {output / 'comparison.png'}", flush=True)
    return scored


def _train_and_evaluate(model, folder, options):
    encoder, pooling = model.split("-")
    flags = ["--preset", options.preset, "--repeats", str(options.repeats), "--run", str(folder)]
    flags += ["--model.encoder", encoder, "--model.pooling", pooling, "--resume"]
    for arguments in (["train", *flags], ["evaluate", "--run", str(folder)]):
        command = [sys.executable, "-m", "pipelines.set_regression", *arguments]
        if subprocess.run(command, cwd=_ROOT, check=False).returncode:
            raise RuntimeError(f"compare: {model} failed, see above. --output keeps the others.")


def _curves(folder, scores):
    """Returns the learning curves of a run's seeds."""
    if len(scores["seeds"]) == 1:
        return [load_curve(RunDirectory(folder))]
    return [load_curve(RunDirectory(folder / f"seed-{seed}")) for seed in scores["seeds"]]
