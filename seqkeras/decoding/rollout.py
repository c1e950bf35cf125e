"""The loop under greedy search and sampling: one token per row and step, until all have ended."""

from keras import ops

from seqkeras.constants import END, PAD, START
from seqkeras.decoding.protocol import (
    NEVER,
    Hypotheses,
    advance,
    length_limits,
    usable,
    write,
)
from seqkeras.ops import shrinking
from seqkeras.ops.hypothesis_rows import HypothesisRows


def rollout(step, state, batch_size, max_length, choose, memory=None):
    """Extends one sequence per example by what `choose` picks.

    Args:
        step: see `seqkeras.decoding.protocol`.
        state: The state before the first step, leading dimension B.
        batch_size: int or int scalar tensor B.
        max_length: int, or int tensor `()` or `(B,)`: the most tokens, END included.
        choose: `(log_probs (B, V), position) -> int32 (B,)`; barred tokens have -inf.
        memory: What `step` gets of each example beside the state, leading dimension B.

    Returns:
        `Hypotheses`. Rows that have ended are frozen while the others go on.
    """
    limits, width = length_limits(max_length, batch_size)
    rows = HypothesisRows(batch_size, 1)

    def unfinished(t, running, *_):
        return ops.logical_and(t < width, ops.any(running))

    def extend(t, running, tokens, log_probs, lengths, previous, state):
        logits, state = advance(step, previous, state, memory, rows)
        allowed = usable(logits)  # (B, V)
        chosen = ops.where(t + 1 >= limits, END, choose(allowed, t))  # (B,)
        gained = ops.squeeze(ops.take_along_axis(allowed, chosen[:, None], axis=1), 1)
        log_probs = ops.where(running, log_probs + gained, log_probs)
        tokens = ops.where(running[:, None], write(tokens, t, chosen), tokens)
        ended = ops.equal(chosen, END)
        lengths = ops.where(ops.logical_and(running, ended), t + 1, lengths)
        running = ops.logical_and(running, ops.logical_and(gained > NEVER, ~ended))
        return t + 1, running, tokens, log_probs, lengths, chosen, state

    _, _, tokens, log_probs, lengths, _, _ = shrinking.while_loop(
        unfinished,
        extend,
        (
            ops.convert_to_tensor(0, dtype="int32"),
            ops.ones((batch_size,), dtype="bool"),
            ops.full((batch_size, width), PAD, dtype="int32"),
            ops.zeros((batch_size,), dtype="float32"),
            ops.zeros((batch_size,), dtype="int32"),
            ops.full((batch_size,), START, dtype="int32"),
            state,
        ),
    )
    complete = log_probs > NEVER  # an impossible token leaves no hypothesis
    return Hypotheses(
        tokens=ops.where(complete[:, None], tokens, PAD),
        log_probs=log_probs,
        lengths=ops.where(complete, lengths, 0),
    )
