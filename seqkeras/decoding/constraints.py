"""What a search may not produce: n-grams that it has produced before (Paulus et al. 2018).

A token v is barred at position t if y_(t-n+1) .. y_(t-1) v occurs in y_0 .. y_(t-1)
(arXiv:1705.04304, section 2.5). The barred tokens are scattered into the scores; no tensor of
history times vocabulary is made.
"""

from keras import ops

from seqkeras.constants import PAD
from seqkeras.decoding.protocol import NEVER


def bar_repeats(log_probs, tokens, position, ngram):
    """Returns `log_probs` with -inf wherever a token would repeat an n-gram of its row.

    Args:
        log_probs: Float tensor `(N, V)`, scores of the token at `position`.
        tokens: Int tensor `(N, T)`, the rows' tokens, valid before `position`.
        position: Int scalar tensor.
        ngram: int n >= 1. With 1, no token occurs twice.
    """
    rows, width = ops.shape(tokens)
    padded = ops.pad(tokens, [[0, 0], [0, ngram - 1]])  # (N, T + n - 1)
    # Entry i of these `(N, T)` tensors speaks of the n-gram that begins at position i.
    repeats = ops.arange(width, dtype="int32")[None, :] + (ngram - 1) < position
    for j in range(ngram - 1):
        latest = ops.maximum(position - (ngram - 1) + j, 0)  # before n - 1, none repeats anyway
        latest = ops.take(tokens, latest, axis=1)[:, None]
        repeats = ops.logical_and(repeats, ops.equal(padded[:, j : j + width], latest))
    last = padded[:, ngram - 1 : ngram - 1 + width]
    barred = ops.where(repeats, last, PAD)  # PAD is never produced: the place to write nothing
    row = ops.broadcast_to(ops.arange(rows, dtype="int32")[:, None], (rows, width))
    indices = ops.reshape(ops.stack([row, barred], axis=-1), (-1, 2))
    updates = ops.full((rows * width,), NEVER, dtype=log_probs.dtype)
    return ops.scatter_update(log_probs, indices, updates)
