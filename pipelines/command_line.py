"""The command line that all pipelines share: `python -m pipelines.NAME COMMAND [options]`.

Options are the fields of a dataclass, turned into flags by tyro; `--preset NAME` chooses the values
that they start from, and every flag after it overrides one of them.
"""

import os
import sys

import tyro


def run_commands(commands, presets, description):
    """Parses the command line and calls the command.

    Args:
        commands: Dict from a command's name to a function of one argument, annotated with its
            dataclass of options.
        presets: Dict from a preset's name to an instance of the options of "train".
        description: str, printed by `--help`.

    A mistake of the user ends in one line on standard error and exit status 2, not in a traceback;
    `SEQKERAS_TRACEBACK=1` shows it.
    """
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in commands:
        print(f"{description}\n\ncommands: {', '.join(commands)}\npresets: {', '.join(presets)}")
        print("Each command explains itself with --help.")
        raise SystemExit(0 if arguments[:1] in (["--help"], ["-h"]) else 2)
    command, rest = commands[arguments[0]], arguments[1:]
    (kind,) = (t for n, t in command.__annotations__.items() if n != "return")
    default = None
    if arguments[0] == "train":
        name, rest = _take_preset(rest, presets)
        default = presets[name]
    options = tyro.cli(kind, args=rest, default=default, prog=f"{arguments[0]}")
    try:
        command(options)
    except (ValueError, OSError, ArithmeticError, ImportError, RuntimeError) as error:
        if os.environ.get("SEQKERAS_TRACEBACK"):
            raise
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("Interrupted. `train --resume` goes on from the last checkpoint.", file=sys.stderr)
        raise SystemExit(130) from None


def _take_preset(arguments, presets):
    """Splits `--preset NAME` off; returns the name, by default the first, and the rest."""
    rest, name, waiting = [], next(iter(presets)), False
    for argument in arguments:
        if waiting:
            name, waiting = argument, False
        elif argument == "--preset":
            waiting = True
        elif argument.startswith("--preset="):
            name = argument.removeprefix("--preset=")
        else:
            rest.append(argument)
    if waiting or name not in presets:
        raise SystemExit(f"--preset: expected one of {', '.join(presets)}, got {name!r}.")
    return name, rest
