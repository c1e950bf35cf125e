"""A cache that looks for situations like the present one; Grave et al. 2017 (arXiv:1612.04426).

    p(w_t | w_<t) = sum_i a_ti [w_i = w_t],    a_ti = softmax over i of theta h_t . h_i

h_i is the hidden state of a trained language model that predicts w_i, and i runs over the last K
positions. What followed a state like this one may follow again: attention over what has been read,
with nothing to train. theta = 0 gives `UnigramCache`.
"""

import numpy as np

from seqkeras.counts.ngrams import checked_ids
from seqkeras.ops.uniform_words import uniform_words

_BLOCK = 256  # positions worked out at once, each against the K before it


class ContinuousCache:
    """The last K tokens of a stream, weighed by how like their hidden states are to the present.

    Args:
        vocabulary_size: int. V.
        window: int >= 1. K.
        theta: float >= 0, how sharp the weights are.

    Raises:
        ValueError: for a vocabulary without a word, a window below 1 or a theta below 0.

    Example:

    >>> cache = ContinuousCache(vocabulary_size=6, window=10, theta=1.0)
    >>> hidden = 9.0 * np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> np.exp(cache.log_probs(np.array([4, 5, 4]), hidden)).tolist()  # the third is like the first
    [0.25, 0.0, 1.0]
    """

    def __init__(self, vocabulary_size, window, theta):
        if vocabulary_size <= 2 or window < 1 or not theta >= 0:
            raise ValueError(
                "expected a vocabulary_size above 2, a window of at least 1 and a theta of at "
                f"least 0, got {vocabulary_size}, {window} and {theta}"
            )
        self.vocabulary_size = vocabulary_size
        self.window = window
        self.theta = theta

    def log_probs(self, ids, hidden):
        """Returns the log-probability of every token in nats, float64 `(N,)`; -inf for a new one.

        Args:
            ids: Integer array `(N,)`, one stream.
            hidden: Float array `(N, H)`, the states that predict them.

        Raises:
            ValueError: for ids outside of the vocabulary, PAD or START, or other hidden states
                than one for each.
        """
        ids, hidden = self._checked(ids, hidden)
        p = np.zeros(len(ids))
        for begin in range(0, len(ids), _BLOCK):
            end = min(begin + _BLOCK, len(ids))
            first = max(begin - self.window, 0)
            weights = self._weights(hidden, begin, end, first)
            p[begin:end] = (weights * (ids[first:end] == ids[begin:end, None])).sum(axis=1)
        p[:1] = 1.0 / (self.vocabulary_size - 2)
        with np.errstate(divide="ignore"):
            return np.log(p)

    def distribution(self, history, hidden):
        """Returns the probability of every next id, float64 `(V,)`.

        Args:
            history: Integer array `(N,)`, the stream so far.
            hidden: Float array `(N + 1, H)`, the states that predict its tokens and the next one.
        """
        hidden = np.asarray(hidden)
        history, _ = self._checked(history, hidden[:-1])
        count = len(history)
        if not count:
            return uniform_words(self.vocabulary_size)
        (weights,) = self._weights(hidden, count, count + 1, 0)
        return np.bincount(history, weights[:-1], minlength=self.vocabulary_size)

    def _weights(self, hidden, begin, end, first):
        """Returns a of the positions from begin to end over those from first to end."""
        scores = self.theta * (hidden[begin:end] @ hidden[first:end].T).astype(np.float64)
        behind = np.arange(begin, end)[:, None] - np.arange(first, end)  # how many tokens ago
        scores = np.where((behind > 0) & (behind <= self.window), scores, -np.inf)
        largest = scores.max(axis=1, keepdims=True, initial=np.finfo(float).min)
        weights = np.exp(scores - largest)
        return weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)

    def _checked(self, ids, hidden):
        ids, hidden = checked_ids(ids, self.vocabulary_size), np.asarray(hidden)
        if hidden.ndim != 2 or len(hidden) != len(ids):
            raise ValueError(
                f"hidden: expected a state for each of {len(ids)} tokens, (N, H), got "
                f"{hidden.shape}"
            )
        return ids, hidden
