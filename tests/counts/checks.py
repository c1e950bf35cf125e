"""What holds for the tables of every n-gram model."""

import numpy as np

from seqkeras.constants import END, PAD, START


def check_distributions(model):
    """After any context p sums to 1, and is positive for every word that can be."""
    rng, size = np.random.default_rng(2), model.vocabulary_size
    for context in [(), [END], *[rng.integers(2, size, n) for n in range(1, 9)]]:
        p = model.distribution(context)
        assert abs(p.sum() - 1.0) < 1e-12
        assert p[PAD] == p[START] == 0.0
        assert (np.delete(p, [PAD, START]) > 0).all()
