"""`make reproduce NAME=...`: trains one row of docs/results.md from scratch and prints it.

The commands are those that a user would type; the run stays in runs/reproduce/NAME.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
MULTI30K = ["--data.path", "{data}/multi30k"]

# name -> preset of pipelines.translation and its further options
ROWS = {
    "dates": ("dates", []),
    "multi30k": ("multi30k", MULTI30K),
    "multi30k-lstm": ("multi30k-lstm", MULTI30K),
    "multi30k-seq2seq": ("multi30k-seq2seq", MULTI30K),
}


def main(name):
    """Trains, evaluates and prints the row."""
    if name not in ROWS:
        raise SystemExit(f"NAME: expected one of {', '.join(ROWS)}, got {name!r}.")
    preset, options = ROWS[name]
    if any("{data}" in option for option in options) and "SEQKERAS_DATA" not in os.environ:
        raise SystemExit(f"{name}: set SEQKERAS_DATA to the folder of the data sets, docs/data.md.")
    options = [option.format(data=os.environ.get("SEQKERAS_DATA")) for option in options]
    run = ROOT / "runs" / "reproduce" / name
    if run.exists():
        raise SystemExit(f"{run} exists: a row is trained from scratch. Move it away first.")
    commit = _output("git", "rev-parse", "--short", "HEAD")
    if _output("git", "status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    started = time.monotonic()
    _pipeline("train", "--preset", preset, *options, "--run", str(run))
    minutes = (time.monotonic() - started) / 60
    _pipeline("evaluate", "--run", str(run))
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    config = json.loads((run / "config.json").read_text("utf-8"))
    for split in config["data"]["tests"]:
        scores = metrics[split]
        print(
            f"| {name} | {split} | BLEU {scores['bleu']:.2f}, chrF {scores['chrf']:.2f}, exact "
            f"{scores['exact_match']:.2f} %, perplexity {scores['perplexity']:.3f} | "
            f"{os.cpu_count()} cores, {platform.machine()} | {minutes:.1f} min | "
            f"seed {config['seed']}, {commit} |"
        )


def _pipeline(*arguments):
    subprocess.run(
        [sys.executable, "-m", "pipelines.translation", *arguments], cwd=ROOT, check=True
    )


def _output(*command):
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
