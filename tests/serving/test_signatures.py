"""`signatures.json` used as a client without protobufs would: feed and fetch by tensor name."""

import json

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from seqkeras.serving.signatures import is_batchable, read_signatures

pytestmark = pytest.mark.tensorflow


def test_tensor_names_feed_and_fetch_in_a_session(caesar, export):
    described = json.loads((export / "signatures.json").read_text(encoding="utf-8"))
    assert sorted(described) == ["align", "n_best", "score", "serving_default"]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.load(session, ["serve"], str(export))
        signature = described["serving_default"]
        feed = {signature["inputs"]["text"]["tensor"]: ["hello", "☃"]}
        text = session.run(signature["outputs"]["text"]["tensor"], feed)
        assert [t.decode() for t in text] == [caesar.shift("hello"), caesar.unknown]
        signature = described["score"]
        feed = {
            signature["inputs"][k]["tensor"]: [v] for k, v in [("source", "ab"), ("target", "")]
        }
        (score,) = session.run(signature["outputs"]["log_probability"]["tensor"], feed)
        assert score == pytest.approx(caesar.weigh("ab"), rel=1e-5)


def test_types_and_shapes(export):
    described = json.loads((export / "signatures.json").read_text(encoding="utf-8"))
    best = described["n_best"]
    assert best["inputs"]["text"] == {
        "tensor": "n_best_text:0",
        "dtype": "string",
        "shape": [None],
    }
    assert best["outputs"]["score"]["dtype"] == "float32"
    assert best["outputs"]["score"]["shape"] == [None, 2]
    assert described["align"]["outputs"]["attention"]["shape"] == [None, None, None]


def test_only_outputs_of_fixed_width_share_a_run(export):
    batchable = {name: is_batchable(s) for name, s in read_signatures(export).items()}
    assert batchable == {"align": False, "n_best": True, "score": True, "serving_default": True}


@pytest.mark.parametrize(
    ("shape", "batchable"),
    [([None], True), ([None, 3], True), ([None, None], False), ([], False), (None, False)],
)
def test_is_batchable(shape, batchable):
    signature = meta_graph_pb2.SignatureDef()
    signature.outputs["y"].tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    assert is_batchable(signature) == batchable
