"""Beam search in the graph, Sutskever et al. 2014 (arXiv:1409.3215), section 3.2.

At every step the hypotheses alive, at most K an example, are extended by every token:

    log P(y_<t v | x) = log P(y_<t | x) + log p(v | y_<t, x)

1. Where f hypotheses have finished, the K - f best continuations are kept.
2. Those by END are finished: each keeps its place in the beam for good, and never changes.
3. The others stay alive. At an example's last position END is the only continuation.
4. An example is done when none is alive, or when none alive can beat the worst of the `n_best`
   finished ones asked for. That never changes the result: what grows from a hypothesis of
   log-probability l scores at most l / lp(max_length), for log-probabilities and coverage penalties
   only lower a score and lp only rises with the length (hence alpha >= 0; `penalties`). With
   `early_stopping` the bound is l / lp(t), what the hypothesis would score if it ended here for
   nothing: searches end sooner, and a longer hypothesis that would have won may be missed.

Alive hypotheses, all of one length, are compared by log-probability; finished ones by the score
s(Y, X) of `penalties`. Because places are never taken back, beam size 1 is greedy search and a
beam as wide as the number of sequences is exhaustive search, at any length penalty. Ties go to the
better placed parent, then to the lower token id. Everything is done example by example, and one
that is done has nothing alive and so adds nothing: no result depends on the rest of the batch.

On TensorFlow only hypotheses alive are computed, and examples that are done leave the loop, a tenth
of a batch at a time (`seqkeras.ops.shrinking`), so that the last stragglers do not cost as much as
all of it. Inside the loop are A <= B examples, a table of A x K places for hypotheses, and N <= A K
rows, among them all that are alive (elsewhere N = A K).
"""

from typing import Any, NamedTuple

from keras import ops, tree

from seqkeras.constants import END, PAD, START
from seqkeras.decoding import penalties
from seqkeras.decoding.best_tokens import best_tokens
from seqkeras.decoding.constraints import bar_repeats
from seqkeras.decoding.protocol import (
    NEVER,
    advance,
    length_limits,
    write,
)
from seqkeras.ops import shrinking
from seqkeras.ops.hypothesis_rows import HypothesisRows, flat_index


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
    """Hypotheses without END: `tokens` `(A, K, T)`, `log_probs` `(A, K)`, -inf in a free place."""

    tokens: Any
    log_probs: Any


class Candidates(NamedTuple):
    """The best continuations: `log_probs`, `tokens`, `parents` (places in the beam), `(A, K)`."""

    log_probs: Any
    tokens: Any
    parents: Any


