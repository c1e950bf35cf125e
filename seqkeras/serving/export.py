"""Module -> one SavedModel, raw inputs in, answers out, in the layout TensorFlow Serving watches.

    DIRECTORY/NAME/VERSION/
        saved_model.pb, variables/   the model, with tokenizers, scaling and decoding in its graph
        signatures.json              tensor names, for clients in other languages
        assets.extra/                warm-up requests, replayed at load
        README.md                    the card: trained on what, how good, how to call it
        examples.json                the card's request, where its inputs are no short strings

It is written to a hidden folder beside its place, proved there in a process that has neither Keras
nor this project, and only then renamed: a server that watches the folder never sees half a model,
and a model that does not answer as in Python never gets out.
"""

import os
import re
import shutil
import uuid
from pathlib import Path

import numpy as np
import tensorflow as tf

from seqkeras.serving.calls import EXAMPLES_FILE, example_request, first_rows, takes_strings
from seqkeras.serving.card import render_card
from seqkeras.serving.rest import DEFAULT_SIGNATURE
from seqkeras.serving.signatures import read_signatures, write_signatures_json
from seqkeras.serving.verify import to_bytes, to_json, verify_export
from seqkeras.serving.versions import versions
from seqkeras.serving.warmup import WarmupRequest, write_warmup


