"""`compare`: one picture and one table of several runs, which it can train before."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Literal

from pipelines.learning_curves import load_curve, load_scores
from pipelines.long_memory_config import PRESETS
from pipelines.long_memory_report import plot_comparison, table

_ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Compare:
    """Draws evaluated runs of one task together; with --cells, trains and evaluates them first."""

    runs: tuple[str, ...] = ()
    """Folders of evaluated runs."""
    cells: tuple[str, ...] = ()
    """Cells to train one after the other, each in a process of its own; what is finished, or was
    interrupted, is gone on with."""
    preset: Literal[tuple(PRESETS)] = "adding"
    """For --cells: the task and how it is trained."""
    minutes: float | None = None
    """For --cells: the training time of each; by default the preset's."""
    data_path: str | None = None
    """For --cells: what `train` takes as --data.path; by default the preset's."""
    output: str = "runs/comparison"
    """Folder for comparison.png, comparison.md, and the runs of --cells."""


def compare(options: Compare):
    """Writes the picture and the table; returns the scores of each run."""
    folders, failed = list(options.runs), []
    for cell in options.cells:
        folder = Path(options.output).resolve() / cell
        if _train_and_evaluate(cell, folder, options):
            folders.append(str(folder))
        else:
            failed.append(cell)
    if not folders:
        raise ValueError(
            "compare: expected evaluated runs by --runs, or cells to train by --cells; "
            f"got {f'none but {failed}, which failed' if failed else 'neither'}."
        )
    loaded = {run.path.name: (run, scores) for run, scores in map(load_scores, folders)}
    _check(folders, loaded)
    scored = {name: scores for name, (_, scores) in loaded.items()}
    curves = {name: load_curve(run) for name, (run, _) in loaded.items()}
    any_scores = next(iter(scored.values()))
    output = Path(options.output)
    text = table(scored)
    if failed:
        text += f"\nDid not finish: {', '.join(failed)}.\n"
    output.mkdir(parents=True, exist_ok=True)
    (output / "comparison.md").write_text(text, "utf-8")
    from seqkeras.analysis.figures import save_png

    figure = plot_comparison(curves, any_scores["baselines"], any_scores["task"])
    save_png(figure, output / "comparison.png")
    print(f"{text}\npicture: {output / 'comparison.png'}", flush=True)
    return scored


def _train_and_evaluate(cell, folder, options):
    """Returns whether both ended well; a cell that diverges should not cost the others."""
    flags = ["--preset", options.preset, "--model.cell", cell, "--run", str(folder), "--resume"]
    if options.minutes is not None:
        flags += ["--training.minutes", str(options.minutes)]
    if options.data_path is not None:
        flags += ["--data.path", str(Path(options.data_path).resolve())]
    return _pipeline("train", *flags) and _pipeline("evaluate", "--run", str(folder))


def _pipeline(*arguments):
    command = [sys.executable, "-m", "pipelines.long_memory", *arguments]
    return subprocess.run(command, cwd=_ROOT, check=False).returncode == 0


def _check(folders, loaded):
    if len(loaded) < len(folders):
        raise ValueError(f"compare: expected runs in folders of different names, got {folders}.")
    baselines = {name: scores["baselines"] for name, (_, scores) in loaded.items()}
    first = next(iter(baselines.values()))
    if any(other != first for other in baselines.values()):
        raise ValueError(
            "compare: expected runs of one task and length, got runs with different results for a "
            f"model without memory: {baselines}."
        )
