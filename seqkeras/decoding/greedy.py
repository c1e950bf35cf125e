"""Greedy search: y_t = argmax_v log p(v | y_<t, x), until END."""

from keras import ops

from seqkeras.decoding.rollout import rollout


def greedy_search(step, state, batch_size, max_length, *, memory=()):
    """Takes the most probable token at every step, the lowest id among equals.

    The cheapest search: one row per example, no reordering of the state. It equals
    `beam_search` with `beam_size=1`.

    Args:
        step: `(tokens (B,), state, *memory) -> (log_probs (B, V), state)`, see
            `seqkeras.decoding.protocol`.
        state: The state before the first step, leading dimension B.
        batch_size: int or int scalar tensor B.
        max_length: int, or int tensor `()` or `(B,)`: the most tokens, END included.
        memory: Tuple of what `step` gets beside the state, leading dimension B.

    Returns:
        `Hypotheses(tokens (B, T), log_probs (B,), lengths (B,))`, T the largest `max_length`.

    Raises:
        ValueError: if `max_length` is not a positive integer, or `step` breaks its contract.
    """
    return rollout(step, state, batch_size, max_length, _most_probable, memory)


def _most_probable(log_probs, _position):
    # Not argmax: the bit cast in Keras' does not convert to ONNX. Ties go to the lower id.
    return ops.squeeze(ops.top_k(log_probs, 1)[1], -1)
