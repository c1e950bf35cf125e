"""Proof that an export is what it claims to be: another process, plain TensorFlow, same answers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

_SCRIPT = Path(__file__).with_name("plain_tensorflow.py")
_TIMEOUT_SECONDS = 600
_RELATIVE_TOLERANCE = 1e-5  # two runs of one graph may add in another order
_ABSOLUTE_TOLERANCE = 1e-6  # for attention weights, many of which are nearly zero


class ExportError(RuntimeError):
    """The exported model does not load, does not run, or answers otherwise than in Python."""


def run_in_plain_tensorflow(path, requests):
    """Runs a SavedModel in a fresh process that can import neither Keras nor this project.

    Args:
        path: the SavedModel's folder.
        requests: list of `(signature name, {input name: nested list})`.

    Returns:
        A list with a dict `{output name: nested list}` for every request.

    Raises:
        ExportError: it did not load or run; the message ends with what the process printed.
    """
    command = [sys.executable, "-P", str(_SCRIPT), str(path)]  # -P: our modules stay off its path
    body = json.dumps([{"signature": name, "inputs": inputs} for name, inputs in requests])
    # The CPU only: this process may be holding all of the accelerator's memory.
    environment = dict(os.environ, CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="2")
    try:
        process = subprocess.run(
            command,
            input=body,
            capture_output=True,
            encoding="utf-8",
            env=environment,
            timeout=_TIMEOUT_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise ExportError(
            f"expected {path} to run in plain TensorFlow, but its process ended with status "
            f"{error.returncode}:\n{error.stderr[-3000:]}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{path} did not answer within {_TIMEOUT_SECONDS} s") from error
    return json.loads(process.stdout)


def to_json(value):
    """Decodes every byte string of a nested list; what is no UTF-8 becomes lone surrogates."""
    if isinstance(value, list):
        return [to_json(item) for item in value]
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def to_bytes(value):
    """Encodes every string of a nested list; undoes `to_json`."""
    if isinstance(value, list):
        return [to_bytes(item) for item in value]
    return value.encode("utf-8", "surrogateescape")


def verify_export(path, requests, expected):
    """Checks that an export answers in a fresh process with plain TensorFlow as it should.

    Args:
        path: the SavedModel's folder.
        requests: list of `(signature name, {input name: nested list})`.
        expected: for every request a dict `{output name: nested list or array}`. Texts must be
            equal, numbers within 1e-5 relative.

    Returns:
        The export's answers, as of `run_in_plain_tensorflow`.

    Raises:
        ExportError: it does not load, does not run, or answers otherwise.
    """
    answers = run_in_plain_tensorflow(path, requests)
    for (signature, inputs), answer, wanted in zip(requests, answers, expected, strict=True):
        if answer.keys() != wanted.keys():
            raise ExportError(
                f"signature {signature!r} of {path} should return {sorted(wanted)}, "
                f"but returns {sorted(answer)}"
            )
        for name, value in wanted.items():
            if not _equal(answer[name], value):
                raise ExportError(
                    f"signature {signature!r} of {path} answers {name!r} differently from Python. "
                    f"For {inputs}\nexpected {value}\nbut got  {answer[name]}"
                )
    return answers


def _equal(got, wanted):
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape:
        return False
    if np.issubdtype(wanted.dtype, np.inexact):
        return np.allclose(got, wanted, _RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE, equal_nan=True)
    return bool(np.all(got == wanted))
