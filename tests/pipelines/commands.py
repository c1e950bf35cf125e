"""Pipelines as commands: what `python -m pipelines.NAME` does, without its seconds of imports."""

import contextlib
import io
import os
import pathlib
import runpy
import sys
import tempfile
from typing import NamedTuple
from unittest import mock

ROOT = pathlib.Path(__file__).parents[2]


class Done(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run_pipeline(name, *arguments, stdin=""):
    """Runs a command of a pipeline with a command line, an environment and streams of its own."""
    script = str(ROOT / "pipelines" / f"{name}.py")
    out, err, returncode = io.StringIO(), io.StringIO(), 0
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as file,
        mock.patch.object(sys, "argv", [script, *map(str, arguments)]),
        mock.patch.object(sys, "stdin", file),
        mock.patch.dict(os.environ),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        file.write(stdin)
        file.seek(0)
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            returncode = end.code
    return Done(returncode, out.getvalue(), err.getvalue())
