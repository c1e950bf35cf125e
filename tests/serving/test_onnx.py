"""Whole translations as ONNX, ids to ids, run without TensorFlow and compared with it.

The models are not trained but have large random weights, so that hypotheses differ clearly. Every
batch has sources of many lengths: its examples are done, and leave the loop, at different steps.
"""

import pathlib
import re

import numpy as np
import pytest

from seqkeras.constants import END, PAD
from seqkeras.decoding import beam_search, ensemble_state, ensemble_step, greedy_search
from seqkeras.models import attention_seq2seq, decoding_parts, seq2seq
from seqkeras.models.attention_seq2seq import PRESETS

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

SERVING = pathlib.Path(__file__).parents[2] / "docs" / "serving.md"
VOCABULARY = 20
SHAPES = [(1, 4), (7, 9), (3, 1), (16, 12)]


def sharpened(builder, seed, **options):
    model = builder(VOCABULARY, VOCABULARY, embedding_dim=6, units=8, **options)
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(scale=2.5 / w.shape[0] ** 0.5, size=w.shape) for w in model.weights]
    )
    return model


def search(models, source, **options):
    import tensorflow as tf

    parts = [decoding_parts(model) for model in models]
    memories, states = zip(*(part.encode(source) for part in parts), strict=True)
    steps, single = [part.step for part in parts], len(parts) == 1
    return beam_search(
        steps[0] if single else ensemble_step(steps),
        states[0] if single else ensemble_state(states),
        tf.shape(source)[0],
        4,
        2 * tf.math.count_nonzero(source != PAD, axis=1, dtype=tf.int32) + 2,
        memory=memories[0] if single else list(memories),
        length_penalty=1.0,
        **options,
    )._asdict()


def sources(batch_size, length):
    """Random ids, a source of every length up to `length` among them if the batch is as large."""
    rng = np.random.default_rng(batch_size)
    lengths = length - np.arange(batch_size) % length
    ids = rng.integers(END + 1, VOCABULARY, (batch_size, length), dtype="int32")
    places = np.arange(length)
    ids = np.where(places == lengths[:, None] - 1, END, ids)
    return np.where(places < lengths[:, None], ids, PAD).astype("int32")


def check_conversion(function, shapes):
    """Converts a function of ids `(B, S)`; compares all that it returns, for every shape."""
    import onnxruntime
    import tensorflow as tf
    import tf2onnx

    ids = tf.TensorSpec([None, None], tf.int32, name="source")
    function = tf.function(function, input_signature=[ids])
    onnx, _ = tf2onnx.convert.from_function(function, [ids], opset=18)
    session = onnxruntime.InferenceSession(onnx.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    for shape in shapes:
        source = sources(*shape)
        expected = function(tf.constant(source))
        found = dict(zip(names, session.run(names, {"source": source}), strict=True))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            if name in ("tokens", "lengths"):
                np.testing.assert_array_equal(found[name], value)
            else:
                np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)
        yield found


def test_greedy_search():
    import tensorflow as tf

    parts = decoding_parts(sharpened(attention_seq2seq, 3))

    def search(source):
        memory, state = parts.encode(source)
        batch_size = tf.shape(source)[0]
        return greedy_search(parts.step, state, batch_size, 9, memory=memory)._asdict()

    *_, found = check_conversion(search, SHAPES)
    assert len({tuple(row) for row in found["tokens"].tolist()}) > 1


def test_beam_search_with_attention():
    model = sharpened(attention_seq2seq, 0, **PRESETS["luong"], memory_units=8)
    *_, found = check_conversion(lambda source: search([model], source), SHAPES)
    assert len(set(found["lengths"].max(axis=1))) > 5  # not all at once: the loop did lose rows


def test_beam_search_without_attention():
    model = sharpened(seq2seq, 1)
    *_, found = check_conversion(lambda source: search([model], source, n_best=1), SHAPES)
    assert len(set(found["lengths"].max(axis=1))) > 5


def test_ensemble_with_every_option():
    models = [sharpened(attention_seq2seq, seed) for seed in (2, 3)]
    options = {"n_best": 2, "coverage_penalty": 0.3, "no_repeat_ngram": 2}

    def function(source):
        return search(models, source, source_mask=source != PAD, **options)

    for found in check_conversion(function, SHAPES[1:]):
        assert np.isfinite(found["scores"]).all()


def test_the_documented_conversion(tmp_path, monkeypatch):
    section = SERVING.read_text("utf-8").split("## ONNX")[1]
    code = "".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    model = sharpened(attention_seq2seq, 4)
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    model.save(run / "model.keras")
    monkeypatch.chdir(tmp_path)
    names = {"source": sources(5, 6)}
    exec(code, names)
    expected = names["translate"](names["source"])
    np.testing.assert_array_equal(names["tokens"], expected["tokens"])
    np.testing.assert_allclose(names["score"], expected["score"], rtol=1e-4)
