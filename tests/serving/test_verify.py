"""`verify_export` on right and wrong expectations."""

import pytest

from seqkeras.serving import ExportError, verify_export
from seqkeras.serving import verify as verify_module
from seqkeras.serving.verify import run_in_plain_tensorflow

REQUEST = [("serving_default", {"text": ["ab", ""]})]


@pytest.fixture
def recorded(caesar, monkeypatch):
    """Answers in place of the fresh process, which `test_export.py` runs."""
    answer = {"text": ["bc", ""], "score": [caesar.weigh("ab"), 0.0]}
    monkeypatch.setattr(verify_module, "run_in_plain_tensorflow", lambda *_: [answer])
    return answer


def test_right_answers_are_returned(recorded):
    nearly = {**recorded, "score": [recorded["score"][0] * (1 + 5e-6), 0.0]}
    assert verify_export("m", REQUEST, [nearly]) == [recorded]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"text": ["bC", ""]}, "answers 'text' differently"),
        ({"text": ["bc"]}, "answers 'text' differently"),
        ({"score": [0.0, 0.0]}, "answers 'score' differently"),
        ({"score": [float("nan"), 0.0]}, "answers 'score' differently"),
        ({"length": [1, 2]}, r"should return \['length', 'score', 'text'\]"),
    ],
)
def test_wrong_answers_raise(recorded, wrong, message):
    with pytest.raises(ExportError, match=message):
        verify_export("m", REQUEST, [{**recorded, **wrong}])


@pytest.mark.slow
def test_what_the_process_said_is_in_the_error(tmp_path):
    with pytest.raises(ExportError, match="SavedModel file does not exist"):
        run_in_plain_tensorflow(tmp_path, REQUEST)
