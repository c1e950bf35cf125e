"""The row-wise activation a(.) that turns scores into weights; notes B 4.3 (9), 4.3.1-4.3.3.

    softmax     a(x)_j = exp(x_j) / sum_i exp(x_i)     soft attention
    hard        a(x)   = onehot(argmax_j x_j)          hard attention; of equals the first wins
    identity    a(x)   = x
    sparsemax   a(x)   = the nearest point to x in the simplex, Martins and Astudillo 2016
                         (arXiv:1602.02068)

An activation is a function `(scores (..., S), mask) -> weights (..., S)`, mask a boolean tensor
that broadcasts to the scores, True where a query may look, or None. It works in float32 and gives
the dtype of the scores back; where the mask is False weight and gradient are exactly 0, so a row
that may look nowhere is all zeros (the notes' -inf would make it NaN, erratum X17).
"""

import inspect

from keras import activations, ops

from seqkeras.ops.masks import HIDDEN, masked_softmax


def hard(scores, mask=None):
    """The one-hot vector of the highest real score, of equal ones the first; no gradient."""
    logits = ops.cast(scores, "float32")
    if mask is not None:
        logits = ops.where(mask, logits, -float("inf"))
    best = ops.expand_dims(ops.argmax(logits, axis=-1), -1)  # (..., 1)
    places = ops.arange(ops.shape(scores)[-1], dtype=best.dtype)
    chosen = ops.equal(places, best)
    if mask is not None:
        chosen = ops.logical_and(chosen, mask)
    return ops.cast(chosen, scores.dtype)


def identity(scores, mask=None):
    """The scores themselves: linear attention without a normaliser."""
    return scores if mask is None else ops.where(mask, scores, ops.zeros((), scores.dtype))


def masked_log_softmax(scores, mask=None):
    """Log of `masked_softmax` in float32, for real entries; elsewhere finite, with gradient 0."""
    logits = ops.cast(scores, "float32")
    if mask is not None:
        logits = ops.where(mask, logits, HIDDEN)
    return ops.log_softmax(logits, axis=-1)


def sparsemax(x):
    """Softmax that gives weight exactly 0 to what scores low; x `(..., S)`.

    a(x)_j = max(x_j - tau, 0), with tau such that they sum to 1: (sum of the support - 1) / its
    size. Keras 3.15's own sums up the wrong thing there, and its weights do not sum to 1.
    """
    x = x - ops.max(x, axis=-1, keepdims=True)
    falling = -ops.sort(-x, axis=-1)
    r = ops.cumsum(ops.ones_like(x), axis=-1)
    support = ops.cast(1.0 + r * falling > ops.cumsum(falling, axis=-1), x.dtype)
    tau = ops.sum(support * falling, axis=-1, keepdims=True) - 1.0
    return ops.relu(x - tau / ops.sum(support, axis=-1, keepdims=True))


def _masked(function):
    """The function as an activation: no value and no gradient where masked."""
    takes_mask = "mask" in inspect.signature(function).parameters

    def activation(scores, mask=None):
        logits = ops.cast(scores, "float32")
        if mask is not None:
            logits = ops.where(mask, logits, HIDDEN)
        weights = function(logits, mask=mask) if takes_mask else function(logits)
        if mask is not None:
            weights = ops.where(mask, weights, 0.0)
        return ops.cast(weights, scores.dtype)

    return activation


_OURS = {
    "softmax": masked_softmax,
    "hard": hard,
    "identity": identity,
    "sparsemax": _masked(sparsemax),
}
# Of keras.activations, those that are no activation of one row: glu halves it, threshold wants more
# arguments.
_OTHERS = ("get", "serialize", "deserialize", "glu", "threshold")


def get_activation(identifier):
    """Returns the activation `(scores, mask=None) -> weights` of a name or a function.

    Args:
        identifier: "softmax", "hard", "identity" or "sparsemax"; the name of a function in
            `keras.activations`; a function of `(scores)` or `(scores, mask)`; or what
            `serialize_activation` made of it. A function gets float32 scores, the masked ones as
            -1e30: no matter to one that works entry by entry, and to one like softmax that they are
            not there. One that needs more, such as the mean of a row, takes the mask.

    Raises:
        ValueError: for an unknown name.
    """
    if identifier in (activations.softmax, activations.sparsemax):
        identifier = identifier.__name__
    if isinstance(identifier, str) and identifier in _OURS:
        return _OURS[identifier]
    names = [n for n, f in vars(activations).items() if inspect.isfunction(f) and n not in _OTHERS]
    if not callable(identifier) and not isinstance(identifier, dict) and identifier not in names:
        raise ValueError(
            f"activation: expected one of {tuple(_OURS)}, a function, or a name in "
            f"keras.activations ({', '.join(sorted(names))}), got {identifier!r}."
        )
    return _masked(activations.get(identifier))


def serialize_activation(identifier):
    """Returns what `get_activation` takes, as names and dicts, for a config."""
    if not callable(identifier):
        return identifier
    if getattr(identifier, "__name__", None) == "<lambda>":
        raise ValueError(
            "activation: expected a named function, got a lambda, which no file can hold. Register "
            "a function by keras.saving.register_keras_serializable."
        )
    return activations.serialize(identifier)
