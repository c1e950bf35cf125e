"""What every output layer does with targets, by the names that models and pipelines use."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.models.heads import HEADS, make_head
from tests.gradients import value_and_gradients

V, H = 12, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, H)).astype("float32")
TARGETS = np.array([[1, 2, 3, 4], [5, 11, 0, 0], [6, 0, 0, 0]], "int32")

every_head = pytest.mark.parametrize("name", HEADS)


@every_head
def test_losses_are_minus_log_softmax_of_the_logits(name):
    head = make_head(name, V)
    log_probs = ops.convert_to_numpy(ops.log_softmax(head(X)))
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1.0, rtol=1e-5)
    wanted = -np.take_along_axis(log_probs, TARGETS[..., None], -1)[..., 0] * (TARGETS > 0)
    found = ops.convert_to_numpy(head(X, targets=TARGETS))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert not found[TARGETS == 0].any()


@every_head
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("padding", [np.nan, np.inf])
def test_what_stands_in_the_padding_changes_nothing(name, training, padding):
    head = make_head(name, V, samples=4)
    head(X)
    if hasattr(head, "draw"):
        drawn = head.draw()
        head.draw = lambda: drawn

    def measured(x):
        return value_and_gradients(
            lambda x: ops.sum(head(x, targets=TARGETS, training=training)),
            [x],
            head.trainable_variables,
        )

    real = (TARGETS > 0)[..., None]
    clean, dirty = (measured(np.where(real, X, fill)) for fill in (np.float32(0), padding))
    assert not clean[1][0][~real[..., 0]].any()
    for a, b in zip(*map(keras.tree.flatten, (clean, dirty)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@every_head
def test_nothing_but_padding_costs_nothing(name):
    head = make_head(name, V, samples=4)
    found = ops.convert_to_numpy(head(X, targets=np.zeros((3, 4), "int32"), training=True))
    np.testing.assert_array_equal(found, 0.0)


@every_head
def test_symbolic_shapes_are_the_eager_ones(name):
    head = make_head(name, V, samples=4)
    hidden, targets = keras.Input((None, H)), keras.Input((None,), dtype="int32")
    assert head(hidden).shape == (None, None, V)
    assert head(hidden, targets=targets).shape == (None, None)
    assert head(X[:, 0]).shape == (3, V)
    assert head(X[:, 0], targets=TARGETS[:, 0]).shape == (3,)


@every_head
def test_half_precision_gives_float32_losses(name):
    head = make_head(name, V, samples=4)
    head(X)
    policy = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    mixed = type(head).from_config({**head.get_config(), "dtype": policy})
    mixed(X)
    mixed.set_weights(head.get_weights())
    for training in (False, True):
        losses = mixed(X, targets=TARGETS, training=training)
        assert keras.backend.standardize_dtype(losses.dtype) == "float32"
        assert np.isfinite(ops.convert_to_numpy(losses)).all()
    np.testing.assert_allclose(
        ops.convert_to_numpy(mixed(X, targets=TARGETS)),
        ops.convert_to_numpy(head(X, targets=TARGETS)),
        rtol=0.1,
        atol=0.1,
    )


def test_targets_that_do_not_fit_are_told():
    head = make_head("softmax", V)
    hidden = keras.Input((5, H))
    with pytest.raises(ValueError, match="expected targets of integers and of the shape .None, 5."):
        head(hidden, targets=keras.Input((4,), dtype="int32"))
    with pytest.raises(ValueError, match="got float32 of shape .None, 5."):
        head(hidden, targets=keras.Input((5,)))
