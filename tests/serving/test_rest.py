"""TensorFlow Serving's JSON, from the examples of its documentation and from mistakes."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from seqkeras.serving.rest import RequestError, format_predict, parse_predict


def signature(**inputs):
    made = meta_graph_pb2.SignatureDef()
    for name, (dtype, shape) in inputs.items():
        made.inputs[name].dtype = dtype.as_datatype_enum
        made.inputs[name].tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return made


SIGNATURES = {
    "serving_default": signature(text=(tf.string, [None])),
    "score": signature(source=(tf.string, [None]), target=(tf.string, [None])),
    "mixed": signature(
        tag=(tf.string, [None]),
        signal=(tf.float32, [None, 5]),
        sensor=(tf.int32, [None, 2, 2]),
        on=(tf.bool, None),
    ),
    "scalar": signature(x=(tf.int64, [])),
}
ROW = {"tag": "foo", "signal": [1, 2.5, 3, 4, 5], "sensor": [[1, 2], [3, 4]], "on": True}
OTHER = {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]], "on": False}


def parse(**request):
    return parse_predict(json.dumps(request).encode(), SIGNATURES)


def test_rows_of_values():
    call = parse(instances=["a", "", "é☃", {"b64": "aGk="}])
    assert (call.signature, call.by_row) == ("serving_default", True)
    assert call.inputs["text"].tolist() == [b"a", b"", "é☃".encode(), b"hi"]


def test_rows_and_columns_of_several_inputs_agree():
    rows = parse(signature_name="mixed", instances=[ROW, OTHER])
    columns = parse(signature_name="mixed", inputs={k: [ROW[k], OTHER[k]] for k in ROW})
    assert (rows.by_row, columns.by_row) == (True, False)
    for call in (rows, columns):
        assert call.inputs["tag"].tolist() == [b"foo", b"bar"]
        assert call.inputs["signal"].dtype == np.float32
        np.testing.assert_array_equal(call.inputs["signal"], [ROW["signal"], OTHER["signal"]])
        assert call.inputs["sensor"].shape == (2, 2, 2)
        assert call.inputs["on"].tolist() == [True, False]


@pytest.mark.parametrize("inputs", [["a", "b"], {"text": ["a", "b"]}])
def test_one_input_may_go_without_its_name(inputs):
    assert parse(inputs=inputs).inputs["text"].tolist() == [b"a", b"b"]


def test_rows_may_name_the_only_input():
    assert parse(instances=[{"text": "a"}, {"text": "b"}]).inputs["text"].tolist() == [b"a", b"b"]


def test_scalars_and_numbers_strict_json_lacks():
    assert parse(signature_name="scalar", inputs=7).inputs["x"] == 7
    row = {**ROW, "signal": [math.nan, math.inf, -math.inf, 0, 1e30]}
    call = parse(signature_name="mixed", instances=[row])
    np.testing.assert_array_equal(
        call.inputs["signal"], np.array([[np.nan, np.inf, -np.inf, 0, 1e30]], "float32")
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "expected a JSON object in UTF-8"),
        (b'{"instances": ["a"', "expected a JSON object in UTF-8"),
        (b'{"instances": ["\xff"]}', "expected a JSON object in UTF-8"),
        (b"[" * 100_000, "expected a JSON object in UTF-8"),
        (b'["a"]', "expected a JSON object, got"),
        (b"{}", r"expected either 'instances' .* got the keys \[\]"),
        (b'{"instances": ["a"], "inputs": ["a"]}', "expected either 'instances'"),
        (b'{"instances": "a"}', "'instances' to be a list of at least one element"),
        (b'{"instances": []}', "'instances' to be a list of at least one element"),
        (b'{"instances": [1]}', r"input 'text'\[0\] to be a string .* got 1"),
        (b'{"instances": ["a", null]}', r"input 'text'\[1\] to be a string .* got null"),
        (b'{"instances": ["a", ["b"]]}', r"one shape, got \[\] at \[0\] and \[1\] at \[1\]"),
        (b'{"instances": [["a"]]}', r"input 'text' to have the shape \(None,\), got \(1, 1\)"),
        (b'{"instances": ["a", {"text": "b"}]}', r"input 'text'\[1\] to be a string"),
        (b'{"instances": [{"txt": "a"}]}', r"keys \['text'\], got \{\"txt\": \"a\"\} at index 0"),
        (b'{"instances": [{"text": "a"}, "b"]}', r"keys \['text'\], got \"b\" at index 1"),
        (b'{"instances": [{"b64": "?"}]}', r"input 'text'\[0\] to be base64"),
        (b'{"instances": ["\\ud800"]}', r"input 'text'\[0\] to be a string that has UTF-8"),
        (b'{"inputs": "a"}', r"input 'text' to have the shape \(None,\), got \(\)"),
        (b'{"inputs": {"txt": ["a"]}}', r"'inputs' to be an object with the keys \['text'\]"),
        (b'{"signature_name": "x", "inputs": []}', r"one of \['mixed', .*got \"x\""),
        (b'{"signature_name": ["x"], "inputs": []}', "'signature_name' to be one of"),
        (b'{"signature_name": "score", "instances": ["a"]}', r"\['source', 'target'\]"),
        (b'{"signature_name": "score", "inputs": {"source": ["a"]}}', r"\['source', 'target'\]"),
        (b'{"signature_name": "scalar", "inputs": 1.5}', "input 'x' to be a whole number"),
        (b'{"signature_name": "scalar", "inputs": true}', "input 'x' to be a whole number"),
        (b'{"signature_name": "scalar", "inputs": 99999999999999999999}', "to be int64"),
    ],
)
def test_mistakes_are_told_where_they_are(body, message):
    with pytest.raises(RequestError, match=message):
        parse_predict(body, SIGNATURES)


def test_answers_have_the_form_of_the_question():
    outputs = {
        "text": np.array(["é".encode(), b""], object),
        "score": np.array([0.2, -np.inf], "float32"),
    }
    rows = [{"text": "é", "score": 0.2}, {"text": "", "score": -math.inf}]
    assert json.loads(format_predict(outputs, by_row=True)) == {"predictions": rows}
    columns = {"text": ["é", ""], "score": [0.2, -math.inf]}
    assert json.loads(format_predict(outputs, by_row=False)) == {"outputs": columns}


def test_a_single_output_goes_without_its_name():
    outputs = {"y": np.array([[1, 2], [3, 4]], "int32")}
    assert json.loads(format_predict(outputs, by_row=True)) == {"predictions": [[1, 2], [3, 4]]}
    assert json.loads(format_predict(outputs, by_row=False)) == {"outputs": [[1, 2], [3, 4]]}


def test_bytes_are_base64_only_where_the_name_says_so():
    outputs = {"image_bytes": np.array([b"hi"], object), "text": np.array([b"\xff"], object)}
    (row,) = json.loads(format_predict(outputs, by_row=True))["predictions"]
    assert row == {"image_bytes": {"b64": "aGk="}, "text": "\ufffd"}


def test_outputs_without_common_rows_need_columns():
    outputs = {"a": np.zeros(2), "b": np.zeros(3)}
    with pytest.raises(RequestError, match="use 'inputs'"):
        format_predict(outputs, by_row=True)
    assert json.loads(format_predict(outputs, by_row=False))["outputs"]["b"] == [0, 0, 0]
