"""A translator's signatures, and the inputs by which its export is proved."""

import tensorflow as tf

from seqkeras.decoding.corpus import SIGNATURES, signatures
from seqkeras.serving.export import destination, export_saved_model
from seqkeras.serving.rest import DEFAULT_SIGNATURE

SCORES = (
    "A score is a log-probability (natural logarithm), divided by the length penalty where the "
    "decoder has one; `score` gives the log-probability itself."
)
_UNUSUAL_TEXTS = ("", "\u2603\U0001f40c")  # empty; characters no training text is likely to have


def export_translator(translator, directory, name, *, card, example_texts, version=None):
    """Exports a translator: strings in, strings out; see `export_saved_model`.

    The signature "serving_default" is its `translate`; `n_best`, `score` and `align` keep their
    names.

    Args:
        translator: `Translator`, or any `tf.Module` with the methods of
            `seqkeras.decoding.corpus.SIGNATURES`, string tensors in, dicts of tensors out, that
            tracks the tables of its tokenizers. Where it is not `attends`, there is no `align`.
        directory, name, card, version: see `export_saved_model`.
        example_texts: some real inputs.

    Returns:
        The `pathlib.Path` of the version's folder.
    """
    texts = list(example_texts)
    if not texts:
        raise ValueError("expected at least one example text, got none: the card shows its answer")
    destination(directory, name, version)
    functions = {signature_name(key): f for key, f in signatures(translator).items()}
    with tf.device("CPU:0"):
        outputs = functions[DEFAULT_SIGNATURE](tf.constant([*texts, *_UNUSUAL_TEXTS]))
    targets = list(outputs["text"].numpy())
    count = len(texts)
    return export_saved_model(
        translator,
        directory,
        name,
        signatures=functions,
        examples=_inputs(functions, texts, targets[:count]),
        unusual=_inputs(functions, list(_UNUSUAL_TEXTS), targets[count:]),
        card=card,
        version=version,
    )


def signature_name(method):
    """Returns the name under which an export has a method of a translator."""
    return DEFAULT_SIGNATURE if method == "translate" else method


def _inputs(functions, texts, targets):
    values = {"text": texts, "source": texts, "target": targets}
    return {
        signature_name(method): {argument: values[argument] for argument in arguments}
        for method, arguments in SIGNATURES.items()
        if signature_name(method) in functions
    }
