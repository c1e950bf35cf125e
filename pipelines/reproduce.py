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
MULTI30K = ("--data.path", "{data}/multi30k")


class Row(NamedTuple):
    """A run of the table: its preset, further flags, and what stands beside our number."""

    preset: str
    options: tuple
    system: str
    data: str
    published: str = "none known"


ROWS = {
    "dates": Row("dates", (), "D05", "generated dates"),
    "multi30k": Row("multi30k", MULTI30K, "D05", "Multi30k en-de"),
    "multi30k-lstm": Row("multi30k-lstm", MULTI30K, "D05, LSTM form", "Multi30k en-de"),
    "multi30k-seq2seq": Row("multi30k-seq2seq", MULTI30K, "D01", "Multi30k en-de"),
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
    _pipeline("train", "--preset", row.preset, *options, "--run", str(run))
    minutes = (time.monotonic() - started) / 60
    _pipeline("evaluate", "--run", str(run))
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    config = json.loads((run / "config.json").read_text("utf-8"))
    for split in config["data"]["tests"]:
        scores = metrics[split]
        ours = (
            f"BLEU {scores['bleu']:.2f}, chrF {scores['chrf']:.2f}, exact match "
            f"{scores['exact_match']:.2f} %, perplexity {scores['perplexity']:.3f}"
        )
        cells = (
            *(name, row.system, f"{row.data}, {split}", f"`make reproduce NAME={name}`"),
            *(ours, row.published, f"{os.cpu_count()} cores, {platform.machine()}"),
            *(f"{minutes:.1f}", f"{config['seed']}, {commit}"),
        )
        print(f"| {' | '.join(cells)} |")


def _pipeline(*arguments):
    subprocess.run(
        [sys.executable, "-m", "pipelines.translation", *arguments], cwd=ROOT, check=True
    )


def _output(*command):
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
