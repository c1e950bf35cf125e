"""Pipelines as commands, in a process of their own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def run_pipeline(name, *arguments, **options):
    """Runs `python -m pipelines.NAME`; returns what `subprocess.run` does."""
    return subprocess.run(
        [sys.executable, "-m", f"pipelines.{name}", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )
