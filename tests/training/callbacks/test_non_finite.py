import keras
import numpy as np
import pytest

from seqkeras.training.adam import Adam
from seqkeras.training.callbacks.checkpointing import Checkpointing
from seqkeras.training.callbacks.non_finite import NonFiniteError, StopOnNonFinite
from seqkeras.training.checkpoints import read_checkpoint
from seqkeras.training.optimizer import GuardedOptimizer

pytestmark = pytest.mark.tensorflow

X = np.ones((6, 2), "float32")
X[4, 0] = np.inf


def fit(optimizer, callbacks):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    y = np.zeros((6, 1), "float32")
    model.fit(X, y, batch_size=1, shuffle=False, verbose=0, callbacks=callbacks)
    return model


def test_stops_at_the_step_and_says_what_to_do(tmp_path):
    checkpointing = Checkpointing(tmp_path, every_steps=1, monitor=None)
    stop = StopOnNonFinite(checkpointing.last_path)
    with pytest.raises(NonFiniteError) as caught:
        fit(GuardedOptimizer(Adam(0.125)), [stop, checkpointing])
    message = str(caught.value)
    for part in (
        "the gradient is not finite at epoch 1, step 5",
        "learning rate 0.125",
        "gradient norm",
        "no weight was changed",
        f"intact: {tmp_path}",
        "Try a lower learning rate",
    ):
        assert part in message
    arrays, state = read_checkpoint(tmp_path / "last.npz", ["weights", "optimizer"])
    assert state["step"] == 4
    assert all(np.all(np.isfinite(array)) for array in arrays.values())


def test_sees_the_loss_of_an_unguarded_optimizer(tmp_path):
    with pytest.raises(NonFiniteError, match="the loss is not finite.*step 5") as caught:
        fit("sgd", [StopOnNonFinite(tmp_path / "last.npz")])
    assert "No checkpoint had been written yet" in str(caught.value)


def test_lets_finite_runs_pass():
    X[4, 0], bad = 1.0, X[4, 0]
    try:
        fit(GuardedOptimizer(Adam(0.1)), [StopOnNonFinite()])
    finally:
        X[4, 0] = bad
