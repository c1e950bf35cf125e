"""What an export offers: its signatures, read from `saved_model.pb`, as JSON for other languages.

A client in C, Go or Java feeds and fetches *graph tensors*, whose names change with every export
and stand only inside a protobuf. `signatures.json` says them in plain text:

    {"serving_default": {
        "inputs": {
            "text": {"tensor": "serving_default_text:0", "dtype": "string", "shape": [null]}},
        "outputs": {
            "score": {"tensor": "StatefulPartitionedCall_2:0", "dtype": "float32", ...},
            "text": ...}}}

A `null` in a shape is a size known only at run time, as the number of texts is; a shape that is
itself `null` has an unknown rank.
"""

import json
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

SAVED_MODEL_FILE = "saved_model.pb"
SIGNATURES_FILE = "signatures.json"
_INITIALIZER = "__saved_model_init_op"  # TensorFlow's own entry: fills the tables, takes no input


def read_signatures(path):
    """Reads the signatures of a SavedModel without loading its graph.

    Args:
        path: the folder with `saved_model.pb`.

    Returns:
        A dict from signature name to `SignatureDef`, sorted by name.
    """
    saved_model = saved_model_pb2.SavedModel.FromString(
        (Path(path) / SAVED_MODEL_FILE).read_bytes()
    )
    (graph,) = [g for g in saved_model.meta_graphs if "serve" in g.meta_info_def.tags]
    return {
        name: graph.signature_def[name]
        for name in sorted(graph.signature_def)
        if name != _INITIALIZER
    }


def write_signatures_json(path):
    """Writes `signatures.json` beside the `saved_model.pb` in the folder `path`."""
    described = {
        name: {"inputs": _describe(signature.inputs), "outputs": _describe(signature.outputs)}
        for name, signature in read_signatures(path).items()
    }
    text = json.dumps(described, indent=2, sort_keys=True) + "\n"
    (Path(path) / SIGNATURES_FILE).write_text(text, encoding="utf-8")


def is_batchable(signature):
    """Whether requests for this signature may share one run.

    True if every input and output has one row per example and nothing but the number of rows is
    open. Where an output is as wide as the widest example of its batch (attention maps are), an
    answer would show with whom it shared the run.
    """
    tensors = [*signature.inputs.values(), *signature.outputs.values()]
    return all(_only_rows_open(tf.TensorShape(info.tensor_shape)) for info in tensors)


def _only_rows_open(shape):
    return shape.rank is not None and shape.rank > 0 and shape[1:].is_fully_defined()


def _describe(tensors):
    return {
        name: {
            "tensor": info.name,
            "dtype": tf.dtypes.as_dtype(info.dtype).name,
            "shape": None
            if info.tensor_shape.unknown_rank
            else tf.TensorShape(info.tensor_shape).as_list(),
        }
        for name, info in tensors.items()
    }
