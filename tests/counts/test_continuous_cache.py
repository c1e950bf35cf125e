"""The continuous cache against sums by hand, one token after the other."""

import numpy as np
import pytest

from seqkeras.constants import PAD, START
from seqkeras.counts import ContinuousCache, UnigramCache

RNG = np.random.default_rng(2)


def stream(length):
    return RNG.integers(2, 9, length), RNG.normal(size=(length, 3)).astype("float32")


@pytest.mark.parametrize("window", [1, 4, 1000])
@pytest.mark.parametrize("length", [1, 30, 600])
def test_equals_sums_by_hand(length, window):
    ids, hidden = stream(length)
    found = np.exp(ContinuousCache(9, window, 0.7).log_probs(ids, hidden))
    assert found[0] == pytest.approx(1 / 7)
    for t in range(1, length, 1 if length < 100 else 53):
        past = range(max(t - window, 0), t)
        weights = [np.exp(0.7 * float(hidden[t] @ hidden[i])) for i in past]
        wanted = sum(w for w, i in zip(weights, past, strict=True) if ids[i] == ids[t])
        assert found[t] == pytest.approx(wanted / sum(weights), rel=1e-5)


def test_theta_zero_is_the_unigram_cache():
    ids, hidden = stream(300)
    found = ContinuousCache(9, 40, 0.0).log_probs(ids, hidden)
    np.testing.assert_allclose(np.exp(found), np.exp(UnigramCache(9, 40).log_probs(ids)))


def test_distributions_sum_to_one_and_hold_the_scored_probability():
    ids, hidden = stream(30)
    cache = ContinuousCache(9, 5, 0.7)
    scored = np.exp(cache.log_probs(ids, hidden))
    for t, word in enumerate(ids):
        p = cache.distribution(ids[:t], hidden[: t + 1])
        assert p.sum() == pytest.approx(1.0)
        assert p[PAD] == p[START] == 0.0
        assert p[word] == pytest.approx(scored[t])


def test_states_of_any_size_give_numbers():
    ids, hidden = stream(20)
    found = np.exp(ContinuousCache(9, 5, 1.0).log_probs(ids, 1e4 * hidden))
    assert np.isfinite(found).all()
    assert (found <= 1.0 + 1e-9).all()


def test_no_token_at_all():
    assert ContinuousCache(9, 4, 1.0).log_probs(np.zeros(0, int), np.zeros((0, 3))).shape == (0,)


def test_what_does_not_fit_raises():
    ids, hidden = stream(5)
    with pytest.raises(ValueError, match=r"a state for each of 5 tokens, \(N, H\), got \(4, 3\)"):
        ContinuousCache(9, 4, 1.0).log_probs(ids, hidden[:4])
    with pytest.raises(ValueError, match="from 0 to 8"):
        ContinuousCache(9, 4, 1.0).log_probs(ids + 9, hidden)
    for options in ((2, 4, 1.0), (9, 0, 1.0), (9, 4, -1.0), (9, 4, np.nan)):
        with pytest.raises(ValueError, match="a theta of at least 0, got"):
            ContinuousCache(*options)
