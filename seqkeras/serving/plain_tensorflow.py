"""A script that runs a SavedModel with TensorFlow alone, as a stranger's program would.

    python plain_tensorflow.py MODEL_FOLDER < requests.json > answers.json

`requests.json` is a list of `{"signature": NAME, "inputs": {NAME: value}}`; the answers are a list
of `{NAME: value}` in the same order. `verify.py` starts it; nothing imports it, since it makes
Keras and this project unimportable in its process: a model that needs either fails here.
"""

import json
import sys

for package in ("keras", "tf_keras", "seqkeras"):
    sys.modules[package] = None  # importing it now raises ModuleNotFoundError

import tensorflow as tf  # noqa: E402


def run(signature, inputs):
    """Calls one signature with JSON values; returns its outputs as JSON values."""
    specs = signature.structured_input_signature[1]
    tensors = {name: to_tensor(value, specs[name].dtype) for name, value in inputs.items()}
    return {name: to_json(tensor.numpy().tolist()) for name, tensor in signature(**tensors).items()}


def to_tensor(value, dtype):
    """JSON value -> tensor. Bytes that are no UTF-8 travel as lone surrogates."""
    return tf.constant(to_bytes(value) if dtype == tf.string else value, dtype)


def to_bytes(value):
    """Encodes every string of a nested list."""
    if isinstance(value, list):
        return [to_bytes(item) for item in value]
    return value.encode("utf-8", "surrogateescape")


def to_json(value):
    """Decodes every byte string of a nested list."""
    if isinstance(value, list):
        return [to_json(item) for item in value]
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


if __name__ == "__main__":
    model = tf.saved_model.load(sys.argv[1])
    requests = json.load(sys.stdin)
    answers = [run(model.signatures[r["signature"]], r["inputs"]) for r in requests]
    json.dump(answers, sys.stdout)
