"""Learning curves and tables of runs: what `train` and `evaluate` leave, what `compare` draws.

RUN/curve.json    step, minutes and every metric at the end of each epoch
    metrics.json  what `evaluate` measured
"""

import json
import statistics

import numpy as np

from pipelines.run_directory import RunDirectory
from seqkeras.analysis.figures import new_figure


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


def print_scores(run, scores):
    """Prints what `evaluate` measured of a run."""
    print(
        f"{run.path}: {scores['cell']}, {scores['parameters']:,} parameters, "
        f"{scores['steps']:,} steps in {scores['minutes']:.1f} minutes"
    )
    for name, baseline in scores["baselines"].items():
        print(
            f"  {name:>16}  validation {scores['validation'][name]:.4g}  "
            f"test {scores['test'][name]:.4g}  without memory {baseline:.4g}",
            flush=True,
        )


def print_answers(answers, header):
    """Prints a batch of an export's outputs, tab-separated; vectors as numbers with blanks."""
    names = sorted(answers)
    if header:
        print("\t".join(names))
    for row in zip(*(answers[name].numpy() for name in names), strict=True):
        print("\t".join(_cell(value) for value in row), flush=True)


def _cell(value):
    if isinstance(value, bytes):
        return value.decode()
    return " ".join(f"{number:.6g}" for number in np.ravel(value))


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


def table(scored):
    """Returns a Markdown table, the best run first.

    Args:
        scored: Dict from a run's name to its metrics.
    """
    baselines = next(iter(scored.values()))["baselines"]
    *_, decisive = baselines  # the last is what people quote: accuracy where there is one
    sign = 1.0 if decisive == "loss" else -1.0
    rows = sorted(scored.items(), key=lambda item: sign * item[1]["test"][decisive])
    head = ("run", "cell", "units", "parameters", "minutes", "steps", "steps/s")
    lines = [[*head, *(f"test {name.replace('_', ' ')}" for name in baselines)]]
    lines.append(["---"] * 2 + ["---:"] * (len(lines[0]) - 2))
    for name, s in rows:
        numbers = (f"{s['parameters']:,}", f"{s['minutes']:.1f}", f"{s['steps']:,}")
        metrics = (f"{s['test'][metric]:.4g}" for metric in baselines)
        speed_ = f"{s['steps_per_second']:.3g}"
        lines.append([name, s["cell"], str(s["units"]), *numbers, speed_, *metrics])
    without = (f"{value:.4g}" for value in baselines.values())
    lines.append(["without memory", *[""] * 6, *without])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plot_comparison(curves, baselines, title):
    """Draws the validation curves of runs: a row for each metric, against steps and minutes.

    Args:
        curves: Dict from a run's name to its curve.
        baselines: Dict from a metric's name to the value drawn as a dashed line.
        title: str.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = new_figure(11.0, 3.6 * len(baselines) + 0.4)
    panels = figure.subplots(len(baselines), 2, squeeze=False, sharex="col")
    for row, (metric, baseline) in zip(panels, baselines.items(), strict=True):
        for axes, against in zip(row, ("step", "minutes"), strict=True):
            for number, (name, curve) in enumerate(curves.items()):
                style = ("-", "--", "-.")[number // 10 % 3]  # matplotlib has ten colours
                axes.plot(curve[against], curve[f"val_{metric}"], style, label=name, linewidth=1.2)
            axes.axhline(baseline, color="black", linestyle=":", label="without memory")
            axes.set_yscale("log" if metric == "loss" else "linear")
            axes.grid(alpha=0.3)
        row[0].set_ylabel(f"validation {metric.replace('_', ' ')}")
    for axes, label in zip(panels[-1], ("steps", "minutes"), strict=True):
        axes.set_xlabel(label)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    figure.suptitle(title)
    return figure
