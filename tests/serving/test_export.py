"""The export against plain Python: moved, in a process without Keras, with unusual inputs."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from seqkeras.serving import ExportError, export_saved_model, export_translator, load_functions
from seqkeras.serving import export as export_module
from seqkeras.serving.export import next_version, versions
from seqkeras.serving.rest import parse_predict
from seqkeras.serving.signatures import read_signatures
from seqkeras.serving.warmup import read_warmup

pytestmark = pytest.mark.tensorflow

STRANGER = """
import json, sys
sys.modules["keras"] = sys.modules["seqkeras"] = None
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
batches = json.loads(sys.argv[2])
answers = []
for batch in batches:
    answer = model.signatures["serving_default"](text=tf.constant(batch, tf.string))
    answers.append([[t.decode() for t in answer["text"].numpy()], answer["score"].numpy().tolist()])
print(json.dumps(answers))
"""


def test_a_moved_export_answers_in_plain_tensorflow(caesar, export, tmp_path):
    moved = shutil.copytree(export, tmp_path / "elsewhere")
    batches = [["hello"], ["hello", "", "zebra crossing", "naïve ☃"], [""], ["x" * 300]]
    process = subprocess.run(
        [sys.executable, "-c", STRANGER, str(moved), json.dumps(batches)],
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert process.returncode == 0, process.stderr
    for batch, (texts, scores) in zip(batches, json.loads(process.stdout), strict=True):
        assert texts == [caesar.shift(text) for text in batch]
        np.testing.assert_allclose(scores, [caesar.weigh(text) for text in batch], rtol=1e-5)


def test_every_signature_answers(caesar, export):
    signatures = tf.saved_model.load(str(export)).signatures
    texts = ["abc", "z"]
    best = signatures["n_best"](text=tf.constant(texts))
    assert best["text"].numpy().tolist() == [[b"bcd", b"BCD"], [b"a", b"A"]]
    np.testing.assert_allclose(best["score"][:, 0] - best["score"][:, 1], [1.0, 1.0], rtol=1e-6)
    score = signatures["score"](source=tf.constant(texts), target=tf.constant(["", "zz"]))
    wanted = [caesar.weigh("abc"), -caesar.weigh("z")]
    np.testing.assert_allclose(score["log_probability"], wanted, rtol=1e-5)
    align = signatures["align"](text=tf.constant(texts))
    assert align["source_tokens"].numpy().tolist() == [[b"a", b"b", b"c"], [b"z", b"", b""]]
    assert align["target_tokens"].numpy().tolist() == [[b"b", b"c", b"d"], [b"a", b"", b""]]
    np.testing.assert_array_equal(align["attention"], [np.eye(3)] * 2)


def test_only_the_weights_in_use_are_saved(export):
    shapes = [shape for _, shape in tf.train.list_variables(str(export / "variables/variables"))]
    assert [shape for shape in shapes if shape] == [[29, 1]]  # no optimizer state


def test_saved_graph_names_no_folder_of_this_machine(export):
    graph = (export / "saved_model.pb").read_bytes()
    assert os.getcwd().encode() not in graph
    assert str(export.parent).encode() not in graph


@pytest.fixture
def unverified(monkeypatch):
    """Skips the fresh process, for tests of everything round it."""

    monkeypatch.setattr(export_module, "verify_export", lambda *arguments: arguments[-1])


@pytest.mark.usefixtures("unverified")
def test_versions_count_up(caesar, card, tmp_path):
    export_options = {"card": card, "example_texts": ["a"]}
    (tmp_path / "m" / ".export-7-x").mkdir(parents=True)  # what a killed export leaves
    first = export_translator(caesar.translator, tmp_path, "m", **export_options)
    tenth = export_translator(caesar.translator, tmp_path, "m", version=10, **export_options)
    assert (first.name, tenth.name) == ("1", "10")
    assert versions(tmp_path / "m") == [1, 10]
    assert next_version(tmp_path / "m") == 11
    with pytest.raises(FileExistsError, match="give another version"):
        export_translator(caesar.translator, tmp_path, "m", version=10, **export_options)


@pytest.mark.usefixtures("unverified")
def test_a_watcher_never_sees_half_an_export(caesar, card, tmp_path, monkeypatch):
    seen = []
    write = export_module.write_warmup

    def look(path, *arguments):
        write(path, *arguments)
        seen.append(versions(tmp_path / "m"))

    monkeypatch.setattr(export_module, "write_warmup", look)
    path = export_translator(caesar.translator, tmp_path, "m", card=card, example_texts=["a"])
    assert seen == [[]]
    assert [p.name for p in path.parent.iterdir()] == ["1"]
    assert path.stat().st_mode & 0o055 == 0o755 & 0o055 & ~_umask()  # others may read it


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Echo(tf.Module):
    """A translator without attention."""

    attends = False

    def translate(self, text):
        return {"text": text, "score": tf.zeros(tf.shape(text))}

    def n_best(self, text):
        return {key: value[:, None] for key, value in self.translate(text).items()}

    def score(self, source, target):
        return {"log_probability": tf.zeros(tf.shape(tf.strings.join([source, target])))}


@pytest.mark.usefixtures("unverified")
def test_a_model_without_attention_has_no_align(card, tmp_path):
    path = export_translator(Echo(), tmp_path, "echo", card=card, example_texts=["a"])
    signatures = tf.saved_model.load(str(path)).signatures
    assert sorted(signatures) == ["n_best", "score", "serving_default"]
    assert "`align`" not in (path / "README.md").read_text(encoding="utf-8")


class NeedsPython(Echo):
    """Runs here, and nowhere else: its graph calls back into this process."""

    def translate(self, text):
        called = tf.numpy_function(lambda t: t, [text], tf.string)
        return super().translate(tf.reshape(called, [-1]))


def test_an_export_that_fails_elsewhere_never_gets_out(card, tmp_path):
    with pytest.raises(ExportError, match="(?s)to run in plain TensorFlow.*pyfunc"):
        export_translator(NeedsPython(), tmp_path, "m", card=card, example_texts=["a"])
    assert list((tmp_path / "m").iterdir()) == []


class Mean(tf.Module):
    """Series in, numbers out: the mean of each series' real steps, times a weight."""

    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(3.0)

    def signatures(self):
        specs = [
            tf.TensorSpec([None, None, 2], tf.float32, name="series"),
            tf.TensorSpec([None], tf.int32, name="length"),
        ]
        return {"serving_default": tf.function(self.mean, input_signature=specs)}

    def mean(self, series, length):
        mask = tf.sequence_mask(length, tf.shape(series)[1])[:, :, None]
        total = tf.reduce_sum(tf.where(mask, series, 0.0), axis=1)
        means = self.weight * total / tf.cast(length, tf.float32)[:, None]
        return {"mean": tf.reduce_mean(means, axis=1), "means": means}


