"""Sampling: y_t ~ p(v | y_<t, x), tempered and truncated.

    q(v) ∝ p(v)^(1/τ) for v in the truncated vocabulary, 0 outside
    top_k:  the k most probable tokens (Fan et al. 2018, arXiv:1805.04833)
    top_p:  the fewest most probable tokens whose mass reaches p, at least one
            (the nucleus, Holtzman et al. 2020, arXiv:1904.09751)

In this order: temperature, top_k, renormalise, top_p. Tokens are drawn by inverting the cumulative
distribution at one uniform number per row and step. These are drawn before the loop, so the loop
is deterministic, and the same seed gives the same sequences eagerly and in a graph.
"""

import keras
from keras import ops

from seqkeras.decoding.protocol import length_limits
from seqkeras.decoding.rollout import rollout
from seqkeras.ops.random import uniform_by_row


def sample(
    step,
    state,
    batch_size,
    max_length,
    *,
    seed,
    memory=None,
    temperature=1.0,
    top_k=None,
    top_p=None,
):
    """Draws one sequence per example.

    Args:
        step: `(tokens (B,), state) -> (logits (B, V), state)`, see `seqkeras.decoding.protocol`.
        state: The state before the first step, leading dimension B.
        batch_size: int or int scalar tensor B.
        max_length: int, or int tensor `()` or `(B,)`: the most tokens, END included.
        seed: int, which fixes the result; integer tensor `(B,)`, of which each fixes its row
            whatever else is in the batch; or a `keras.random.SeedGenerator`, which gives another
            result at every call (also inside a SavedModel).
        memory: What `step` gets of each example beside the state, leading dimension B.
        temperature: float τ > 0. Below 1 sharpens the distribution, above 1 flattens it.
        top_k: int >= 1, or None for no limit.
        top_p: float in (0, 1], or None for no limit. Alone it sorts the vocabulary at every step;
            with a `top_k` of some hundreds it is much faster.

    Returns:
        `Hypotheses(tokens (B, T), log_probs (B,), lengths (B,))`. `log_probs` are the model's
        own, neither tempered nor truncated: the teacher-forced score of the sample.

    Raises:
        ValueError: if an argument is out of range, or `step` breaks its contract.
    """
    _check(temperature, top_k, top_p, seed)
    _, width = length_limits(max_length, batch_size)
    if keras.ops.is_tensor(seed):
        uniform = uniform_by_row(seed, width)  # (T, B)
    else:
        uniform = keras.random.uniform((width, batch_size), seed=seed)

    def choose(log_probs, position):
        weights, tokens = _truncate(log_probs / temperature, top_k, top_p)
        picked = _invert_cdf(weights, ops.take(uniform, position, axis=0))
        if tokens is None:
            return picked
        return ops.squeeze(ops.take_along_axis(tokens, picked[:, None], axis=1), 1)

    return rollout(step, state, batch_size, max_length, choose, memory)


def _check(temperature, top_k, top_p, seed):
    if not temperature > 0:
        raise ValueError(
            f"temperature must be above 0, got {temperature}. Its limit at 0 is greedy_search."
        )
    if top_k is not None and (isinstance(top_k, bool) or top_k != int(top_k) or top_k < 1):
        raise ValueError(f"top_k must be an int of at least 1, or None for no limit, got {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], or be None for no limit, got {top_p}.")
    if keras.ops.is_tensor(seed):
        if len(seed.shape) != 1 or not keras.backend.is_int_dtype(seed.dtype):
            raise ValueError(
                "seed must be an int tensor (B,) where it is a tensor, got "
                f"{seed.dtype} of shape {tuple(seed.shape)}."
            )
    elif isinstance(seed, bool) or not isinstance(seed, (int, keras.random.SeedGenerator)):
        raise ValueError(
            "seed must be an int, an int tensor of one for each row, or a "
            f"keras.random.SeedGenerator, got {seed!r}."
        )


def _truncate(logits, top_k, top_p):
    """Returns unnormalised weights `(B, C)` and their tokens `(B, C)`, None for all in order."""
    vocabulary = logits.shape[-1]
    tokens = None
    if top_k is not None or top_p is not None:
        logits, tokens = ops.top_k(logits, min(top_k or vocabulary, vocabulary))  # sorted
    weights = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    if top_p is not None:
        cdf = ops.cumsum(weights, axis=-1)
        before = ops.pad(cdf[:, :-1], [[0, 0], [1, 0]])  # 0 for the first, which always stays
        weights = ops.where(before < top_p * cdf[:, -1:], weights, 0.0)
    return weights, tokens


def _invert_cdf(weights, uniform):
    """Returns int32 `(B,)`: the first position whose cumulative weight exceeds `uniform`."""
    cdf = ops.cumsum(weights, axis=-1)
    threshold = uniform[:, None] * cdf[:, -1:]
    picked = ops.sum(ops.cast(cdf <= threshold, "int32"), axis=-1)
    picked = ops.minimum(picked, weights.shape[-1] - 1)
    # Rounding may, once in some 10^7 draws, end on a position of weight 0: take the mode there.
    weight = ops.squeeze(ops.take_along_axis(weights, picked[:, None], axis=1), 1)
    return ops.where(weight > 0, picked, ops.cast(ops.argmax(weights, axis=-1), "int32"))
