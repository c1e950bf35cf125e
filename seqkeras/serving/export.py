"""Translator -> one SavedModel, strings in, strings out, in the layout TensorFlow Serving watches.

    DIRECTORY/NAME/VERSION/
        saved_model.pb, variables/   the model, with tokenizers and decoding in its graph
        signatures.json              tensor names, for clients in other languages
        assets.extra/                warm-up requests, replayed at load
        README.md                    the card: trained on what, how good, how to call it

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

from seqkeras.decoding.corpus import SIGNATURES
from seqkeras.serving.card import render_card
from seqkeras.serving.signatures import read_signatures, write_signatures_json
from seqkeras.serving.verify import verify_export
from seqkeras.serving.versions import versions
from seqkeras.serving.warmup import WarmupRequest, write_warmup

# signature -> the translator's method and its arguments
TRANSLATOR_SIGNATURES = {
    "serving_default" if method == "translate" else method: (method, arguments)
    for method, arguments in SIGNATURES.items()
}
_UNUSUAL_TEXTS = ("", "\u2603\U0001f40c")  # empty; characters no training text is likely to have


def export_saved_model(translator, directory, name, *, card, example_texts, version=None):
    """Exports a translator as `DIRECTORY/NAME/VERSION`, checked, with its card.

    The export needs nothing of this project: plain TensorFlow loads it, in Python or through the C
    library, and so does TensorFlow Serving. Only what the signatures use is saved: weights and
    tables, neither optimizer nor layers.

    Args:
        translator: `Translator`, or any `tf.Module` with the methods of `TRANSLATOR_SIGNATURES`,
            string tensors in, dicts of tensors out, that tracks the tables of its tokenizers.
            Where it is not `attends`, there is no `align`.
        directory: the folder of all exports, usually `saved_models`.
        name: the model's name, also in URLs: letters, digits, `.`, `_` and `-`.
        card: `ModelCard`, what the reader should know of the model.
        example_texts: some real inputs. They are verified, shown in the card with the model's own
            answers, and are its warm-up requests.
        version: positive int; by default one more than the highest there.

    Returns:
        The `pathlib.Path` of the version's folder.

    Raises:
        ValueError: the name, the version or the examples are none.
        FileExistsError: this version exists already.
        ExportError: the export does not answer as the translator does; nothing is left behind.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"expected a name of letters, digits, '.', '_' and '-' that starts with a letter or "
            f"digit (it stands in URLs), got {name!r}"
        )
    example_texts = list(example_texts)
    if not example_texts:
        raise ValueError("expected at least one example text, got none: the card shows its answer")
    model_folder = Path(directory) / name
    version = next_version(model_folder) if version is None else version
    target = model_folder / str(version)
    if version < 1:
        raise ValueError(f"expected a version from 1 on, got {version}")
    _refuse_existing(target)

    draft = model_folder / f".export-{version}-{uuid.uuid4().hex[:8]}"  # no number: never served
    draft.mkdir(parents=True)
    try:
        functions = trace_signatures(translator)
        save_functions(functions, translator, draft)
        requests = _requests(functions, example_texts)
        expected = [_in_python(functions, *request) for request in requests]
        answers = verify_export(draft, requests, expected)
        write_signatures_json(draft)
        write_warmup(draft, name, _warmup_requests(requests, len(example_texts)))
        examples = _examples(answers[0], example_texts)
        text = render_card(card, target, read_signatures(draft), examples)
        (draft / "README.md").write_text(text, encoding="utf-8")
        _refuse_existing(target)  # another export may have taken it meanwhile
        os.rename(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return target


def next_version(model_folder):
    """Returns one more than the highest version in a model's folder; 1 where there is none."""
    return 1 + max(versions(model_folder), default=0)


def trace_signatures(translator):
    """Returns a dict from signature name to the translator's concrete function for it."""
    functions = {}
    for signature, (method, arguments) in TRANSLATOR_SIGNATURES.items():
        if signature == "align" and not translator.attends:
            continue
        specs = [tf.TensorSpec([None], tf.string, name=argument) for argument in arguments]
        function = tf.function(getattr(translator, method), input_signature=specs)
        functions[signature] = function.get_concrete_function()
    return functions


def save_functions(functions, translator, path):
    """Saves concrete functions, with the variables and tables they use, as a SavedModel."""
    module = tf.Module()
    module.weights = list(_used_variables(functions.values()))
    module.tables = [
        part
        for part in tf.train.TrackableView(translator).descendants()
        if isinstance(part, tf.saved_model.experimental.TrackableResource)
    ]
    tf.saved_model.save(module, str(path), signatures=functions)


def _used_variables(functions):
    by_identity = {id(v): v for function in functions for v in function.graph.variables}
    return by_identity.values()


def _refuse_existing(target):
    if target.exists():
        raise FileExistsError(
            f"{target} exists already, and a served version never changes: "
            "give another version, or none for the next free one"
        )


def _requests(functions, texts):
    """The `(signature, inputs)` to verify: all texts and unusual ones together, then one alone."""
    requests = []
    for batch in ([*texts, *_UNUSUAL_TEXTS], texts[:1]):
        targets = _in_python(functions, "serving_default", {"text": batch})["text"]
        values = {"text": batch, "source": batch, "target": targets}
        for signature in functions:
            _, arguments = TRANSLATOR_SIGNATURES[signature]
            requests.append((signature, {argument: values[argument] for argument in arguments}))
    return requests


def _in_python(functions, signature, inputs):
    """What a function answers here, as nested lists."""
    with tf.device("CPU:0"):  # where the export is verified; other devices round differently
        outputs = functions[signature](**{name: tf.constant(v) for name, v in inputs.items()})
    return {name: _decoded(tensor.numpy().tolist()) for name, tensor in outputs.items()}


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _warmup_requests(requests, count):
    """The verified requests without the unusual texts: warm-up should look like real traffic."""
    for signature, inputs in requests:
        yield WarmupRequest(signature, {name: values[:count] for name, values in inputs.items()})


def _examples(answer, texts):
    """`(input, output, score)` of every example text, from the answer of `serving_default`."""
    return [(t, answer["text"][i], np.float32(answer["score"][i])) for i, t in enumerate(texts)]
