"""Ensembles: the mean of the members' probabilities at every step.

    log p(v | y_<t, x) = log sum_m w_m p_m(v | y_<t, x),   sum_m w_m = 1

This is the arithmetic mean of probabilities. By Jensen's inequality it is at least the mean of
log-probabilities (the geometric mean, which some libraries use and which is not normalised). It is
formed anew at each step, so every member sees the prefix that the ensemble chose.
"""

import numpy as np
from keras import ops

from seqkeras.decoding.protocol import advance


def ensemble_state(states, weights=None):
    """Returns `{"members": [...]}`, the ensemble's state made of its members' states.

    Where every member keeps `"attention"`, the ensemble's `"attention"` is their weighted mean.

    Args:
        states: The members' states, in the order of their steps.
        weights: As in `ensemble_step`.
    """
    states = list(states)
    weights = _normalised(weights, len(states))
    state = {"members": states}
    if all(isinstance(member, dict) and "attention" in member for member in states):
        state["attention"] = sum(
            float(w) * ops.cast(member["attention"], "float32")
            for w, member in zip(weights, states, strict=True)
        )
    return state


def ensemble_step(steps, weights=None):
    """Makes one step out of several models' steps, which share the target vocabulary.

    Args:
        steps: The members' steps, at least one; see `seqkeras.decoding.protocol`.
        weights: Positive floats, one a member, divided by their sum; None for equal weights.

    Returns:
        A step over the state that `ensemble_state(states, weights)` makes. Its memory, if any, is a
        list of each member's memory.

    Raises:
        ValueError: if there is no member, the weights do not fit, or the vocabularies differ.

    Example:

    >>> def member(p):  # a model that gives its tokens these probabilities, always
    ...     return lambda tokens, state: (ops.log(ops.convert_to_tensor([p])), state)
    >>> step = ensemble_step([member([0.0, 0.0, 0.2, 0.8]), member([0.0, 0.0, 0.6, 0.4])])
    >>> log_probs, state = step(ops.convert_to_tensor([1]), ensemble_state([{}, {}]))
    >>> print(np.exp(log_probs).round(3))
    [[0.  0.  0.4 0.6]]
    """
    steps = list(steps)
    weights = _normalised(weights, len(steps))
    log_weights = ops.convert_to_tensor(np.log(weights)[:, None, None], dtype="float32")

    def step(tokens, state, memories=None, rows=None):
        if memories is None:
            memories = [None] * len(steps)
        if len(memories) != len(steps):
            raise ValueError(
                f"memory: expected one for each of {len(steps)} members, got {len(memories)}."
            )
        results = [
            advance(member, tokens, member_state, memory, rows)
            for member, member_state, memory in zip(steps, state["members"], memories, strict=True)
        ]
        sizes = [logits.shape[-1] for logits, _ in results]
        if len(set(sizes)) > 1:
            raise ValueError(f"The members must share one vocabulary, their sizes are {sizes}.")
        log_probs = ops.stack([ops.log_softmax(logits) for logits, _ in results])  # (M, N, V)
        log_probs = ops.logsumexp(log_probs + log_weights, axis=0)
        return log_probs, ensemble_state([member for _, member in results], weights)

    return step


def _normalised(weights, members):
    if members == 0:
        raise ValueError("An ensemble needs at least one member.")
    weights = np.ones(members) if weights is None else np.asarray(weights, "float64")
    if weights.shape != (members,) or not np.all(weights > 0) or not np.all(np.isfinite(weights)):
        raise ValueError(
            f"weights must be {members} positive numbers, one for each member, got {weights}."
        )
    return weights / weights.sum()
