"""The hand-written wire format against the protobuf library, from the published field numbers."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from seqkeras.serving.warmup import (
    WARMUP_FILE,
    WarmupRequest,
    decode_requests,
    encode_request,
    read_warmup,
)

pytestmark = pytest.mark.tensorflow

# message -> {field: (number, type, repeated)}; a type is a message of this table or of protobuf
MESSAGES = {
    "ModelSpec": {"name": (1, "string"), "version": (2, "Int64"), "signature_name": (3, "string")},
    "Int64": {"value": (1, "int64")},
    "Entry": {"key": (1, "string"), "value": (2, "bytes")},
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "Entry*")},
    "PredictLog": {"request": (1, "PredictRequest"), "response": (2, "bytes")},
    "Metadata": {"sampling": (1, "float"), "time": (2, "double"), "count": (3, "int64")},
    "PredictionLog": {"log_metadata": (1, "Metadata"), "predict_log": (6, "PredictLog")},
}


@pytest.fixture(scope="module")
def protos():
    """Message classes of the protobuf library, made from `MESSAGES`."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for message, fields in MESSAGES.items():
        descriptor = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            label = "LABEL_REPEATED" if kind.endswith("*") else "LABEL_OPTIONAL"
            field = descriptor.field.add(name=name, number=number, label=getattr(field_type, label))
            if kind.rstrip("*") in MESSAGES:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".t.{kind.rstrip('*')}"
            else:
                field.type = getattr(field_type, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"t.{name}")) for name in MESSAGES}


def test_encoded_requests_are_read_by_protobuf(protos):
    long_text = "é" * 20_000  # lengths of one, two and three bytes
    inputs = {"source": ["a", long_text], "target": ["", "b"]}
    record = encode_request("model", WarmupRequest("score", inputs))
    request = protos["PredictionLog"].FromString(record).predict_log.request
    assert (request.model_spec.name, request.model_spec.signature_name) == ("model", "score")
    arrays = {
        entry.key: tf.make_ndarray(tensor_pb2.TensorProto.FromString(entry.value))
        for entry in request.inputs
    }
    assert arrays.keys() == inputs.keys()
    for name, texts in inputs.items():
        assert [value.decode() for value in arrays[name]] == texts


def test_requests_of_others_are_read(protos):
    """With fields of every wire type that we do not use, and numbers instead of texts."""
    log = protos["PredictionLog"]()
    log.log_metadata.sampling, log.log_metadata.time, log.log_metadata.count = 0.5, 2.0, 2**40
    log.predict_log.response = b"anything"
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.version.value = "m", 300
    tensor = tf.make_tensor_proto(np.arange(6, dtype="float32").reshape(2, 3))
    request.inputs.add(key="x", value=tensor.SerializeToString())
    (read,) = decode_requests(log.SerializeToString())
    assert read.signature == "serving_default"  # none was named
    np.testing.assert_array_equal(read.inputs["x"], [[0, 1, 2], [3, 4, 5]])


def test_other_wire_types_are_passed_over():
    unknown = bytes([8 << 3 | 0, 0x80, 1, 9 << 3 | 1, *range(8), 10 << 3 | 5, *range(4)])
    record = unknown + encode_request("m", WarmupRequest("s", {"x": [1]})) + unknown
    assert [request.signature for request in decode_requests(record)] == ["s"]


def test_damage_is_told():
    with pytest.raises(ValueError, match="warm-up file is damaged"):
        list(decode_requests(bytes([1 << 3 | 7])))


def test_an_export_carries_requests_for_every_signature(export, examples):
    records = list(tf.data.TFRecordDataset(str(export / WARMUP_FILE)).as_numpy_iterator())
    assert 0 < len(records) <= 1000  # TensorFlow Serving's limit
    requests = list(read_warmup(export))
    assert {r.signature for r in requests} == {"serving_default", "n_best", "score", "align"}
    texts = [r.inputs["text"] for r in requests if r.signature == "serving_default"]
    assert [[t.decode() for t in batch] for batch in texts] == [examples, examples[:1]]


def test_no_file_means_no_requests(tmp_path):
    assert list(read_warmup(tmp_path)) == []
