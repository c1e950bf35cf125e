import numpy as np
import pytest
import tensorflow as tf

from seqkeras.ops import updates

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(0)


def test_to_dense_adds_up_rows_that_were_looked_up_twice():
    table = tf.Variable(RNG.normal(size=(5, 2)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.gather(table, [3, 1, 3]) * [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    gradient = tape.gradient(loss, table)
    assert isinstance(gradient, tf.IndexedSlices)
    expected = [[0, 0], [3, 4], [0, 0], [6, 8], [0, 0]]
    np.testing.assert_array_equal(updates.to_dense(gradient, table), expected)


def test_global_norm_is_numpys_of_everything_in_one_vector():
    tensors = [RNG.normal(size=shape).astype("float32") for shape in ((3, 4), (5,), ())]
    expected = np.linalg.norm(np.concatenate([tensor.ravel() for tensor in tensors]))
    np.testing.assert_allclose(updates.global_norm(tensors), expected, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_global_norm_shows_a_single_bad_value(bad):
    tensors = [np.ones(3, "float32"), np.array([1.0, bad], "float32")]
    assert not np.isfinite(updates.global_norm(tensors))


def test_global_norm_of_bfloat16_is_summed_in_float32():
    np.testing.assert_allclose(updates.global_norm([tf.ones(4096, tf.bfloat16)]), 64.0)
