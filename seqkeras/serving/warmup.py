"""Warm-up requests: what a server runs at load, so that no user waits for the first, slow run.

TensorFlow Serving reads `assets.extra/tf_serving_warmup_requests`, a TFRecord file of
`PredictionLog` messages (tensorflow.org/tfx/serving/saved_model_warmup). Of these we need one path:

    PredictionLog.predict_log = 6 -> PredictLog.request = 1 -> PredictRequest
    PredictRequest.model_spec = 1 -> ModelSpec.name = 1, .signature_name = 3
    PredictRequest.inputs     = 2 -> map entries: key = 1, value = 2 (a TensorProto)

Every one of these fields is length-delimited, so the wire format is written and read here by hand
(protobuf.dev/programming-guides/encoding): the package with the generated classes would bring
TensorFlow a second time and gRPC.
"""

from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


class WarmupRequest(NamedTuple):
    """One request to replay: a signature's name and its inputs, a dict from name to array."""

    signature: str
    inputs: dict


def write_warmup(path, model_name, requests):
    """Writes `WarmupRequest`s for the model `model_name` into the export at `path`."""
    file = Path(path) / WARMUP_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for request in requests:
            writer.write(encode_request(model_name, request))


def read_warmup(path):
    """Yields the `WarmupRequest`s of the export at `path`; none if it has no warm-up file."""
    file = Path(path) / WARMUP_FILE
    if file.exists():
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            yield from decode_requests(record)


def encode_request(model_name, request):
    """Returns the bytes of a `PredictionLog` that asks `model_name` for `request`."""
    model_spec = _field(1, model_name.encode()) + _field(3, request.signature.encode())
    predict_request = _field(1, model_spec)
    for name, value in request.inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        predict_request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, predict_request))


def decode_requests(record):
    """Yields the predict requests in the bytes of a `PredictionLog`, passing over other kinds."""
    for predict_log in _values(record, 6):
        for predict_request in _values(predict_log, 1):
            (model_spec,) = _values(predict_request, 1)
            named = _values(model_spec, 3)
            inputs = {}
            for entry in _values(predict_request, 2):
                (name,), (tensor,) = _values(entry, 1), _values(entry, 2)
                inputs[name.decode()] = tf.make_ndarray(tensor_pb2.TensorProto.FromString(tensor))
            # No name means the default to TensorFlow Serving too.
            yield WarmupRequest(named[0].decode() if named else "serving_default", inputs)


def _field(number, payload):
    return _varint(number << 3 | _BYTES) + _varint(len(payload)) + payload


def _varint(value):
    """Seven bits a byte, lowest first; the high bit says that another byte follows."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(message, start):
    value = shift = 0
    while message[start] & 0x80:
        value |= (message[start] & 0x7F) << shift
        start, shift = start + 1, shift + 7
    return value | message[start] << shift, start + 1


def _values(message, number):
    """Returns the payloads of the length-delimited fields `number` in the bytes of a message."""
    values, at = [], 0
    while at < len(message):
        key, at = _read_varint(message, at)
        wire_type = key & 7
        if wire_type == _BYTES:
            size, at = _read_varint(message, at)
            if key >> 3 == number:
                values.append(message[at : at + size])
            at += size
        elif wire_type == _VARINT:
            _, at = _read_varint(message, at)
        elif wire_type in (_FIXED64, _FIXED32):
            at += 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(
                f"expected a protobuf message, got wire type {wire_type} at byte {at}: "
                "the warm-up file is damaged; export the model again"
            )
    return values
