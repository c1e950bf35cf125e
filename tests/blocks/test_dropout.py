"""Dropout: what it drops, what it keeps, and that it is Keras' layer otherwise."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.blocks.dropout import Dropout
from seqkeras.ops.dropout import keep_mask
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

X = np.random.default_rng(0).normal(size=(3, 5, 7)).astype("float32")
SEED = np.array([1, 2], "uint32")


@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: Dropout(0.25, seed=1),
        {"inputs": X},
        parameters=0,
        zero_when_masked=False,
        jit_compile=jit_compile,
    )


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9, 0.999])
def test_entries_are_kept_at_the_rate_and_grow(rate):
    """Within five standard deviations, and independently of their neighbour."""
    keep = ops.convert_to_numpy(keep_mask((500, 401), rate, SEED))
    rate = round(rate * 65536) / 65536
    np.testing.assert_allclose(np.unique(keep), [0.0, 1.0 / (1.0 - rate)], rtol=1e-6)
    share, deviation = (keep > 0).mean(), np.sqrt(rate * (1 - rate) / keep.size)
    assert abs(share - (1 - rate)) < 5 * deviation
    both = ((keep[:, 1:] > 0) & (keep[:, :-1] > 0)).mean()
    assert abs(both - (1 - rate) ** 2) < 10 * deviation


@pytest.mark.parametrize("shape", [(), (1,), (3,), (0, 4), (2, 3, 5)])
def test_any_shape(shape):
    keep = keep_mask(shape, 0.5, SEED)
    assert tuple(keep.shape) == shape
    np.testing.assert_array_equal(keep, keep_mask(shape, 0.5, SEED))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_any_dtype(dtype):
    assert keras.backend.standardize_dtype(keep_mask((4,), 0.5, SEED, dtype).dtype) == dtype


def test_the_ends_of_the_range():
    np.testing.assert_array_equal(keep_mask((1000,), 0.0, SEED), 1.0)
    assert np.isfinite(ops.convert_to_numpy(keep_mask((1000,), 1.0 - 1e-9, SEED))).all()


def test_values_and_gradients_have_the_same_noise():
    layer = Dropout(0.5, seed=3)
    value, (gradient,), _ = value_and_gradients(lambda x: ops.sum(layer(x, training=True)), [X])
    assert set(np.unique(gradient)) == {0.0, 2.0}
    np.testing.assert_allclose(value, (gradient * X).sum(), rtol=1e-5)


def test_every_call_drops_other_entries_and_a_seed_repeats_them():
    layer, same = Dropout(0.5, seed=3), Dropout(0.5, seed=3)
    first, second = (ops.convert_to_numpy(layer(X, training=True)) for _ in range(2))
    assert np.any((first == 0) != (second == 0))
    np.testing.assert_array_equal(first, same(X, training=True))


def test_off_outside_training():
    np.testing.assert_array_equal(Dropout(0.5)(X), X)
    np.testing.assert_array_equal(Dropout(0.0)(X, training=True), X)


def test_noise_with_a_shape_of_its_own():
    y = ops.convert_to_numpy(Dropout(0.5, noise_shape=(3, 1, 7), seed=1)(X, training=True))
    np.testing.assert_array_equal(np.all(y == 0, axis=1), np.any(y == 0, axis=1))
