"""How finished hypotheses are compared: GNMT's penalties, Wu et al. 2016 (arXiv:1609.08144), (14).

    s(Y, X) = log P(Y | X) / lp(Y) + cp(X; Y)
    lp(Y)    = ((5 + |Y|) / 6)^alpha
    cp(X; Y) = beta * sum_s log(min(sum_t a_ts, 1))

|Y| counts END; a_ts is the attention of output token t to source position s, t up to and including
END; s runs over the real source positions. Conventions: lp divides, cp (<= 0) is added. A position
that got no attention at all would cost -inf: its total is taken as 1e-7 instead, so that such a
hypothesis is bad, not impossible.
"""

from keras import ops

SMALLEST_COVERAGE = 1e-7


def length_penalty(lengths, alpha):
    """Returns lp of `lengths` (int tensor, END included), float32, same shape."""
    return ops.power((5.0 + ops.cast(lengths, "float32")) / 6.0, alpha)


def coverage_penalty(coverage, source_mask, beta):
    """Returns cp `(...,)` of `coverage` `(..., S)`, the sums over t of the attention weights."""
    covered = ops.log(ops.clip(coverage, SMALLEST_COVERAGE, 1.0))
    return beta * ops.sum(ops.where(source_mask, covered, 0.0), axis=-1)


def track_coverage(step, state):
    """Wraps `step` and `state` so that the state sums up the model's attention.

    Returns:
        `(step, state)`, a state `{"model": state, "coverage": (N, S)}`.

    Raises:
        ValueError: if the model keeps no `state["attention"]`.
    """
    if not isinstance(state, dict) or "attention" not in state:
        found = sorted(state) if isinstance(state, dict) else type(state).__name__
        raise ValueError(
            "coverage_penalty needs a model that keeps its attention weights (N, S) in "
            f"state['attention']; this state has {found}. Set coverage_penalty=0, or use a model "
            "with attention."
        )

    def tracked(tokens, state, *of_examples):
        logits, inner = step(tokens, state["model"], *of_examples)
        return logits, {
            "model": inner,
            "coverage": state["coverage"] + ops.cast(inner["attention"], "float32"),
        }

    return tracked, {
        "model": state,
        "coverage": ops.zeros_like(state["attention"], dtype="float32"),
    }
