import numpy as np

from seqkeras.counts.hashing import hashed


def test_numbers_spread_over_all_slots():
    found = hashed(np.arange(100_000), 1000)
    assert (np.bincount(found, minlength=1000) > 50).all()  # 100 each on average
    np.testing.assert_array_equal(found[:5], hashed(np.arange(5), 1000))


def test_large_numbers_stay_in_range():
    found = hashed(np.array([0, 2**62, 2**63 - 1]), 7)
    assert found.min() >= 0
    assert found.max() < 7
