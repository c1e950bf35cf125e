import io

import keras
import pytest

from seqkeras.training.callbacks import progress as module
from seqkeras.training.callbacks.progress import Progress, format_seconds
from seqkeras.training.callbacks.time_budget import TimeBudget


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def run(callback, clock, epochs=2, steps=10, seconds=4.0):
    """Every batch takes `seconds`, the very first 100 s more."""
    callback.set_params({"steps": steps, "epochs": epochs})
    for epoch in range(epochs):
        callback.on_epoch_begin(epoch)
        for batch in range(steps):
            clock.now += seconds + (100 if epoch == batch == 0 else 0)
            callback.on_train_batch_end(batch, logs={"loss": 2.0, "perplexity": 7.38906})
        clock.now += 50  # validation
        callback.on_epoch_end(epoch, {"loss": 2.0, "val_loss": 2.5})


def test_prints_a_line_every_ten_seconds_and_one_per_epoch(clock):
    stream = io.StringIO()
    run(Progress(keras.Variable(30.0), stream=stream), clock)
    lines = stream.getvalue().splitlines()
    # After the first batch, which compiles, a line falls due at every third one (12 s).
    assert lines[0] == ("epoch 1/2  step 4/10  loss 2  perplexity 7.389  8 tokens/s  0:01:04 left")
    assert [line.split()[3] for line in lines] == [
        *["4/10", "7/10", "10/10", "loss"],
        *["3/10", "6/10", "9/10", "loss"],
    ]
    assert lines[3] == "epoch 1/2  done  loss 2  val_loss 2.5"
    assert "0:00:04 left" in lines[6]
    assert "\r" not in stream.getvalue()


def test_without_a_token_count_speed_is_in_steps(clock, capsys):
    run(Progress(seconds=1.0), clock, epochs=1, steps=2, seconds=2.0)
    assert "0.5 steps/s" in capsys.readouterr().out


def test_a_budget_may_end_before_the_epochs(clock):
    stream, budget = io.StringIO(), TimeBudget(minutes=1.5)  # one that has not begun: 90 s left
    run(Progress(stream=stream, budget=budget), clock, epochs=100)
    assert "0:01:30 left" in stream.getvalue().splitlines()[0]


def test_format_seconds():
    assert [format_seconds(s) for s in (0, 59.6, 3599, 90061)] == [
        *["0:00:00", "0:01:00", "0:59:59", "25:01:01"]
    ]
