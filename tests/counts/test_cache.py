"""The cache against counting by hand, one token after the other."""

import numpy as np
import pytest

from seqkeras.constants import PAD, START
from seqkeras.counts import UnigramCache

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("window", [1, 3, 100])
def test_equals_counting_by_hand(window):
    ids = RNG.integers(2, 9, 40)
    found = np.exp(UnigramCache(9, window).log_probs(ids))
    for t, word in enumerate(ids):
        recent = ids[max(t - window, 0) : t].tolist()
        wanted = recent.count(word) / len(recent) if recent else 1 / 7
        assert found[t] == pytest.approx(wanted)


def test_distributions_sum_to_one_and_hold_the_scored_probability():
    ids = RNG.integers(2, 9, 30)
    cache = UnigramCache(9, 4)
    scored = np.exp(cache.log_probs(ids))
    for t, word in enumerate(ids):
        p = cache.distribution(ids[:t])
        assert p.sum() == pytest.approx(1.0)
        assert p[PAD] == p[START] == 0.0
        assert p[word] == pytest.approx(scored[t])


def test_no_token_at_all():
    assert UnigramCache(9, 4).log_probs(np.zeros(0, int)).shape == (0,)


@pytest.mark.parametrize("ids", [[9], [-1], [PAD], [START], [[4]]])
def test_wrong_ids_raise(ids):
    with pytest.raises(ValueError, match=r"ids: expected (ids from 0 to 8|integer ids \(N,\))"):
        UnigramCache(9, 4).log_probs(np.array(ids))


@pytest.mark.parametrize(("size", "window"), [(2, 4), (9, 0)])
def test_wrong_sizes_raise(size, window):
    with pytest.raises(ValueError, match=f"got {size} and {window}"):
        UnigramCache(size, window)