class Search(NamedTuple):
    """What the loop carries: the A examples that are not done, and what was found for all B.

    `examples` `(A,)`: which of the batch they are. `alive`: their table of hypotheses. `places`
    `(N,)`: where in that table the rows stand. `last` `(N,)`: the tokens chosen last. `state`: of N
    rows. `memory`: of A examples. `found`: the finished hypotheses of every example, a `BeamResult`
    of `(B, K, ...)`.
    """

    examples: Any
    alive: Alive
    places: Any
    last: Any
    state: Any
    memory: Any
    found: BeamResult

    def examples_of_rows(self, beam_size):
        """Returns `(N,)`: which example of the batch each row belongs to."""
        return ops.take(self.examples, self.places // beam_size)


def beam_search(
    step,
    state,
    batch_size,
    beam_size,
    max_length,
    *,
    memory=None,
    n_best=None,
    length_penalty=0.0,
    coverage_penalty=0.0,
    source_mask=None,
    no_repeat_ngram=0,
    early_stopping=False,
):
    """Finds probable sequences: keeps the `beam_size` best prefixes of every example.

    A `beam_size` of 1 is greedy search, one of at least the number of sequences is exhaustive.

    Args:
        step: `(tokens (N,), state) -> (logits (N, V), state)`, or with a memory `(tokens, state,
            memory, rows)`, see `seqkeras.decoding.protocol`; N <= B K.
        state: The state before the first step, leading dimension B.
        batch_size: int or int scalar tensor B.
        beam_size: int K; may exceed V.
        max_length: int, or int tensor `()` or `(B,)`: the most tokens, END included.
        memory: Structure of tensors with leading dimension B, or None: what `step` needs of each
            example and never changes.
        n_best: int <= K, how many hypotheses to return; None for all K. A small one saves steps.
        length_penalty: float alpha >= 0; 0 compares by log-probability, 1 almost by its mean.
        coverage_penalty: float beta >= 0; above 0 needs `state["attention"]` and `source_mask`.
        source_mask: bool `(B, S)`, True at real source positions.
        no_repeat_ngram: int n; above 0, no hypothesis holds an n-gram of tokens twice.
        early_stopping: If True, stop when no hypothesis alive scores above the worst of the
            `n_best` finished ones as it is, as other toolkits do; without a length penalty that
            changes nothing.

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
    if coverage_penalty:
        step, state = penalties.track_coverage(step, state)
        source_mask = ops.cast(source_mask, "bool")

    def unfinished(t, search):
        return ops.logical_and(t < width, ops.any(search.alive.log_probs > NEVER))

    def extend(t, search):
        rows = HypothesisRows(ops.shape(search.examples)[0], beam_size, search.places)
        limit = ops.take(limits, search.examples)[:, None]  # (A, 1)
        finished = BeamResult(*_take(tuple(search.found), search.examples))
        of_examples = None if memory is None else search.memory
        logits, state = advance(step, search.last, search.state, of_examples, rows)  # (N, V)

        def bar(logits):
            if not no_repeat_ngram:
                return logits
            return bar_repeats(logits, rows.collect(search.alive.tokens), t, no_repeat_ngram)

        best = best_tokens(logits, beam_size, bar)
        kept = _continue(best, rows, search.alive.log_probs, finished, t + 1 >= limit)
        scores = kept.log_probs / penalties.length_penalty(t + 1, length_penalty)
        if coverage_penalty:
            of_row = search.examples_of_rows(beam_size)
            mask = ops.take(source_mask, of_row, axis=0)  # (N, S)
            cp = penalties.coverage_penalty(state["coverage"], mask, coverage_penalty)
            scores = scores + _gather(rows.spread(cp), kept.parents)
        tokens = write(_gather(search.alive.tokens, kept.parents), t, kept.tokens)
        finished = _finish(finished, kept, tokens, scores, t + 1)
        going = ops.where(ops.equal(kept.tokens, END), NEVER, kept.log_probs)
        best_future = ops.max(going, axis=1, keepdims=True)
        longest = t + 1 if early_stopping else limit
        best_future = best_future / penalties.length_penalty(longest, length_penalty)
        done = finished.scores[:, n_best - 1 : n_best] >= best_future
        alive = Alive(tokens, ops.where(done, NEVER, going))
        found = [
            ops.scatter_update(field, search.examples[:, None], new)
            for field, new in zip(search.found, finished, strict=True)
        ]
        going_on = ops.any(alive.log_probs > NEVER, axis=1)
        stay = shrinking.places_to_keep(going_on, _unit(batch_size))
        alive, last, parents = _take((alive, kept.tokens, rows.of(kept.parents)), stay)
        places = _occupied(alive, batch_size)
        return t + 1, Search(
            examples=ops.take(search.examples, stay),
            alive=Alive(*alive),
            places=places,
            last=ops.take(ops.reshape(last, (-1,)), places),
            state=_take(state, ops.take(ops.reshape(parents, (-1,)), places)),
            memory=shrinking.keep(search.memory, stay, ops.shape(search.examples)[0]),
            found=BeamResult(*found),
        )

    start = ops.convert_to_tensor(0, dtype="int32")
    carried = () if memory is None else memory  # None is no loop variable
    if any(entry is None for entry in tree.flatten((state, carried))):
        raise ValueError(
            "beam_search: expected tensors only in state and memory, got None. Leave it out, or "
            "for a mask give one that is True everywhere."
        )
    search = _empty_search(batch_size, beam_size, width, state, carried)
    _, search = shrinking.while_loop(unfinished, extend, (start, search))
    return BeamResult(*(field[:, :n_best] for field in search.found))


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


def _empty_search(batch_size, beam_size, width, state, memory):
    """Returns a `Search` with one empty hypothesis alive per example, and none finished.

    `state` is of B rows.
    """
    shape = (batch_size, beam_size)
    first = ops.equal(ops.arange(beam_size), 0)
    log_probs = ops.where(first, ops.zeros(shape, dtype="float32"), NEVER)
    nothing = ops.full((*shape, width), PAD, dtype="int32")
    never = ops.full(shape, NEVER, dtype="float32")
    alive = Alive(nothing, log_probs)
    places = _occupied(alive, batch_size)
    return Search(
        examples=ops.arange(batch_size, dtype="int32"),
        alive=alive,
        places=places,
        last=ops.full(ops.shape(places), START, dtype="int32"),
        state=_take(state, places // beam_size),
        memory=memory,
        found=BeamResult(nothing, never, never, ops.zeros(shape, dtype="int32")),
    )


def _occupied(alive, batch_size):
    """Returns `(N,)`, the places of an `Alive`, flattened, that are to be rows."""
    occupied = ops.reshape(alive.log_probs > NEVER, (-1,))
    return shrinking.places_to_keep(occupied, _unit(batch_size) * alive.log_probs.shape[1])


def _unit(batch_size):
    """Returns how many examples leave together: a tenth of the batch."""
    return ops.maximum(batch_size // 10, 1)


def _continue(best, rows, alive_log_probs, finished, only_end):
    """Returns the K - f best continuations, best first; -inf in the remaining f places."""
    beam_size = alive_log_probs.shape[1]
    top, tokens = best
    width = top.shape[1]
    total = rows.spread(top, NEVER) + alive_log_probs[:, :, None]  # (A, K, C)
    total = ops.reshape(total, (-1, beam_size * width))
    tokens = ops.reshape(rows.spread(tokens, PAD), (-1, beam_size * width))
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


def _take(structure, rows):
    return tree.map_structure(lambda entry: ops.take(entry, rows, axis=0), structure)


def _gather(values, index):
    """Returns `values[b, index[b, m]]`, `(B, M, ...)`, of `values` `(B, K, ...)`."""
    shape = ops.shape(values)
    rows = ops.reshape(values, (-1, *shape[2:]))
    return ops.take(rows, flat_index(index, values.shape[1]), axis=0)