SERIES = np.arange(36, dtype="float32").reshape(3, 6, 2) / 7.0
LENGTH = np.array([6, 1, 4])


@pytest.fixture(scope="module")
def numeric(card, tmp_path_factory):
    """The path of an export that takes numbers."""
    return export_saved_model(
        None,
        tmp_path_factory.mktemp("numeric") / "models",
        "mean",
        signatures=Mean().signatures(),
        examples={"serving_default": {"series": SERIES, "length": LENGTH}},
        unusual={"serving_default": {"series": np.full((1, 6, 2), np.inf), "length": [6]}},
        card=card,
    )


def test_numbers_in_numbers_out(numeric, tmp_path):
    moved = shutil.copytree(numeric, tmp_path / "1")
    answer = load_functions(moved)["serving_default"](series=SERIES[:2], length=LENGTH[:2])
    wanted = [3 * SERIES[0].mean(axis=0), 3 * SERIES[1, 0]]
    np.testing.assert_allclose(answer["means"], wanted, rtol=1e-6)


def test_warmup_of_numbers_has_the_declared_types(numeric):
    together, alone = read_warmup(numeric)
    np.testing.assert_array_equal(together.inputs["series"], SERIES)
    assert together.inputs["length"].dtype == np.int32
    np.testing.assert_array_equal(alone.inputs["length"], LENGTH[:1])


@pytest.mark.slow
def test_the_card_of_numbers_can_be_pasted(numeric):
    text = (numeric / "README.md").read_text(encoding="utf-8")
    assert "| 6 × 2 numbers | 6 |" in text
    assert "saved_model_cli" not in text
    program, printed, *_ = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        encoding="utf-8",
        cwd=numeric.parents[2],
        check=True,
    )
    assert done.stdout == printed
    wanted = 3 * SERIES[0].mean()
    assert float(printed.split()[0]) == pytest.approx(wanted, rel=1e-6)
    assert "-d @models/mean/1/examples.json" in text
    request = parse_predict((numeric / "examples.json").read_bytes(), read_signatures(numeric))
    np.testing.assert_allclose(request.inputs["series"], SERIES, rtol=1e-7)
    np.testing.assert_array_equal(request.inputs["length"], LENGTH)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ({}, "examples of each"),
        ({"serving_default": {"series": SERIES[:0], "length": []}}, "at least one example"),
        ({"serving_default": {"series": SERIES, "length": [1]}}, "equally many"),
        ({"serving_default": {"series": SERIES}}, r"expected the inputs \['length', 'series'\]"),
    ],
)
def test_examples_that_do_not_fit_are_told(card, tmp_path, examples, message):
    signatures = Mean().signatures()
    with pytest.raises(ValueError, match=message):
        export_saved_model(None, tmp_path, "m", signatures=signatures, examples=examples, card=card)


@pytest.mark.slow
def test_a_card_needs_one_value_per_row(card, tmp_path):
    specs = [tf.TensorSpec([None, 2], tf.float32, name="x")]
    double = tf.function(lambda x: {"y": 2 * x}, input_signature=specs)
    with pytest.raises(ValueError, match="one value per row"):
        export_saved_model(
            None,
            tmp_path,
            "m",
            signatures={"serving_default": double},
            examples={"serving_default": {"x": [[1, 2]]}},
            card=card,
        )
    assert not list((tmp_path / "m").iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "my model"}, "expected a name of letters"),
        ({"name": "../x"}, "expected a name of letters"),
        ({"version": 0}, "expected a version from 1 on, got 0"),
        ({"example_texts": []}, "expected at least one example text"),
    ],
)
def test_mistakes_are_told_before_any_work(card, tmp_path, options, message):
    options = {"name": "m", "example_texts": ["a"], **options}
    with pytest.raises(ValueError, match=message):
        export_translator(None, tmp_path, card=card, **options)
    assert list(tmp_path.iterdir()) == []
