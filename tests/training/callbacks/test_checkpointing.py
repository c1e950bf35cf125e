import os

import keras
import numpy as np
import pytest

from seqkeras.training.callbacks.checkpointing import (
    Checkpointing,
    callback_states,
    restore_callbacks,
)
from seqkeras.training.callbacks.early_stopping import EarlyStopping
from seqkeras.training.checkpoints import average_checkpoints, load_weights_only, read_checkpoint


def a_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    return model


def run(checkpointing, values, steps=5):
    """Pretends an epoch of `steps` for each monitored value; the only weight is its number."""
    checkpointing.set_model(a_model())
    checkpointing.set_params({"steps": steps})
    for epoch, value in enumerate(values):
        checkpointing.on_epoch_begin(epoch)
        for batch in range(steps):
            checkpointing.model.set_weights([np.full((1, 1), epoch + (batch + 1) / steps)])
            checkpointing.on_train_batch_end(batch, logs={})
        checkpointing.on_epoch_end(epoch, {"val_perplexity": value})


def weight(path):
    model = a_model()
    load_weights_only(path, model)
    return float(model.get_weights()[0][0, 0])


def test_last_and_best(tmp_path):
    run(Checkpointing(tmp_path), [5.0, 3.0, 4.0])
    assert weight(tmp_path / "last.npz") == 3
    assert weight(tmp_path / "best.npz") == 2
    assert sorted(os.listdir(tmp_path)) == ["best.npz", "last.npz"]


def test_mode_max(tmp_path):
    run(Checkpointing(tmp_path, mode="max"), [5.0, 3.0, 6.0, 4.0])
    assert weight(tmp_path / "best.npz") == 3


def test_nan_is_never_the_best(tmp_path):
    run(Checkpointing(tmp_path), [float("nan"), 3.0, float("nan")])
    assert weight(tmp_path / "best.npz") == 2


def test_every_steps(tmp_path, monkeypatch):
    positions = []
    monkeypatch.setattr(
        "seqkeras.training.callbacks.checkpointing.save_checkpoint",
        lambda path, model, state: (
            positions.append((state["epoch"], state["step"])),
            path.write_bytes(b""),
        ),
    )
    run(Checkpointing(tmp_path, every_steps=2), [1.0, 1.0])
    assert positions == [(0, 2), (0, 4), (1, 0), (1, 2), (1, 4), (2, 0)]


def test_the_batch_that_ends_an_epoch_is_saved_after_validation(tmp_path):
    checkpointing = Checkpointing(tmp_path, every_steps=1)
    checkpointing.set_model(a_model())
    checkpointing.set_params({"steps": 2})
    checkpointing.on_epoch_begin(0)
    for batch in range(2):
        checkpointing.on_train_batch_end(batch, logs={})
    _, state = read_checkpoint(tmp_path / "last.npz")
    assert (state["epoch"], state["step"]) == (0, 1)
    checkpointing.on_epoch_end(0, {"val_perplexity": 7.0})
    _, state = read_checkpoint(tmp_path / "last.npz")
    assert (state["epoch"], state["step"]) == (1, 0)
    assert state["callbacks"]["Checkpointing"][0]["best"] == 7.0


@pytest.mark.parametrize(
    ("keep", "epochs"),
    [
        ({"keep_last": 2}, [4, 5]),
        ({"keep_last": 9}, [1, 2, 3, 4, 5]),
        ({"keep_best": 2}, [2, 4]),
        ({"keep_last": 1, "keep_best": 2}, [2, 4, 5]),
    ],
)
def test_keeps_the_newest_and_the_best_epochs(tmp_path, keep, epochs):
    checkpointing = Checkpointing(tmp_path, **keep)
    run(checkpointing, [5.0, 1.0, 4.0, 2.0, 3.0])
    names = [f"epoch-{epoch:04d}.npz" for epoch in epochs]
    assert sorted(p.name for p in tmp_path.glob("epoch-*")) == names
    assert [p.name for p in checkpointing.epoch_paths()] == names
    assert [weight(p) for p in checkpointing.epoch_paths()] == epochs
    model = a_model()
    average_checkpoints(checkpointing.epoch_paths(), model)
    np.testing.assert_allclose(model.get_weights()[0], np.mean(epochs), rtol=1e-6)


def test_goes_on_with_its_state(tmp_path):
    first = Checkpointing(tmp_path, keep_best=2)
    run(first, [5.0, 1.0])
    _, state = read_checkpoint(first.last_path)
    second = Checkpointing(tmp_path, keep_best=2)
    restore_callbacks([second], state["callbacks"])
    second.set_model(a_model())
    second.set_params({"steps": 1})
    second.on_epoch_begin(2)
    second.on_train_batch_end(0)
    second.on_epoch_end(2, {"val_perplexity": 2.0})
    assert weight(tmp_path / "best.npz") == 2  # the second epoch, of before
    assert [p.name for p in second.epoch_paths()] == ["epoch-0002.npz", "epoch-0003.npz"]


def test_a_kill_between_best_and_last_loses_neither(tmp_path, monkeypatch):
    replace = os.replace

    def killed(source, path):
        if path == tmp_path / "last.npz" and weight(tmp_path / "best.npz") == 2:
            raise KeyboardInterrupt
        replace(source, path)

    run(Checkpointing(tmp_path), [5.0])
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run(Checkpointing(tmp_path), [5.0, 3.0])
    assert weight(tmp_path / "last.npz") == 1
    _, state = read_checkpoint(tmp_path / "last.npz")
    # The run goes on from the first epoch, does not yet know of the better second, and redoes it.
    assert state["epoch"] == 1
    assert state["callbacks"]["Checkpointing"][0]["best"] == 5.0


def test_a_cut_epoch_is_not_saved(tmp_path):
    checkpointing = Checkpointing(tmp_path)
    checkpointing.set_model(a_model())
    checkpointing.set_params({"steps": 5})
    checkpointing.on_epoch_begin(0)
    checkpointing.on_train_batch_end(1)
    checkpointing.on_epoch_end(0, {"val_perplexity": 1.0})
    assert not os.listdir(tmp_path)


def test_a_name_that_is_not_in_the_logs_raises(tmp_path):
    with pytest.raises(ValueError, match=r"'val_bleu'.*\['val_perplexity'\]"):
        run(Checkpointing(tmp_path, monitor="val_bleu"), [1.0])


def test_wrong_options_raise(tmp_path):
    with pytest.raises(ValueError, match="known: min, max"):
        Checkpointing(tmp_path, mode="lowest")
    with pytest.raises(ValueError, match="every_steps"):
        Checkpointing(tmp_path, every_steps=0)
    with pytest.raises(ValueError, match="needs a monitor"):
        Checkpointing(tmp_path, monitor=None, keep_best=1)


def test_states_of_two_callbacks_of_one_class_are_kept_apart():
    def pair():
        return [EarlyStopping(2, "a"), EarlyStopping(3, "b"), keras.callbacks.Callback()]

    old, new = pair(), pair()
    old[0].set_state({"best": 1.0, "wait": 1})
    old[1].set_state({"best": 2.0, "wait": 2})
    restore_callbacks(new, callback_states(old[:2]))
    assert [c.get_state() for c in new[:2]] == [c.get_state() for c in old[:2]]
