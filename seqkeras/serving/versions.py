"""Exports on disk: `DIRECTORY/NAME/VERSION`, the layout TensorFlow Serving watches."""

from pathlib import Path

import tensorflow as tf

from seqkeras.decoding.corpus import SIGNATURES
from seqkeras.serving.signatures import SAVED_MODEL_FILE


def versions(model_folder):
    """Returns the versions in a model's folder, ascending: its subfolders named by a number."""
    folder = Path(model_folder)
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal() and p.is_dir())


def find_version(model_dir):
    """Returns the folder of the highest version in `model_dir`, or itself if it is a version.

    Raises:
        FileNotFoundError: if there is neither.
    """
    path = Path(model_dir).resolve()
    if (path / SAVED_MODEL_FILE).exists() and path.name.isdecimal():
        return path
    found = versions(path)
    if not found:
        raise FileNotFoundError(
            f"expected a model's folder with numbered versions, NAME/1/{SAVED_MODEL_FILE}, or one "
            f"of these versions, got {path}: export a model there first"
        )
    return path / str(found[-1])


def load_functions(model_dir):
    """Loads an export's signatures as functions of keyword arrays.

    Args:
        model_dir: See `find_version`.

    Returns:
        Dict from signature name to function; it takes arrays or nested lists by the inputs' names,
        and returns a dict of tensors.
    """
    loaded = tf.saved_model.load(str(find_version(model_dir)))
    return {name: _with_arrays(function, loaded) for name, function in loaded.signatures.items()}


def load_signatures(model_dir):
    """Returns what `seqkeras.decoding.corpus.signatures` does, of a translator's export.

    Args:
        model_dir: See `find_version`.
    """
    served = load_functions(model_dir)
    functions = {}
    for name, arguments in SIGNATURES.items():
        function = served.get("serving_default" if name == "translate" else name)
        if function is not None:
            functions[name] = _positional(function, arguments)
    return functions


def _with_arrays(function, owner):
    specs = function.structured_input_signature[1]

    def call(**values):
        return function(**{name: tf.constant(v, specs[name].dtype) for name, v in values.items()})

    call.owner = owner  # it owns the variables: kept alive as long as the function
    return call


def _positional(function, arguments):
    return lambda *values: function(**dict(zip(arguments, values, strict=True)))