def export_saved_model(
    module, directory, name, *, signatures, examples, card, unusual=None, version=None
):
    """Exports a module as `DIRECTORY/NAME/VERSION`, checked, with its card.

    The export needs nothing of this project: plain TensorFlow loads it, in Python or through the C
    library, and so does TensorFlow Serving. Only what the signatures use is saved: weights and
    tables, neither optimizer nor layers.

    Args:
        module: `tf.Module` that tracks the lookup tables that the signatures use, or None where
            they use none. Variables are found by themselves.
        directory: the folder of all exports, usually `saved_models`.
        name: the model's name, also in URLs: letters, digits, `.`, `_` and `-`.
        signatures: dict from signature name, "serving_default" among them, to `tf.function` with
            an `input_signature` of named `tf.TensorSpec`s, tensors in, dict of tensors out. Every
            input and output has one row per example.
        examples: dict from every signature's name to a dict from input name to rows: some real
            inputs, as arrays or nested lists. They are verified and replayed as warm-up; those of
            "serving_default" are shown in the card with the model's own answers.
        card: `ModelCard`, what the reader should know of the model.
        unusual: like `examples`, or None: further rows that are verified, in one batch with the
            examples, but neither shown nor replayed: the empty, the very short, the unknown.
        version: positive int; by default one more than the highest there.

    Returns:
        The `pathlib.Path` of the version's folder.

    Raises:
        ValueError: the name, the version, the signatures or the examples are none.
        FileExistsError: this version exists already.
        ExportError: the export does not answer as the module does; nothing is left behind.
    """
    target = destination(directory, name, version)
    _check_examples(signatures, examples)
    draft = target.with_name(f".export-{target.name}-{uuid.uuid4().hex[:8]}")  # never served
    draft.mkdir(parents=True)
    try:
        functions = {key: f.get_concrete_function() for key, f in signatures.items()}
        save_functions(functions, module, draft)
        examples = {key: _arrays(functions[key], rows) for key, rows in examples.items()}
        requests = _requests(functions, examples, unusual or {})
        expected = [_in_python(functions, *request) for request in requests]
        answers = verify_export(draft, [(key, _as_json(rows)) for key, rows in requests], expected)
        write_signatures_json(draft)
        write_warmup(draft, name, _warmup_requests(examples))
        shown = requests[0][1]
        outputs = _to_arrays(functions[DEFAULT_SIGNATURE], answers[0])
        if not takes_strings(shown):
            (draft / EXAMPLES_FILE).write_text(example_request(shown) + "\n", encoding="utf-8")
        text = render_card(card, target, read_signatures(draft), shown, outputs)
        (draft / "README.md").write_text(text, encoding="utf-8")
        _refuse_existing(target)  # another export may have taken it meanwhile
        os.rename(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return target


def destination(directory, name, version=None):
    """Returns the folder of the version to write, the next free one by default.

    Raises:
        ValueError, FileExistsError: as `export_saved_model`, which asks this first; ask it yourself
            before long work.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"expected a name of letters, digits, '.', '_' and '-' that starts with a letter or "
            f"digit (it stands in URLs), got {name!r}"
        )
    model_folder = Path(directory) / name
    version = next_version(model_folder) if version is None else version
    if version < 1:
        raise ValueError(f"expected a version from 1 on, got {version}")
    target = model_folder / str(version)
    _refuse_existing(target)
    return target


def next_version(model_folder):
    """Returns one more than the highest version in a model's folder; 1 where there is none."""
    return 1 + max(versions(model_folder), default=0)


def save_functions(functions, module, path):
    """Saves concrete functions, with the variables and tables they use, as a SavedModel."""
    saved = tf.Module()
    saved.weights = list(_used_variables(functions.values()))
    saved.tables = [
        part
        for part in (tf.train.TrackableView(module).descendants() if module is not None else ())
        if isinstance(part, tf.saved_model.experimental.TrackableResource)
    ]
    # An export is not trained: without this, the gradients of fused kernels would be saved as well,
    # and some of what they capture from the forward pass cannot be.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(saved, str(path), signatures=functions, options=options)


def _used_variables(functions):
    by_identity = {id(v): v for function in functions for v in function.graph.variables}
    return by_identity.values()


def _refuse_existing(target):
    if target.exists():
        raise FileExistsError(
            f"{target} exists already, and a served version never changes: "
            "give another version, or none for the next free one"
        )


def _check_examples(signatures, examples):
    if DEFAULT_SIGNATURE not in signatures or signatures.keys() != examples.keys():
        raise ValueError(
            f"expected signatures with {DEFAULT_SIGNATURE!r} among them, and examples of each, got "
            f"signatures {sorted(signatures)} and examples of {sorted(examples)}"
        )
    for key, inputs in examples.items():
        counts = {name: len(rows) for name, rows in inputs.items()}
        if not counts or 0 in counts.values() or len(set(counts.values())) > 1:
            raise ValueError(
                f"expected at least one example of {key!r}, equally many for each of its inputs, "
                f"got {counts}: the card shows its answer"
            )


def _arrays(function, inputs):
    """Rows of whatever kind as arrays of the dtypes that the signature declares."""
    specs = {spec.name: spec for spec in tf.nest.flatten(function.structured_input_signature)}
    if inputs.keys() != specs.keys():
        raise ValueError(f"expected the inputs {sorted(specs)}, got {sorted(inputs)}")
    return {name: tf.constant(rows, specs[name].dtype).numpy() for name, rows in inputs.items()}


def _requests(functions, examples, unusual):
    """The `(signature, inputs)` to verify: what the card shows, all rows together, one alone."""
    requests = [(DEFAULT_SIGNATURE, first_rows(examples[DEFAULT_SIGNATURE]))]
    for key, rows in examples.items():
        everything = rows
        if key in unusual:
            more = _arrays(functions[key], unusual[key])
            everything = {name: np.concatenate([rows[name], more[name]]) for name in rows}
        for batch in (everything, {name: array[:1] for name, array in rows.items()}):
            requests.append((key, batch))
    return requests


def _in_python(functions, signature, inputs):
    """What a function answers here, as nested lists."""
    with tf.device("CPU:0"):  # where the export is verified; other devices round differently
        outputs = functions[signature](**{name: tf.constant(v) for name, v in inputs.items()})
    return _as_json({name: tensor.numpy() for name, tensor in outputs.items()})


def _as_json(arrays):
    return {name: to_json(array.tolist()) for name, array in arrays.items()}


def _warmup_requests(examples):
    """The examples together and the first alone; real traffic, without what is unusual."""
    for size in (None, 1):
        for key, rows in examples.items():
            yield WarmupRequest(key, {name: array[:size] for name, array in rows.items()})


def _to_arrays(function, answer):
    """An answer in JSON as arrays of the dtypes that the signature declares."""
    arrays = {}
    for name, spec in function.structured_outputs.items():
        if spec.dtype == tf.string:
            arrays[name] = np.array(to_bytes(answer[name]), object)
        else:
            arrays[name] = np.array(answer[name], spec.dtype.as_numpy_dtype)
    return arrays
