"""`make reproduce NAME=...`: trains rows of docs/results.md from scratch and prints them.

The commands are those that a user would type; the run stays in runs/reproduce/NAME.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Row(NamedTuple):
    """A run of the tables.

    Attributes:
        pipeline: Which script trains it.
        preset: Its preset.
        system: What is trained, by its id in docs/systems.md.
        data: What it is trained on.
        options: Further flags; {data} is the folder of the data sets.
        published: What others report.
    """

    pipeline: str
    preset: str
    system: str
    data: str
    options: tuple = ()
    published: str = "none known"


def _translation(preset, system, **changes):
    options = ("--data.path", "{data}/multi30k")
    return Row("translation", preset, system, "Multi30k en-de", options)._replace(**changes)


def _series(preset, file, published):
    options = ("--data.path", "{data}/ucr_uea/" + file)
    return Row("classification", preset, "A08, A11", file, options, published)


def _memory(preset, cell, system, minutes, *options):
    flags = ("--model.cell", cell, "--training.minutes", str(minutes), *options)
    return Row("long_memory", preset, f"{system}: {cell}", preset, flags)


def _pixels(preset, cell, system, minutes, *options):
    return _memory(preset, cell, system, minutes, "--data.path", "{data}/mnist/mnist.npz", *options)


def _falling(epochs):
    """Returns the options of a rate that falls to zero over so many epochs."""
    return "--training.schedule", "cosine", "--training.epochs", str(epochs)


_PIXEL_CELLS = {"lstm": "A08", "gru": "A09", "orthogonal": "A06", "unitary": "A06"}

ROWS = {
    "dates": Row("translation", "dates", "D05", "generated dates"),
    "multi30k": _translation("multi30k", "D05"),
    "multi30k-lstm": _translation("multi30k-lstm", "D05, LSTM form"),
    "multi30k-seq2seq": _translation("multi30k-seq2seq", "D01"),
    "multi30k-transformer": _translation("multi30k-transformer", "D07"),
    "control-charts": Row("classification", "builtin", "A08, A11", "generated control charts"),
    "basic-motions": _series("basic_motions", "BasicMotions.npz", "97.5 % 1-NN DTW"),
    "gun-point": _series("gun_point", "GunPoint.npz", "91.3 % 1-NN Euclidean, 90.7 % 1-NN DTW"),
    "adding-gru": _memory("adding", "gru", "A09", 4),
    "adding-lstm": _memory("adding", "lstm", "A08", 4),
    "adding-irnn": _memory("adding", "irnn", "A05", 4),
    "adding-orthogonal": _memory("adding", "orthogonal_small_angles", "A06", 30, *_falling(100)),
    "adding-unitary": _memory(
        "adding", "unitary", "A06", 60, *_falling(80), "--training.clip-norm", "1"
    ),
    "adding-simple-rnn": _memory("adding", "simple_rnn", "A01", 4),
    "copy-unitary": _memory("copy", "unitary", "A06", 3),
    "copy-lstm": _memory("copy", "lstm", "A08", 3),
    "ptb-small": Row(
        "language_model",
        "ptb-small",
        "A03, A08",
        "PTB",
        ("--data.path", "{data}/ptb"),
        "114.5 (Zaremba et al. 2014), 115.91 (TensorFlow's tutorial)",
    ),
    "set-maximum": Row(
        "set_regression",
        "maximum",
        "H03: SAB, PMA",
        "maximum regression",
        ("--repeats", "5"),
        "MAE 0.2085 ± 0.0127",
    ),
    **{
        f"{preset}-{cell}": _pixels(preset, cell, system, 20)
        for preset in ("mnist", "permuted-mnist")
        for cell, system in _PIXEL_CELLS.items()
    },
    "mnist-chrono-gru": _pixels(
        "mnist", "chrono_gru", "A09", 60, *_falling(14), "--training.steps-per-epoch", "500"
    ),
}


def main(name):
    """Trains, evaluates and prints the rows, one for each test split."""
    if name not in ROWS:
        raise SystemExit(f"NAME: expected one of {', '.join(ROWS)}, got {name!r}.")
    row, data = ROWS[name], os.environ.get("SEQKERAS_DATA")
    if data is None and any("{data}" in option for option in row.options):
        raise SystemExit(f"{name}: set SEQKERAS_DATA to the folder of the data sets, docs/data.md.")
    run = ROOT / "runs" / "reproduce" / name
    if run.exists():
        raise SystemExit(f"{run} exists: a row is trained from scratch. Remove the folder first.")
    commit = _output("git", "rev-parse", "--short", "HEAD")
    if _output("git", "status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    options = [option.format(data=data) for option in row.options]
    started = time.monotonic()
    _run(row.pipeline, "train", "--preset", row.preset, *options, "--run", str(run))
    minutes = (time.monotonic() - started) / 60
    _run(row.pipeline, "evaluate", "--run", str(run))
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    config = json.loads((run / "config.json").read_text("utf-8"))
    for split, ours in SCORES[row.pipeline](metrics, config):
        cells = (
            *(name, row.system, f"{row.data}, {split}", f"`make reproduce NAME={name}`"),
            *(ours, row.published, f"{os.cpu_count()} cores, {platform.machine()}"),
            *(f"{minutes:.1f}", f"{config['seed']}, {commit}"),
        )
        print(f"| {' | '.join(cells)} |")


def _of_every_test(text):
    """Returns a function that yields `(split, text(its scores))` for each test split of a run."""

    def scores(metrics, config):
        for split in config["data"]["tests"]:
            yield split, text(metrics[split])

    return scores


def _translation_text(scores):
    return (
        f"BLEU {scores['bleu']:.2f}, lower-cased {scores['bleu_lowercase']:.2f}, "
        f"chrF {scores['chrf']:.2f}, exact match {scores['exact_match']:.2f} %, "
        f"perplexity {scores['perplexity']:.3f}"
    )


def _classification_text(scores):
    return (
        f"accuracy {100 * scores['accuracy']:.2f} % of {scores['examples']}, macro F1 "
        f"{scores['macro_f1']:.4f}"
    )


def _language_model_text(scores):
    return (
        f"perplexity {scores['perplexity']:.2f}, {scores['bits_per_character']:.3f} bits per "
        f"character, {scores['tokens']:,} tokens"
    )


def _memory_scores(metrics, _):
    """Yields the same for a run of the long-memory pipeline, which has one test split."""
    scores = ", ".join(
        f"{name.replace('_', ' ')} {value:.3g} (without memory {metrics['baselines'][name]:.3g})"
        for name, value in metrics["test"].items()
    )
    yield "test", f"{scores}; {metrics['parameters']:,} parameters, {metrics['steps']:,} steps"


def _set_scores(metrics, _):
    """Yields the same for a run of the set-regression pipeline: the mean over its seeds."""
    constant, seeds = metrics["constant answer"]["mae"], len(metrics["seeds"])
    yield (
        "test",
        f"MAE {metrics['test']['mae']:.4f} ± {metrics['spread']['test']['mae']:.4f}, {seeds} seeds "
        f"(constant answer {constant:.3g}); {metrics['parameters']:,} parameters, "
        f"{metrics['steps']:,} steps a seed",
    )


SCORES = {
    "translation": _of_every_test(_translation_text),
    "classification": _of_every_test(_classification_text),
    "language_model": _of_every_test(_language_model_text),
    "long_memory": _memory_scores,
    "set_regression": _set_scores,
}


def _run(pipeline, *arguments):
    subprocess.run(
        [sys.executable, "-m", f"pipelines.{pipeline}", *arguments], cwd=ROOT, check=True
    )


def _output(*command):
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
