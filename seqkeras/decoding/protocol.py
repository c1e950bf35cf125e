"""What every search knows of a model, and the small helpers that all searches share.

A model is one function, `step(tokens, state) -> (logits, state)`:

    tokens      int32 `(N,)`: the token chosen last in each row, START at first
    state       nested dict (or list) of tensors, each with leading dimension N
    logits      float32 `(N, V)`: log p(next token | the row's past), up to a number for each row

The returned state has the structure, shapes and dtypes of the one passed in. Rows are independent.
What each example needs at every step but never changes (an encoder's output) is the `memory` given
to a search. Then the model is `step(tokens, state, memory, rows)`:

    memory      structure of tensors with leading dimension A, one row for each example
    rows        `HypothesisRows`: which hypothesis of which example each of the N rows is

In beam search that saves one copy for every hypothesis, and lets those leave that are done.

Conventions of every search: a hypothesis ends in END, which counts in its length and in its
log-probability, so that the latter is the model's teacher-forced score of the hypothesis. At an
example's last position END is the only token allowed. PAD and START are never produced. A row of
logits that holds a NaN allows no token at all: its hypothesis is dropped. Where no complete
hypothesis exists, the result is PAD, with length 0 and log-probability -inf.
"""

import numbers
from typing import Any, NamedTuple, Protocol

import keras
from keras import ops

from seqkeras.constants import END, PAD, START

NEVER = float("-inf")  # the log-probability of what must not happen


class Step(Protocol):
    """One step of a model, for N rows at once; the module docstring has the contract."""

    def __call__(self, tokens: Any, state: Any, *of_examples: Any) -> tuple[Any, Any]: ...


class Hypotheses(NamedTuple):
    """One sequence per example.

    `tokens`: int32 `(B, T)`, END included, PAD after it. `log_probs`: float32 `(B,)`, in nats,
    the sum over the tokens. `lengths`: int32 `(B,)`, END included.
    """

    tokens: Any
    log_probs: Any
    lengths: Any


def length_limits(max_length, batch_size):
    """Returns the limits int32 `(B,)`, and their maximum, the width of the token buffers.

    A limit counts END. An int gives a static width; tensors, whose values are not known while a
    graph is built, are clipped to at least 1.
    """
    if isinstance(max_length, numbers.Integral) and not isinstance(max_length, bool):
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1 (it counts END), got {max_length}.")
        return ops.full((batch_size,), int(max_length), dtype="int32"), int(max_length)
    limits = ops.convert_to_tensor(max_length)
    if not keras.backend.is_int_dtype(limits.dtype) or len(limits.shape) > 1:
        raise ValueError(
            "max_length must be an integer or an integer tensor of shape () or (batch_size,), "
            f"got dtype {limits.dtype} and shape {tuple(limits.shape)}."
        )
    limits = ops.maximum(ops.cast(limits, "int32"), 1)
    limits = ops.broadcast_to(limits, (batch_size,))
    return limits, ops.max(limits, initial=1)


def advance(step, tokens, state, memory=None, rows=None):
    """Calls `step`, checks what it returns, and keeps static shapes for the loop around it."""
    of_examples = () if memory is None else (memory, rows)
    logits, new_state = step(tokens, state, *of_examples)
    if len(logits.shape) != 2 or logits.shape[-1] is None or logits.shape[-1] <= END:
        raise ValueError(
            "step must return logits of shape (N, V) with a static V that includes the special "
            f"tokens, V > {END}; got shape {tuple(logits.shape)}."
        )
    try:
        keras.tree.assert_same_structure(state, new_state)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "step must return a state of the structure it was given; put every entry in the "
            f"initial state (zeros before the first step). {error}"
        ) from error
    new_state = keras.tree.map_structure(_like, state, new_state)
    return ops.cast(logits, "float32"), new_state


def _like(old, new):
    """Checks `new` against `old`, whose static sizes it takes where it lost them."""
    if old.dtype != new.dtype or len(old.shape) != len(new.shape):
        raise ValueError(
            "step must keep the dtype and rank of every entry of the state; an entry of dtype "
            f"{old.dtype} and shape {tuple(old.shape)} became {new.dtype} {tuple(new.shape)}."
        )
    known = [o is not None and n is None for o, n in zip(old.shape, new.shape, strict=True)]
    if not any(known):
        return new
    sizes = zip(old.shape, ops.shape(new), known, strict=True)
    return ops.reshape(new, [o if use_old else n for o, n, use_old in sizes])


def write(tokens, position, values):
    """Returns `tokens` `(..., T)` with `values` `(...,)` at `position`."""
    here = ops.equal(ops.arange(ops.shape(tokens)[-1], dtype="int32"), position)
    return ops.where(here, ops.expand_dims(values, -1), tokens)


def usable(logits):
    """Returns the log-probabilities `(N, V)`, -inf at PAD, at START and in rows with a NaN."""
    log_probs = ops.log_softmax(logits)  # a NaN makes the whole row one
    tokens = ops.arange(logits.shape[-1], dtype="int32")
    special = ops.logical_or(ops.equal(tokens, PAD), ops.equal(tokens, START))
    barred = ops.logical_or(special[None, :], ops.isnan(log_probs[:, :1]))
    return ops.where(barred, NEVER, log_probs)
