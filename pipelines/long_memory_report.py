"""What `evaluate` prints of a run, and what `compare` draws of several."""

import numpy as np

from pipelines.learning_curves import markdown
from seqkeras.analysis.figures import new_figure


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
    return markdown(lines)


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
            axes.locator_params(axis="x", nbins=6)
            axes.grid(alpha=0.3)
        row[0].set_ylabel(f"validation {metric.replace('_', ' ')}")
    for axes, label in zip(panels[-1], ("steps", "minutes"), strict=True):
        axes.set_xlabel(label)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    figure.suptitle(title)
    return figure
