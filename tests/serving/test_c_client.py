"""The export called from C, by the client that docs/clients shows: no Python in the process."""

import json
import pathlib
import shutil
import subprocess

import pytest
import tensorflow as tf

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

SOURCE = pathlib.Path(__file__).parents[2] / "docs" / "clients" / "translate.c"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    if not shutil.which("gcc"):
        pytest.skip("no gcc to compile the client with")
    library = pathlib.Path(tf.__file__).parent
    program = tmp_path_factory.mktemp("client") / "translate"
    subprocess.run(
        [
            *("gcc", "-Wall", "-Werror", "-o", program, SOURCE),
            *(f"-I{library / 'include'}", f"-L{library}", f"-Wl,-rpath,{library}"),
            *("-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"),
        ],
        check=True,
    )
    return program


def test_a_c_program_gets_the_same_answers(client, export, caesar):
    signature = json.loads((export / "signatures.json").read_text())["serving_default"]
    names = [
        signature["inputs"]["text"]["tensor"],
        signature["outputs"]["text"]["tensor"],
        signature["outputs"]["score"]["tensor"],
    ]
    texts = ["hello world", "", "naïve ☃"]
    printed = subprocess.run(
        [client, export, *names, *texts], check=True, capture_output=True, encoding="utf-8"
    ).stdout
    rows = [line.split("\t") for line in printed.splitlines()]
    assert [text for _, text in rows] == [caesar.shift(text) for text in texts]
    for (score, _), text in zip(rows, texts, strict=True):
        assert float(score) == pytest.approx(caesar.weigh(text), abs=1e-3)


def test_a_wrong_tensor_name_is_explained(client, export):
    run = subprocess.run(
        [client, export, "nothing:0", "nothing:1", "nothing:2", "a"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 1
    assert "signatures.json" in run.stderr
