"""The command line that all pipelines share: `python -m pipelines.NAME COMMAND [options]`.

Options are the fields of a dataclass, turned into flags by tyro; `--preset NAME` chooses the values
that they start from, and every flag after it overrides one of them.
"""

import argparse
import os
import sys
from pathlib import Path

import tyro

from pipelines.run_directory import RunDirectory


def run_commands(commands, presets, description, load_config):
    """Parses the command line and calls the command.

    Args:
        commands: Dict from a command's name to a function of one argument, annotated with its
            dataclass of options.
        presets: Dict from a preset's name to an instance of the options of "train".
        description: str, printed by `--help`.
        load_config: Function from a `RunDirectory` to the options that its "train" was given.

    A mistake of the user ends in one line on standard error and exit status 2, not in a traceback;
    `SEQKERAS_TRACEBACK=1` shows it.
    """
    name, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else (None, [])
    if name not in commands:
        print(f"{description}\n\ncommands: {', '.join(commands)}\npresets: {', '.join(presets)}")
        print("Each command explains itself with --help.")
        if name in ("--help", "-h"):
            raise SystemExit(0)
        _fail(f"Expected a command out of {', '.join(commands)}, got {name}.")
    command = commands[name]
    (kind,) = (t for n, t in command.__annotations__.items() if n != "return")
    default, text = None, kind.__doc__
    if name == "train":
        origin, default, rest = _starting_point(rest, presets, load_config)
        text += f" The defaults below are those of {origin}; presets: {', '.join(presets)}."
    prog = f"python -m pipelines.{Path(sys.argv[0]).stem} {name}"
    options = tyro.cli(kind, args=rest, default=default, prog=prog, description=text)
    try:
        command(options)
    except (ValueError, OSError, ArithmeticError, ImportError, RuntimeError) as error:
        if os.environ.get("SEQKERAS_TRACEBACK"):
            raise
        _fail(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        goes_on = " `--resume` goes on from the last checkpoint." if name == "train" else ""
        print(f"Interrupted.{goes_on}", file=sys.stderr)
        raise SystemExit(130) from None


def _fail(message):
    print(message, file=sys.stderr)
    raise SystemExit(2) from None


def _starting_point(arguments, presets, load_config):
    """What the flags change: a preset, by default the first, or the run that is to be resumed.

    Returns:
        `(its name, the options, the arguments without --preset)`.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", choices=list(presets))
    known, rest = parser.parse_known_args(arguments)
    parser.add_argument("--run")
    parser.add_argument("--resume", action="store_true")
    wanted, _ = parser.parse_known_args(arguments)
    if wanted.resume and wanted.run and not wanted.preset:
        run = RunDirectory(wanted.run)
        if run.config.exists():
            return str(run.config), load_config(run), rest
    name = known.preset or next(iter(presets))
    return f"--preset {name}", presets[name], rest
