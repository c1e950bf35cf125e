"""How the driver of a benchmark talks to the libraries it compares.

Each library runs in a process of its own, in its own virtual environment, and is told by lines of
JSON on its standard input to train or to decode for a while and then to wait, so that libraries
can take turns on one machine:

    {"cmd": "train", "seconds": 20}     {"tokens": 15824, "seconds": 20.3, "steps": 13}
    {"cmd": "decode", "beam": 5, "texts": ["A dog."]}
                                        {"translations": ["Ein Hund."], "seconds": 0.2}
    {"cmd": "quit"}                     (the process ends)

Only the standard library is used here: the file is imported from every environment.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

DECODING_BATCH = 64  # sentences


def worker_parser(description, models=("recurrent", "transformer")):
    """Returns a parser of the options that the driver gives to every worker that translates.

    Args:
        description: The worker's docstring.
        models: What the worker has of the models to compare.
    """
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--model", choices=models, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--subwords", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--weights", type=pathlib.Path, help="trained ones, to decode with")
    parser.add_argument("--batches-at-once", type=int, default=1, help="decoded side by side")
    return parser


class Channel:
    """The worker's end: commands on standard input, answers on what was standard output.

    Standard output itself is sent to standard error, so that nothing a library prints can be taken
    for an answer.
    """

    def __init__(self):
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def receive(self):
        """Returns the next command, `{"cmd": "quit"}` when there are no more."""
        line = sys.stdin.readline()
        return json.loads(line) if line.strip() else {"cmd": "quit"}

    def reply(self, **answer):
        self._answers.write(json.dumps(answer) + "\n")


def answer_steps(make_step):
    """A worker that only steps: `{"cmd": "run", "repeats": 5, ...}` to `{"seconds": 0.8}`.

    Args:
        make_step: Function of the rest of a command, as keywords, to the function that is timed.
    """
    channel = Channel()
    while (command := channel.receive())["cmd"] == "run":
        repeats = command.pop("repeats")
        step = make_step(**{name: value for name, value in command.items() if name != "cmd"})
        start = time.perf_counter()
        for _ in range(repeats):
            step()
        channel.reply(seconds=time.perf_counter() - start)


def answer_decodes(decode):
    """A worker that only decodes; `decode` as in `TrainingWindows`."""
    channel = Channel()
    while (command := channel.receive())["cmd"] == "decode":
        _decode(channel, decode, command)


def _decode(channel, decode, command):
    start = time.perf_counter()
    translations = decode(command["beam"], command["texts"])
    channel.reply(seconds=time.perf_counter() - start, translations=translations)


def in_batches(translate, texts, at_once=1):
    """Returns the list that `translate` makes of a list, of so many texts at a time.

    Args:
        translate: Function from a list of str to another.
        texts: List of str.
        at_once: How many batches run side by side.
    """
    starts = range(0, len(texts), DECODING_BATCH)
    batches = [texts[start : start + DECODING_BATCH] for start in starts]
    with ThreadPoolExecutor(at_once) as threads:
        return [text for batch in threads.map(translate, batches) for text in batch]


class TrainingWindows:
    """Cuts a training loop into windows, and decodes between them.

    A library's own loop calls `before_step` and `after_step`. A window begins and ends in
    `before_step`, so it holds whole steps: reading the batch, forward, backward and update.

    Args:
        channel: `Channel`.
        decode: Function `(beam, texts) -> translations`, lists of str.
    """

    def __init__(self, channel, decode):
        self._channel = channel
        self._decode = decode
        self._length = None  # seconds; None between windows

    def before_step(self):
        """Ends the window if its time is over, then obeys commands until one says to train."""
        if self._length is not None:
            seconds = time.perf_counter() - self._start
            if seconds < self._length:
                return
            self._channel.reply(tokens=self._tokens, seconds=seconds, steps=self._steps)
            self._length = None
        while self._length is None:
            self._obey(self._channel.receive())

    def after_step(self, tokens):
        """Counts a step.

        Args:
            tokens: int. Target tokens of the batch, END included, padding and START not.
        """
        self._tokens += tokens
        self._steps += 1

    def _obey(self, command):
        if command["cmd"] == "train":
            self._tokens, self._steps = 0, 0
            self._length = command["seconds"]
            self._start = time.perf_counter()
        elif command["cmd"] == "decode":
            _decode(self._channel, self._decode, command)
        elif command["cmd"] == "quit":
            raise KeyboardInterrupt  # what a user's Ctrl-C does: the library ends its loop
        else:
            raise ValueError(f"cmd must be 'train', 'decode' or 'quit', got {command!r}")


class Worker:
    """The driver's end of one process.

    Args:
        command: List of str. Program and arguments.
        environment: Dict of environment variables to add to this process' own.
        log: Path. Gets all that the process prints.
    """

    def __init__(self, command, environment, log):
        self._log = log
        with open(log, "w", encoding="utf-8") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **environment},
                text=True,
                encoding="utf-8",
            )

    def ask(self, **command):
        """Sends a command and waits for its answer."""
        try:
            self._send(command)
        except BrokenPipeError:
            line = ""  # the process is gone: told below
        else:
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"The worker ended with status {self._process.wait()} instead of answering "
                f"{command}. What it printed is in {self._log}."
            )
        return json.loads(line)

    def quit(self):
        """Tells the process to end, and waits for it, two minutes at the most."""
        if self._process.poll() is None:
            self._send({"cmd": "quit"})
        try:
            self._process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _send(self, command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
