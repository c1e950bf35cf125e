"""The card's commands, taken from its text and run as a reader would paste them."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seqkeras.serving.card import ModelCard, render_card
from seqkeras.serving.rest import parse_predict
from seqkeras.serving.signatures import read_signatures

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def text(export):
    return (export / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def blocks(text):
    """The fenced blocks, in order: Python, its output, and so on."""
    return re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)


def paste(command, export):
    """Runs a command where the card says it runs; returns what it printed."""
    process = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        cwd=export.parents[2],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_python_block_prints_what_the_card_says(export, blocks):
    assert paste([sys.executable, "-c", blocks[0]], export) == blocks[1]


def test_the_shown_answers_are_right(caesar, examples, blocks):
    shown = [line.rsplit(" ", 1) for line in blocks[1].splitlines()]
    assert [text for text, _ in shown] == [caesar.shift(text) for text in examples]
    scores = [float(score) for _, score in shown]
    np.testing.assert_allclose(scores, [caesar.weigh(text) for text in examples], rtol=1e-5)


def test_saved_model_cli_takes_the_command(caesar, export, blocks, examples):
    """The examples hold what the tool and the shell would trip over: quotes, `;`, `|`, `é`."""
    program, *arguments = shlex.split(blocks[2])
    printed = paste([str(Path(sys.executable).with_name(program)), *arguments], export)
    listed = printed[printed.index("output key text:") :].split("\n", 1)[1]
    texts = ast.literal_eval(re.sub(r"(?<=') (?=b')", ", ", listed.strip().replace("\n", "")))
    assert [t.decode() for t in texts] == [caesar.shift(text) for text in examples]


def test_curl_sends_what_the_server_reads(export, blocks, examples):
    program, flag, body, url = shlex.split(blocks[4])
    assert (program, flag) == ("curl", "-d")
    assert url.endswith("/v1/models/caesar:predict")
    call = parse_predict(body.encode(), read_signatures(export))
    assert [t.decode() for t in call.inputs["text"]] == examples
    answer = json.loads(blocks[5])["predictions"]
    assert len(answer) == len(examples)
    assert "models/caesar:/models/caesar" in blocks[3]


def test_what_the_author_said_is_there(text):
    assert text.startswith("# caesar, version 1\n\nMoves letters on | by one.\n")
    assert "Nothing: it is a rule." in text
    assert "| exact match, all letters | 1 |" in text
    assert "| weight of z | 0.1235 |" in text
    assert "| `n_best` | text string (?) | score float32 (?, 2), text string (?, 2) |" in text


def test_cells_stay_in_their_row_and_only_a_few_examples_are_shown():
    card = ModelCard("s", "t", {"a|b": "c\nd"}, {})
    inputs = {"text": np.array([b"in %d" % i for i in range(9)], object)}
    outputs = {"text": np.array([b"out %d" % i for i in range(9)], object)}
    outputs["score"] = np.full(9, -0.2, "float32")
    text = render_card(card, Path("models", "m", "3"), {}, inputs, outputs)
    assert "| a\\|b | c d |" in text
    assert "in 4" in text
    assert "in 5" not in text
    assert '"score": -0.2\n' in text  # not -0.20000000298023224
