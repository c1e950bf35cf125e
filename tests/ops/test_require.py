import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.ops.require import require


def test_what_is_fulfilled_changes_nothing():
    x = ops.array([1.0, 2.0])
    np.testing.assert_array_equal(ops.convert_to_numpy(require(x[0] < 2, "small", x)), [1.0, 2.0])


@pytest.mark.tensorflow
def test_a_graph_raises_the_message():
    import tensorflow as tf

    @tf.function
    def run(n):
        return require(n < 3, "expected less than 3", tf.ones(2))

    run(tf.constant(2))
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected less than 3"):
        run(tf.constant(3))


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="needs the JAX backend")
def test_jax_raises_where_it_can_and_gives_nan_where_it_cannot():
    import jax

    def run(n):
        return require(n < 3, "expected less than 3", ops.ones(2))

    with pytest.raises(ValueError, match="expected less than 3"):
        run(ops.array(3))
    assert np.isnan(jax.jit(run)(3)).all()
    np.testing.assert_array_equal(jax.jit(run)(2), np.ones(2))


@pytest.mark.tensorflow
def test_where_nothing_can_raise_there_is_nan():
    import tensorflow as tf

    run = tf.function(lambda n: require(n < 3, "small", tf.ones(2)), jit_compile=True)
    assert np.isnan(run(tf.constant(3))).all()
    np.testing.assert_array_equal(run(tf.constant(2)), np.ones(2))
