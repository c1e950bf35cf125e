"""What runs leave to be compared with others: their learning curves and their scores.

RUN/curve.json    step, minutes and every metric at the end of each epoch
    metrics.json  what `evaluate` measured
"""

import json
import statistics

from pipelines.run_directory import RunDirectory


def curve_path(run):
    """Returns where a run keeps its learning curve."""
    return run.path / "curve.json"


def save_curve(run, history, minutes, steps_per_epoch):
    """Writes the history of a whole run, with steps and minutes, as curve.json."""
    steps = [(epoch + 1) * steps_per_epoch for epoch in history.epoch]
    curve = {"step": steps, "minutes": minutes, **history.history}
    curve_path(run).write_text(json.dumps(curve) + "\n", "utf-8")


def load_curve(run):
    """Returns the curve of a run: a dict of lists of equal length."""
    return json.loads(run.require(curve_path(run)).read_text("utf-8"))


def speed(run):
    """Returns steps and minutes of a run, and its steps a second, validation included.

    The speed is that of the median epoch, so that compiling does not count.
    """
    curve = load_curve(run)
    steps, minutes = [0, *curve["step"]], [0.0, *curve["minutes"]]
    speeds = [
        (steps[i + 1] - steps[i]) / (60 * (minutes[i + 1] - minutes[i]))
        for i in range(len(steps) - 1)
    ]
    return {
        "steps": steps[-1],
        "minutes": minutes[-1],
        "steps_per_second": statistics.median(speeds),
    }


def load_scores(folder):
    """Returns `(RunDirectory, its metrics)` of an evaluated run.

    Raises:
        FileNotFoundError: naming the command that measures it.
    """
    run = RunDirectory(folder)
    if not run.metrics.exists():
        raise FileNotFoundError(
            f"{run.metrics} is missing: run `evaluate --run {run.path}` before comparing it."
        )
    return run, json.loads(run.metrics.read_text("utf-8"))


def markdown(rows):
    """Returns a Markdown table of rows of strings, the second of them the rule below the head."""
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
