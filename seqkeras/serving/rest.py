"""TensorFlow Serving's JSON for `predict`: body -> arrays, arrays -> body.

The format is that of tensorflow.org/tfx/serving/api_rest. Row form: `instances`, a list with one
element per example, each a value or, with several inputs, an object of values; it answers
`predictions`, likewise one element per example. Column form: `inputs`, whole tensors; it answers
`outputs`. A string may be given as `{"b64": "…"}`; an output named `…_bytes` is given so. Numbers
may be `NaN`, `Infinity` and `-Infinity`, which strict JSON lacks.
"""

import base64
import json
from typing import NamedTuple

import numpy as np
import tensorflow as tf

DEFAULT_SIGNATURE = "serving_default"


class RequestError(ValueError):
    """A request that cannot be answered, and why: the client's mistake."""


class PredictCall(NamedTuple):
    """What a body asks for: a signature, its inputs as arrays, and the form of the answer."""

    signature: str
    inputs: dict
    by_row: bool


def parse_predict(body, signatures):
    """Reads the body of a `predict` request.

    Args:
        body: bytes.
        signatures: dict from signature name to `SignatureDef`.

    Returns:
        `PredictCall`; its inputs have the dtype and rank that the signature declares.

    Raises:
        RequestError: the body is no such request. The message says where and what was expected.
    """
    request = _load(body)
    name = request.get("signature_name") or DEFAULT_SIGNATURE
    if not isinstance(name, str) or name not in signatures:
        raise RequestError(
            f"expected 'signature_name' to be one of {sorted(signatures)}, got {_show(name)}"
        )
    tensors = signatures[name].inputs
    if ("instances" in request) == ("inputs" in request):
        raise RequestError(
            "expected either 'instances' (one element per example) or 'inputs' (whole tensors), "
            f"got the keys {sorted(request)}"
        )
    by_row = "instances" in request
    values = _from_rows(request["instances"], tensors) if by_row else _named(request, tensors)
    arrays = {key: _to_array(values[key], info, key) for key, info in tensors.items()}
    return PredictCall(name, arrays, by_row)


def format_predict(outputs, by_row):
    """Returns the body that answers a request: `outputs` is a dict from name to array."""
    columns = {name: _to_json(array, name) for name, array in outputs.items()}
    if not by_row:
        answer = columns if len(columns) > 1 else next(iter(columns.values()))
        return _dump({"outputs": answer})
    if len({len(array) for array in outputs.values()}) > 1:
        raise RequestError(
            "the outputs differ in their first dimension and have no rows: use 'inputs'"
        )
    if len(columns) == 1:
        return _dump({"predictions": next(iter(columns.values()))})
    rows = zip(*columns.values(), strict=True)
    return _dump({"predictions": [dict(zip(columns, row, strict=True)) for row in rows]})


def _load(body):
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"expected a JSON object in UTF-8, got a body with: {error}") from error
    if not isinstance(request, dict):
        raise RequestError(f"expected a JSON object, got {_show(request)}")
    return request


def _from_rows(instances, tensors):
    """`instances` -> dict from input name to the list of its values."""
    if not isinstance(instances, list) or not instances:
        raise RequestError(
            f"expected 'instances' to be a list of at least one element, got {_show(instances)}"
        )
    if len(tensors) == 1 and not _is_object(instances[0]):
        (name,) = tensors
        instances = [{name: value} for value in instances]
    for row, instance in enumerate(instances):
        if not _is_object(instance) or instance.keys() != set(tensors):
            raise RequestError(
                f"expected every element of 'instances' to be an object with the keys "
                f"{sorted(tensors)}, got {_show(instance)} at index {row}"
            )
    return {name: [instance[name] for instance in instances] for name in tensors}


def _named(request, tensors):
    """`inputs` -> dict from input name to its value."""
    values = request["inputs"]
    if len(tensors) == 1 and not _is_object(values):
        (name,) = tensors
        return {name: values}
    if not _is_object(values) or values.keys() != set(tensors):
        raise RequestError(
            f"expected 'inputs' to be an object with the keys {sorted(tensors)}, "
            f"got {_show(values)}"
        )
    return values


def _is_object(value):
    return isinstance(value, dict) and value.keys() != {"b64"}


def _to_array(value, info, name):
    dtype = tf.dtypes.as_dtype(info.dtype)
    expected = tf.TensorShape(info.tensor_shape)
    leaves = []
    shape = _flatten(value, dtype, f"input '{name}'", leaves)
    if not expected.is_compatible_with(shape):
        raise RequestError(
            f"expected input '{name}' to have the shape {expected}, got {tf.TensorShape(shape)}"
        )
    try:
        return np.array(leaves, dtype.as_numpy_dtype).reshape(shape)
    except OverflowError as error:
        raise RequestError(f"expected input '{name}' to be {dtype.name}: {error}") from error


def _flatten(value, dtype, where, leaves):
    """Appends the leaves of nested lists in order; returns their shape."""
    if not isinstance(value, list):
        leaves.append(_to_leaf(value, dtype, where))
        return ()
    shapes = [_flatten(item, dtype, f"{where}[{i}]", leaves) for i, item in enumerate(value)]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise RequestError(
                f"expected the elements of {where} to have one shape, "
                f"got {list(shapes[0])} at [0] and {list(shape)} at [{i}]"
            )
    return (len(value), *(shapes[0] if shapes else ()))


def _to_leaf(value, dtype, where):
    if dtype == tf.string:
        if isinstance(value, str):
            return _encode(value, where)
        if isinstance(value, dict) and isinstance(value.get("b64"), str) and len(value) == 1:
            return _decode_base64(value["b64"], where)
        expected = 'a string or {"b64": "…"}'
    elif dtype == tf.bool:
        if isinstance(value, bool):
            return value
        expected = "true or false"
    else:
        accepted = (int, float) if dtype.is_floating else int
        if isinstance(value, accepted) and not isinstance(value, bool):
            return value
        expected = "a number" if dtype.is_floating else "a whole number"
    raise RequestError(f"expected {where} to be {expected}, got {_show(value)}")


def _encode(value, where):
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"expected {where} to be a string that has UTF-8: {error}") from error


def _decode_base64(value, where):
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise RequestError(f"expected {where} to be base64: {error}") from error


def _to_json(array, name):
    if array.dtype == object:  # TensorFlow's strings arrive as bytes objects
        as_text = _to_base64 if name.endswith("_bytes") else _to_text
        return _map(as_text, array.tolist())
    if array.dtype == np.float32:
        # The shortest decimal that reads back as the same float32: 0.2, not 0.20000000298.
        return _map(lambda number: float(str(np.float32(number))), array.tolist())
    return array.tolist()


def _to_base64(value):
    return {"b64": base64.b64encode(value).decode()}


def _to_text(value):
    return value.decode("utf-8", "replace")


def _map(function, nested):
    if isinstance(nested, list):
        return [_map(function, item) for item in nested]
    return function(nested)


def _dump(answer):
    return json.dumps(answer, ensure_ascii=False).encode()


def _show(value):
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 80 else text[:77] + "..."
