"""The distribution before anything is known."""

import numpy as np

from seqkeras.constants import PAD, START


def uniform_words(vocabulary_size):
    """Returns a probability for each word, float64 `(V,)`: the same for all that can be.

    PAD and START cannot.
    """
    p = np.full(vocabulary_size, 1.0 / (vocabulary_size - 2))
    p[[PAD, START]] = 0.0
    return p
