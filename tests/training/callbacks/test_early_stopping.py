import types

import pytest

from seqkeras.training.callbacks.early_stopping import EarlyStopping


def run(callback, values, name="val_perplexity"):
    """Returns after how many epochs the callback stops, None if it doesn't."""
    callback.set_model(types.SimpleNamespace(stop_training=False))
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {name: value})
        if callback.model.stop_training:
            return epoch + 1
    return None


@pytest.mark.parametrize(
    ("options", "values", "epochs"),
    [
        ({"patience": 2}, [5, 4, 4, 4, 1], 4),
        ({"patience": 2}, [5, 4, 4, 3, 4, 2], None),
        ({"patience": 1, "mode": "max"}, [1, 2, 3, 2], 4),
        ({"patience": 1, "min_delta": 0.5}, [5, 4.4, 4], 3),
        ({"patience": 2}, [float("nan"), float("nan"), 1], 2),
    ],
)
def test_stops_after_patience_without_improvement(options, values, epochs):
    assert run(EarlyStopping(**options), values) == epochs


def test_keeps_counting_over_an_interruption():
    first = EarlyStopping(3)
    assert run(first, [5.0, 6.0, 6.0]) is None
    second = EarlyStopping(3)
    second.set_state(first.get_state())
    assert not second.stopped
    assert run(second, [5.5, 1.0]) == 1
    third = EarlyStopping(3)
    third.set_state(second.get_state())
    assert third.stopped


def test_wrong_options_raise():
    with pytest.raises(ValueError, match="patience"):
        EarlyStopping(0)
    with pytest.raises(ValueError, match="known: min, max"):
        EarlyStopping(1, mode="auto")
    with pytest.raises(ValueError, match="val_bleu"):
        run(EarlyStopping(1, "val_bleu"), [1.0])
