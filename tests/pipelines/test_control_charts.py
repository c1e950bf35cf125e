import numpy as np
import pytest

from pipelines.control_charts import LENGTHS, LONGER, PATTERNS, control_chart, make_control_charts

NOISE = 6.0  # 2 r, |r| <= 3


def chart(pattern, length=60, seed=0):
    series = control_chart(np.random.default_rng(seed), pattern, length)
    assert series.shape == (length, 1)
    return series[:, 0].astype("float64")


@pytest.mark.parametrize("seed", range(5))
def test_each_pattern_stays_within_its_bounds(seed):
    t = np.arange(1, 61)
    assert np.abs(chart("normal", seed=seed) - 30).max() <= NOISE
    assert 10 - NOISE < np.abs(chart("cyclic", seed=seed) - 30).max() <= 15 + NOISE
    for pattern, sign in (("increasing", 1), ("decreasing", -1)):
        drift = sign * (chart(pattern, seed=seed) - 30)
        assert (drift >= 0.2 * t - NOISE).all()
        assert (drift <= 0.5 * t + NOISE).all()
    for pattern, sign in (("upward_shift", 1), ("downward_shift", -1)):
        shift = sign * (chart(pattern, seed=seed) - 30)
        assert np.abs(shift[:19]).max() <= NOISE  # before T / 3
        assert (shift[40:] >= 7.5 - NOISE).all()  # from 2 T / 3 on
        assert (shift[40:] <= 20 + NOISE).all()


def test_the_cycle_has_its_period():
    spectrum = np.abs(np.fft.rfft(chart("cyclic", 600) - 30))
    assert 600 / 15 - 1 <= spectrum.argmax() <= 600 / 10 + 1


def test_splits_are_balanced_and_as_long_as_they_say():
    splits = make_control_charts(seed=3, train_size=60, test_size=30)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 60,
        "test": 30,
        "longer": 30,
    }
    for name, (shortest, longest) in (("train", LENGTHS), ("test", LENGTHS), ("longer", LONGER)):
        lengths = [len(series) for series, _ in splits[name]]
        assert min(lengths) >= shortest
        assert max(lengths) <= longest
        labels = [label for _, label in splits[name]]
        assert {labels.count(pattern) for pattern in PATTERNS} == {len(labels) // 6}


def test_the_same_seed_gives_the_same_charts_whatever_the_other_sizes():
    one = make_control_charts(seed=3, train_size=6, test_size=12)
    other = make_control_charts(seed=3, train_size=60, test_size=12)
    for (a, _), (b, _) in zip(one["test"], other["test"], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one["train"][0][0][:40], one["test"][0][0][:40])


def test_an_unknown_pattern_is_refused():
    with pytest.raises(ValueError, match="expected a pattern out of"):
        chart("flat")
