"""Scores of set regression: of one seed or several, of one model or several.

RUN/metrics.json    {"seeds": {seed: scores}, and of each score its mean, with its spread}

The spread is the standard deviation over the seeds, with n - 1.
"""

import statistics

from pipelines.learning_curves import markdown
from seqkeras.analysis.figures import new_figure

_SPLITS = ("validation", "test")


def summarise(measured):
    """Returns the scores of a run from those of its seeds.

    Args:
        measured: Dict from seed to scores.
    """
    first = next(iter(measured.values()))
    scores = {key: first[key] for key in ("model", "parameters", "constant answer")}
    for key in ("steps", "minutes", "steps_per_second"):
        scores[key] = statistics.mean(s[key] for s in measured.values())
    scores["spread"] = {}
    for split in _SPLITS:
        values = {name: [s[split][name] for s in measured.values()] for name in first[split]}
        scores[split] = {name: statistics.mean(row) for name, row in values.items()}
        scores["spread"][split] = {
            name: statistics.stdev(row) if len(row) > 1 else 0.0 for name, row in values.items()
        }
    scores["seeds"] = {str(seed): s for seed, s in measured.items()}
    return scores


def with_spread(scores, split, name):
    """Returns "mean ± spread", or the number alone where there is one seed."""
    mean, count = scores[split][name], len(scores["seeds"])
    return f"{mean:.4f} ± {scores['spread'][split][name]:.4f}" if count > 1 else f"{mean:.4f}"


def print_scores(run, scores):
    """Prints what `evaluate` measured of a run."""
    print(
        f"{run.path}: {scores['model']}, {scores['parameters']:,} parameters, "
        f"{scores['steps']:,} steps in {scores['minutes']:.1f} minutes a seed"
    )
    for seed, each in scores["seeds"].items():
        text = ", ".join(f"{split} {each[split]['mae']:.4f}" for split in _SPLITS)
        print(f"  seed {seed}: MAE {text}")
    for name, constant in scores["constant answer"].items():
        text = ", ".join(f"{split} {with_spread(scores, split, name)}" for split in _SPLITS)
        print(f"  {name.upper():>4}: {text}; constant answer {constant:.4f}", flush=True)


def table(scored):
    """Returns a Markdown table, the best run first.

    Args:
        scored: Dict from a run's name to its scores.
    """
    rows = sorted(scored.items(), key=lambda item: item[1]["test"]["mae"])
    lines = [["run", "model", "parameters", "seeds", "minutes", "steps", "test MAE", "test RMSE"]]
    lines.append(["---"] * 2 + ["---:"] * 6)
    for name, s in rows:
        numbers = (f"{s['parameters']:,}", str(len(s["seeds"])), f"{s['minutes']:.1f}")
        errors = (with_spread(s, "test", metric) for metric in ("mae", "rmse"))
        lines.append([name, s["model"], *numbers, f"{s['steps']:,}", *errors])
    constant = rows[0][1]["constant answer"]
    lines.append(["constant answer", *[""] * 5, *(f"{constant[m]:.4f}" for m in ("mae", "rmse"))])
    return markdown(lines)


def plot_comparison(curves):
    """Draws the validation error of runs against steps, a line for each seed.

    Args:
        curves: Dict from a run's name to the list of its seeds' curves.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = new_figure(7.0, 4.5)
    axes = figure.subplots()
    for number, (name, seeds) in enumerate(curves.items()):
        for place, curve in enumerate(seeds):
            label = name if place == 0 else None
            axes.plot(curve["step"], curve["val_mae"], color=f"C{number}", label=label)
    axes.set(xlabel="steps", ylabel="validation MAE", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
