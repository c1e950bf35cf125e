"""The best continuations of each hypothesis, found in two passes over the vocabulary."""

from keras import ops

from seqkeras.constants import END, PAD, START
from seqkeras.decoding.protocol import NEVER
from seqkeras.ops.top_k import top_k


def best_tokens(logits, beam_size, bar):
    """Returns log-probabilities and tokens `(N, C)` among which the K best of any beam are.

    The ranking within a row does not depend on the row's past, so the passes over the vocabulary
    are a softmax and a `top_k` of the raw rows: K + 2 tokens, for two of them may be PAD and START.
    END has a column of its own, the first: it is needed at the last position, and comes before the
    higher ids for ties.

    Args:
        logits: `(N, V)`.
        beam_size: int K.
        bar: `logits -> logits`, -inf where a token must not follow.
    """
    count = min(beam_size + 2, logits.shape[-1])
    top, tokens = top_k(logits, count)
    normalizer = log_normalizer(logits, top, tokens)
    barred = bar(logits)
    if barred is not logits:
        top, tokens = top_k(barred, count)
    special = ops.logical_or(ops.equal(tokens, PAD), ops.equal(tokens, START))
    top = ops.where(ops.logical_or(special, ops.equal(tokens, END)), NEVER, top)
    top = ops.concatenate([barred[:, END : END + 1], top], axis=1)
    tokens = ops.concatenate([ops.full_like(tokens[:, :1], END), tokens], axis=1)
    return ops.where(ops.isfinite(normalizer), top - normalizer, NEVER), tokens


def log_normalizer(logits, largest, tokens):
    """Returns `(N, 1)`, log sum_v exp(logit_v): what to take off logits for log-probabilities.

    Where a row holds a NaN, or no finite number, so is the result.

    Args:
        logits: `(N, V)`.
        largest: `(N, C)`, the largest logits of each row, falling.
        tokens: `(N, C)`, which those are.

    A softmax is one pass by a fast kernel, and its largest entry is no smaller than 1 / V: twice as
    fast as a log-softmax, and as exact.
    """
    probability = ops.take_along_axis(ops.softmax(logits), tokens[:, :1], axis=1)
    return largest[:, :1] - ops.log(probability)
