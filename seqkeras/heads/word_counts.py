"""How often words occur, as heads need it: to draw samples, to build trees."""

import numpy as np

UNSEEN = 0.5  # what a word counts that does not occur


def check_counts(counts, vocabulary_size):
    """Returns the counts as a list, or None; raises unless they are V numbers >= 0, not all 0."""
    if counts is None:
        return None
    found = np.asarray(counts)
    if found.shape != (vocabulary_size,) or not (found >= 0).all() or not found.any():
        raise ValueError(
            f"counts: expected {vocabulary_size} numbers >= 0, one for each word of the vocabulary "
            f"and not all 0, got {found.dtype} of shape {found.shape}."
        )
    return found.tolist()


def word_weights(counts, vocabulary_size):
    """Returns float64 `(V,)` > 0, proportional to how often each word is expected.

    Args:
        counts: V numbers >= 0, or None: the words are sorted by falling frequency and follow
            Zipf's law, log((r + 2) / (r + 1)) at rank r, counted from 0.
        vocabulary_size: int, V.
    """
    if counts is not None:
        return np.maximum(np.asarray(counts, np.float64), UNSEEN)
    ranks = np.arange(vocabulary_size, dtype=np.float64)
    return np.log((ranks + 2.0) / (ranks + 1.0))
