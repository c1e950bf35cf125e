"""Beam search in the graph, Sutskever et al. 2014 (arXiv:1409.3215), section 3.2.

At every step the hypotheses alive, at most K an example, are extended by every token:

    log P(y_<t v | x) = log P(y_<t | x) + log p(v | y_<t, x)

1. Where f hypotheses have finished, the K - f best continuations are kept.
2. Those by END are finished: each keeps its place in the beam for good, and never changes.
3. The others stay alive. At an example's last position END is the only continuation.
4. An example is done when none is alive, or when none alive can beat the worst of the `n_best`
   finished ones asked for. That never changes the result: what grows from a hypothesis of
   log-probability l scores at most l / lp(max_length), for log-probabilities and coverage penalties
   only lower a score and lp only rises with the length (hence alpha >= 0; `penalties`).

Alive hypotheses, all of one length, are compared by log-probability; finished ones by the score
s(Y, X) of `penalties`. Because places are never taken back, beam size 1 is greedy search and a
beam as wide as the number of sequences is exhaustive search, at any length penalty. Ties go to the
better placed parent, then to the lower token id. Everything is done example by example, and one
that is done has nothing alive and so adds nothing: no result depends on the rest of the batch.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from seqkeras.constants import END, PAD, START
from seqkeras.decoding import penalties
from seqkeras.decoding.constraints import bar_repeats
from seqkeras.decoding.protocol import (
    NEVER,
    advance,
    broken_rows,
    length_limits,
    write,
)


class BeamResult(NamedTuple):
    """The best hypotheses of every example, best first.

    `tokens`: int32 `(B, K, T)`, END included, PAD after it. `scores`: float32 `(B, K)`, with the
    penalties. `log_probs`: float32 `(B, K)`, in nats, without them. `lengths`: int32 `(B, K)`,
    END included. Where fewer than K hypotheses are complete, the rest has scores and log_probs
    -inf, length 0 and only PAD.
    """

    tokens: Any
    scores: Any
    log_probs: Any
    lengths: Any


class Alive(NamedTuple):
    """Hypotheses without END: `tokens` `(B, K, T)`, `log_probs` `(B, K)`, -inf in a free place."""

    tokens: Any
    log_probs: Any


class Candidates(NamedTuple):
    """The best continuations: `log_probs`, `tokens`, `parents` (places in the beam), `(B, K)`."""

    log_probs: Any
    tokens: Any
    parents: Any


def beam_search(
    step,
    state,
    batch_size,
    beam_size,
    max_length,
    *,
    n_best=None,
    length_penalty=0.0,
    coverage_penalty=0.0,
    source_mask=None,
    no_repeat_ngram=0,
):
    """Finds probable sequences: keeps the `beam_size` best prefixes of every example.

    A `beam_size` of 1 is greedy search, one of at least the number of sequences is exhaustive.

    Args:
        step: `(tokens (N,), state) -> (log_probs (N, V), state)` with N = B * K, see
            `seqkeras.decoding.protocol`. Example b's hypothesis k is row b * K + k; what `step`
            closes over comes in that order too (`repeat_beams`).
        state: The state before the first step, leading dimension B; it is repeated here.
        batch_size: int or int scalar tensor B.
        beam_size: int K; may exceed V.
        max_length: int, or int tensor `()` or `(B,)`: the most tokens, END included.
        n_best: int <= K, how many hypotheses to return; None for all K. A small one saves steps.
        length_penalty: float alpha >= 0; 0 compares by log-probability, 1 almost by its mean.
        coverage_penalty: float beta >= 0; above 0 needs `state["attention"]` and `source_mask`.
        source_mask: bool `(B, S)`, True at real source positions.
        no_repeat_ngram: int n; above 0, no hypothesis holds an n-gram of tokens twice.

    Returns:
        `BeamResult(tokens (B, n_best, T), scores, log_probs, lengths (B, n_best))`, sorted by
        score, T the largest `max_length`.

    Raises:
        ValueError: if an option is out of range, or `step` breaks its contract.

    Example:

    >>> import numpy as np
    >>> def step(tokens, state):  # p(END) = 0.3, p(3) = 0.7, whatever came before
    ...     rows = np.log([[1e-9, 1e-9, 0.3, 0.7]])
    ...     return ops.repeat(ops.cast(rows, "float32"), ops.shape(tokens)[0], axis=0), state
    >>> best = beam_search(step, {}, batch_size=1, beam_size=3, max_length=3)
    >>> print(np.array(best.tokens[0]))
    [[2 0 0]
     [3 2 0]
     [3 3 2]]
    >>> print(np.exp(best.scores[0]).round(3))
    [0.3   0.21  0.147]
    """
    n_best = beam_size if n_best is None else n_best
    _check(beam_size, n_best, length_penalty, coverage_penalty, source_mask, no_repeat_ngram)
    limits, width = length_limits(max_length, batch_size)
    limits = limits[:, None]  # (B, 1)
    state = repeat_beams(state, beam_size)
    if coverage_penalty:
        step, state = penalties.track_coverage(step, state)
        source_mask = repeat_beams(ops.cast(source_mask, "bool"), beam_size)  # (N, S)

    def unfinished(t, alive, *_):
        return ops.logical_and(t < width, ops.any(alive.log_probs > NEVER))

    def extend(t, alive, last, finished, state):
        log_probs, state = advance(step, last, state)  # (N, V)
        if no_repeat_ngram:
            history = ops.reshape(alive.tokens, (-1, width))
            log_probs = bar_repeats(log_probs, history, t, no_repeat_ngram)
        kept = _continue(log_probs, alive.log_probs, finished, t + 1 >= limits)
        scores = kept.log_probs / penalties.length_penalty(t + 1, length_penalty)
        if coverage_penalty:
            cp = penalties.coverage_penalty(state["coverage"], source_mask, coverage_penalty)
            scores = scores + _gather(ops.reshape(cp, (-1, beam_size)), kept.parents)
        tokens = write(_gather(alive.tokens, kept.parents), t, kept.tokens)
        finished = _finish(finished, kept, tokens, scores, t + 1)
        going = ops.where(ops.equal(kept.tokens, END), NEVER, kept.log_probs)
        best_future = ops.max(going, axis=1, keepdims=True)
        best_future = best_future / penalties.length_penalty(limits, length_penalty)
        done = finished.scores[:, n_best - 1 : n_best] >= best_future
        alive = Alive(tokens, ops.where(done, NEVER, going))
        rows = ops.reshape(_flat_index(kept.parents, beam_size), (-1,))
        state = keras.tree.map_structure(lambda entry: ops.take(entry, rows, axis=0), state)
        return t + 1, alive, ops.reshape(kept.tokens, (-1,)), finished, state

    start = ops.convert_to_tensor(0, dtype="int32")
    loop_vars = (start, *_empty_beam(batch_size, beam_size, width), state)
    _, _, _, finished, _ = ops.while_loop(unfinished, extend, loop_vars)
    return BeamResult(*(field[:, :n_best] for field in finished))


def repeat_beams(tree, beam_size):
    """Repeats every tensor of a nested structure K times: `(B, ...)` to `(B * K, ...)`.

    Row b * K + k of the result is row b. For what a `step` closes over.
    """
    return keras.tree.map_structure(lambda entry: ops.repeat(entry, beam_size, axis=0), tree)


def _check(beam_size, n_best, length_penalty, coverage_penalty, source_mask, no_repeat_ngram):
    if beam_size < 1:
        raise ValueError(f"beam_size must be at least 1, got {beam_size}.")
    if not 1 <= n_best <= beam_size:
        raise ValueError(f"n_best must lie in 1..beam_size={beam_size}, got {n_best}.")
    for name, value in (("length_penalty", length_penalty), ("coverage_penalty", coverage_penalty)):
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be a finite number of at least 0, got {value}.")
    if no_repeat_ngram < 0:
        raise ValueError(f"no_repeat_ngram must be at least 0 (off), got {no_repeat_ngram}.")
    if coverage_penalty and source_mask is None:
        raise ValueError("coverage_penalty needs source_mask (B, S), True at real positions.")


def _empty_beam(batch_size, beam_size, width):
    """Returns one empty hypothesis alive per example, the last tokens `(N,)`, none finished."""
    places = (batch_size, beam_size)
    first = ops.equal(ops.arange(beam_size), 0)
    log_probs = ops.where(first, ops.zeros(places, dtype="float32"), NEVER)
    nothing = ops.full((*places, width), PAD, dtype="int32")
    never = ops.full(places, NEVER, dtype="float32")
    finished = BeamResult(nothing, never, never, ops.zeros(places, dtype="int32"))
    last = repeat_beams(ops.full((batch_size,), START, dtype="int32"), beam_size)
    return Alive(nothing, log_probs), last, finished


def _continue(log_probs, alive_log_probs, finished, only_end):
    """Returns the K - f best continuations, best first; -inf in the remaining f places.

    The ranking within a row does not depend on the row's past, so the one pass over the vocabulary
    is a `top_k` of the raw rows: K + 2 tokens, for two of them may be PAD and START.
    """
    beam_size = alive_log_probs.shape[1]
    top, tokens = ops.top_k(log_probs, min(beam_size + 2, log_probs.shape[-1]))  # (N, C)
    special = ops.logical_or(ops.equal(tokens, PAD), ops.equal(tokens, START))
    top = ops.where(ops.logical_or(special, ops.equal(tokens, END)), NEVER, top)
    # END has a column of its own, needed at the last position, and before the higher ids for ties.
    top = ops.concatenate([log_probs[:, END : END + 1], top], axis=1)  # (N, 1 + C)
    tokens = ops.concatenate([ops.full_like(tokens[:, :1], END), tokens], axis=1)
    top = ops.where(broken_rows(log_probs)[:, None], NEVER, top)
    width = top.shape[1]
    total = top + ops.reshape(alive_log_probs, (-1, 1))
    total = ops.reshape(total, (-1, beam_size * width))
    tokens = ops.reshape(tokens, (-1, beam_size * width))
    total = ops.where(ops.logical_and(only_end, ops.not_equal(tokens, END)), NEVER, total)
    total, index = ops.top_k(total, beam_size)
    places = ops.sum(ops.cast(ops.equal(finished.lengths, 0), "int32"), axis=1, keepdims=True)
    total = ops.where(ops.arange(beam_size, dtype="int32") < places, total, NEVER)
    return Candidates(total, _gather(tokens, index), index // width)


def _finish(finished, kept, tokens, scores, length):
    """Returns the finished hypotheses with those of `kept` that end now, best first."""
    ends = ops.logical_and(ops.equal(kept.tokens, END), scores > NEVER)  # False for NaN too
    new = BeamResult(
        tokens=ops.where(ends[:, :, None], tokens, PAD),
        scores=ops.where(ends, scores, NEVER),
        log_probs=ops.where(ends, kept.log_probs, NEVER),
        lengths=ops.where(ends, length, 0),
    )
    both = BeamResult(*(ops.concatenate(pair, axis=1) for pair in zip(finished, new, strict=True)))
    _, index = ops.top_k(both.scores, scores.shape[1])  # the places suffice: only empty ones go
    return BeamResult(*(_gather(field, index) for field in both))


def _flat_index(index, size):
    """Turns `index` `(B, M)` into an axis of `size` into one over both axes, flattened."""
    offsets = ops.arange(ops.shape(index)[0], dtype="int32") * size
    return ops.cast(index, "int32") + offsets[:, None]


def _gather(values, index):
    """Returns `values[b, index[b, m]]`, `(B, M, ...)`, of `values` `(B, K, ...)`."""
    shape = ops.shape(values)
    rows = ops.reshape(values, (-1, *shape[2:]))
    return ops.take(rows, _flat_index(index, values.shape[1]), axis=0)
