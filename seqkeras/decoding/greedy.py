"""Greedy search: y_t = argmax_v log p(v | y_<t, x), until END."""

from seqkeras.decoding.rollout import rollout
from seqkeras.ops.top_k import first_largest


def greedy_search(step, state, batch_size, max_length, *, memory=None):
    """Takes the most probable token at every step, the lowest id among equals.

    The cheapest search: one row per example, no reordering of the state. It equals
    `beam_search` with `beam_size=1`.

    Args:
        step: `(tokens (B,), state) -> (logits (B, V), state)`, see `seqkeras.decoding.protocol`.
        state: The state before the first step, leading dimension B.
        batch_size: int or int scalar tensor B.
        max_length: int, or int tensor `()` or `(B,)`: the most tokens, END included.
        memory: What `step` gets of each example beside the state, leading dimension B.

    Returns:
        `Hypotheses(tokens (B, T), log_probs (B,), lengths (B,))`, T the largest `max_length`.

    Raises:
        ValueError: if `max_length` is not a positive integer, or `step` breaks its contract.
    """
    return rollout(step, state, batch_size, max_length, _most_probable, memory)


def _most_probable(log_probs, _position):
    return first_largest(log_probs)
