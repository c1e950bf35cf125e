"""Many strings through a translator or an export, in batches of like lengths.

A signature is a function from string tensors `(B,)` to a dict of tensors with leading B. A
`Translator` has them as methods, an exported SavedModel as its signatures; what is here works with
either, so a model is evaluated by the same code that will serve it.
"""

import numpy as np
import tensorflow as tf

from seqkeras.decoding.threads import map_batches

# method of a translator -> its arguments, each a batch of strings `(B,)`
SIGNATURES = {
    "translate": ("text",),
    "n_best": ("text",),
    "score": ("source", "target"),
    "align": ("text",),
}


def signatures(translator):
    """Returns `{name: function}` of a translator's methods, compiled for batches of any size."""
    functions = {}
    for name, arguments in SIGNATURES.items():
        if name == "align" and not translator.attends:
            continue
        functions[name] = _compiled(getattr(translator, name), arguments)
    return functions


def with_look(translator):
    """Returns `signatures`, and of a Transformer "look", which an export does not have."""
    if not translator.has_heads:
        return signatures(translator)
    return {**signatures(translator), "look": _compiled(translator.look, ("text",))}


def _compiled(method, arguments):
    specs = [tf.TensorSpec([None], tf.string, name=argument) for argument in arguments]
    return tf.function(method, input_signature=specs, autograph=False)


def run_corpus(function, *columns, batch_size=64):
    """Calls a signature on lists of strings of any length; returns one dict for each example.

    Sentences of like length share a batch, for padding costs time; results come in the order of
    the input and do not depend on the batches. After `one_thread_a_batch`, several run at once.

    Args:
        function: A signature.
        *columns: Lists of str of one length, one for each argument.
        batch_size: Most examples at a time.

    Returns:
        List of dicts from an output's name to a str, float or array; strings are decoded.
    """
    order = sorted(range(len(columns[0])), key=lambda index: len(columns[0][index]))
    batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]

    def run(rows):
        outputs = function(*([column[row] for row in rows] for column in columns))
        return {name: _decoded(tensor.numpy()) for name, tensor in outputs.items()}

    results = [None] * len(order)
    for rows, outputs in zip(batches, map_batches(run, batches), strict=True):
        for place, row in enumerate(rows):
            results[row] = {name: values[place] for name, values in outputs.items()}
    return results


def _decoded(array):
    if array.dtype != object:
        return array
    flat = [value.decode("utf-8", errors="replace") for value in array.ravel()]
    return np.array(flat, dtype=object).reshape(array.shape)
