"""A cache: what has been said lately is said again; Kuhn & De Mori 1990 (IEEE PAMI 12(6)).

    p(w_t | w_<t) = how often w is among the last K tokens / how many these are
    p(w_1)        = 1 / V'               V' = V - 2: every id but PAD and START

It has no parameters and learns nothing from training data; as a member of a mixture it adapts the
others to the text at hand. Most tokens are not in it, so alone it is no language model.
"""

import numpy as np

from seqkeras.counts.ngrams import checked_ids
from seqkeras.ops.uniform_words import uniform_words


class UnigramCache:
    """The last K tokens of a stream as a distribution.

    Args:
        vocabulary_size: int. V.
        window: int >= 1. K.

    Raises:
        ValueError: for a vocabulary without a word, or a window below 1.

    Example:

    >>> cache = UnigramCache(vocabulary_size=6, window=2)
    >>> np.exp(cache.log_probs(np.array([4, 4, 5, 4]))).tolist()
    [0.25, 1.0, 0.0, 0.5]
    """

    def __init__(self, vocabulary_size, window):
        if vocabulary_size <= 2 or window < 1:
            raise ValueError(
                "expected a vocabulary_size above 2 and a window of at least 1, got "
                f"{vocabulary_size} and {window}"
            )
        self.vocabulary_size = vocabulary_size
        self.window = window

    def log_probs(self, ids):
        """Returns the log-probability of every token in nats, float64 `(N,)`; -inf for a new one.

        Args:
            ids: Integer array `(N,)`, one stream.

        Raises:
            ValueError: for ids outside of the vocabulary, PAD or START.
        """
        ids = checked_ids(ids, self.vocabulary_size)
        size = len(ids)
        places = np.arange(size)
        # (word, place) as one number: the occurrences of a word stand side by side, in order.
        keys = np.sort(ids * size + places)
        first = np.maximum(places - self.window, 0)
        found = np.searchsorted(keys, ids * size + places)
        found -= np.searchsorted(keys, ids * size + first)
        p = found / np.maximum(places - first, 1)
        p[:1] = 1.0 / (self.vocabulary_size - 2)
        with np.errstate(divide="ignore"):
            return np.log(p)

    def distribution(self, history):
        """Returns the probability of every next id, float64 `(V,)`, after a stream `(N,)`."""
        recent = checked_ids(history, self.vocabulary_size)[-self.window :]
        if len(recent):
            return np.bincount(recent, minlength=self.vocabulary_size) / len(recent)
        return uniform_words(self.vocabulary_size)
