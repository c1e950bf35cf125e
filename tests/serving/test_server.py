"""The server as a client sees it: in process for the answers, as a real process for the rest."""

import asyncio
import base64
import importlib
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import tensorflow as tf

from seqkeras.serving.servable import Servable
from seqkeras.serving.server import create_app

pytestmark = pytest.mark.tensorflow

PREDICT = "/v1/models/caesar:predict"


@pytest.fixture(scope="module")
def servable(export):
    servable = Servable(export.parent)
    yield servable
    servable.close()


@pytest.fixture
def ask(servable):
    """Sends one request to the application; returns status and JSON."""

    async def send(method, url, **content):
        transport = httpx.ASGITransport(create_app(servable), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, url, **content)

    def ask(method, url, **content):
        response = asyncio.run(send(method, url, **content))
        assert response.headers["content-type"] == "application/json"
        return response.status_code, response.json()

    return ask


def test_rows(caesar, ask):
    texts = ["hello", "", "né ☃"]
    status, answer = ask("POST", PREDICT, json={"instances": texts})
    assert status == 200
    assert [row["text"] for row in answer["predictions"]] == [caesar.shift(t) for t in texts]
    scores = [row["score"] for row in answer["predictions"]]
    np.testing.assert_allclose(scores, [caesar.weigh(t) for t in texts], rtol=1e-5)


def test_columns_base64_and_a_version(caesar, ask):
    encoded = {"b64": base64.b64encode("né".encode()).decode()}
    url = "/v1/models/caesar/versions/1:predict"
    status, answer = ask("POST", url, json={"inputs": {"text": ["ab", encoded]}})
    assert status == 200
    assert answer["outputs"]["text"] == ["bc", caesar.shift("né")]


def test_other_signatures(caesar, ask):
    request = {"signature_name": "score", "instances": [{"source": "ab", "target": "cd"}]}
    _, answer = ask("POST", PREDICT, json=request)
    wanted = caesar.weigh("ab") - caesar.weigh("cd")
    assert answer["predictions"] == [pytest.approx(wanted, rel=1e-5)]
    _, answer = ask("POST", PREDICT, json={"signature_name": "n_best", "instances": ["ab"]})
    assert answer["predictions"][0]["text"] == ["bc", "BC"]
    _, answer = ask("POST", PREDICT, json={"signature_name": "align", "instances": ["ab", "a"]})
    assert answer["predictions"][1]["target_tokens"] == ["b", ""]
    assert answer["predictions"][1]["attention"] == [[1.0, 0.0], [0.0, 1.0]]


def test_status_and_metadata(ask):
    status, answer = ask("GET", "/v1/models/caesar")
    assert status == 200
    assert answer == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert ask("GET", "/v1/models/caesar/versions/1") == (status, answer)
    status, answer = ask("GET", "/v1/models/caesar/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "caesar", "signature_name": "", "version": "1"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["text"] == {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "serving_default_text:0",
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "expected a JSON object"),
        (b"{}", "expected either 'instances'"),
        (b'{"instances": [3]}', "to be a string"),
        (b'{"signature_name": "x", "instances": ["a"]}', "expected 'signature_name' to be one of"),
        (b'{"inputs": []}', "expected at least one example"),
        (
            b'{"signature_name": "score", "inputs": {"source": ["a"], "target": ["a", "b"]}}',
            "expected the inputs of 'score' to have equally many rows, got",
        ),
    ],
)
def test_mistakes_are_400(ask, body, message):
    status, answer = ask("POST", PREDICT, content=body)
    assert status == 400
    assert message in answer["error"]


@pytest.mark.parametrize(
    ("method", "url", "status", "message"),
    [
        ("POST", "/v1/models/other:predict", 404, "this serves 'caesar', version 1"),
        ("GET", "/v1/models/other", 404, "no model 'other'"),
        ("GET", "/v1/models/caesar/versions/2/metadata", 404, "with version 2"),
        ("GET", "/v1/models/caesar/versions/x", 404, "with version x"),
        ("GET", "/", 404, "Not Found"),
        ("PUT", PREDICT, 405, "Method Not Allowed"),
    ],
)
def test_wrong_addresses(ask, method, url, status, message):
    got, answer = ask(method, url, content=b"{}")
    assert got == status
    assert message in answer["error"]


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (tf.errors.InvalidArgumentError(None, None, "bad shape"), 400, "bad shape"),
        (RuntimeError("out of luck"), 500, "internal error: out of luck"),
    ],
)
def test_failures_of_the_model_are_json(servable, ask, monkeypatch, raised, status, message):
    def fail(*_):
        raise raised

    monkeypatch.setattr(servable, "_run", fail)
    got, answer = ask("POST", PREDICT, json={"signature_name": "align", "instances": ["a"]})
    assert (got, answer["error"]) == (status, message)


@pytest.fixture
def process(export):
    """A real server on a free port: its address and its process."""
    command = "import sys; from seqkeras.serving.server import serve; serve(sys.argv[1], port=0)"
    process = subprocess.Popen(
        [sys.executable, "-c", command, str(export.parent)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"},
    )
    log = []
    for line in process.stderr:
        log.append(line)
        if running := re.search(r"running on (http://\S+)", line):
            break
    else:
        pytest.fail("the server did not start:\n" + "".join(log))
    yield running[1], process
    process.kill()
    process.communicate()


def test_a_real_server_answers_many_clients_and_stops_when_told(caesar, process):
    address, server = process
    assert address.startswith("http://127.0.0.1:")
    texts = [f"message {'abc'[i % 3] * i}" for i in range(24)]

    def translate(text):
        response = httpx.post(address + PREDICT, json={"instances": [text]}, timeout=60)
        return response.json()["predictions"][0]["text"]

    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(translate, texts)) == [caesar.shift(text) for text in texts]
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=30) in (
        0,
        -signal.SIGTERM,
    )  # uvicorn passes the signal on at the end


def test_missing_dependencies_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "seqkeras.serving.server")
    with pytest.raises(ImportError, match=re.escape("pip install starlette uvicorn")):
        importlib.import_module("seqkeras.serving.server")
