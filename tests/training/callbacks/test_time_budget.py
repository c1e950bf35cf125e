import types

import pytest

from seqkeras.training.callbacks import time_budget
from seqkeras.training.callbacks.time_budget import TimeBudget


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets, in minutes."""
    clock = types.SimpleNamespace(minutes=1000.0)
    monkeypatch.setattr(
        time_budget, "time", types.SimpleNamespace(monotonic=lambda: 60 * clock.minutes)
    )
    return clock


def run(budget, clock, durations):
    """Returns after how many epochs of these minutes the callback stops, None if it doesn't."""
    budget.set_model(types.SimpleNamespace(stop_training=False))
    budget.on_train_begin()
    for epoch, minutes in enumerate(durations):
        clock.minutes += minutes
        budget.on_epoch_end(epoch)
        if budget.model.stop_training:
            return epoch + 1
    return None


@pytest.mark.parametrize(
    ("minutes", "durations", "epochs"),
    [
        (10, [3, 3, 3, 3], 3),  # 9 minutes: a fourth would end at 12
        (9, [3, 3, 3, 3], 3),
        (
            10,
            [5, 1, 1, 1, 1, 1, 1],
            6,
        ),  # a slow first epoch, which compiles, is not held against it
        (1, [3, 3], 1),
        (None, [3, 3, 3], None),
    ],
)
def test_ends_with_the_last_epoch_that_fits(clock, minutes, durations, epochs):
    budget = TimeBudget(minutes)
    assert run(budget, clock, durations) == epochs
    if minutes is not None and epochs > 1:
        assert budget.curve[-1] <= minutes


def test_goes_on_counting_over_an_interruption(clock):
    first = TimeBudget(10)
    assert run(first, clock, [3, 3]) is None
    clock.minutes += 0.5
    state = first.get_state()  # in the middle of an epoch
    clock.minutes += 500  # killed; resumed much later
    second = TimeBudget(10)
    second.set_state(state)
    assert not second.stopped
    assert run(second, clock, [2.5, 3]) == 1
    assert second.curve == pytest.approx([3, 6, 9])
    third = TimeBudget(10)
    third.set_state(second.get_state())
    assert third.stopped
    longer = TimeBudget(20)
    longer.set_state(second.get_state())
    assert not longer.stopped


def test_no_time_is_refused():
    with pytest.raises(ValueError, match="minutes"):
        TimeBudget(0)
