"""A check of a value that is known only when a graph runs."""

import keras
from keras import ops


def require(condition, message, x):
    """Returns x, and fails with the message where the condition, a boolean scalar, is False.

    TensorFlow raises an `InvalidArgumentError`, JAX outside of a compiled program a `ValueError`. A
    program that XLA compiled cannot raise: there x comes back as NaN, so that nobody goes on with
    what is wrong.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
            x = tf.identity(x)
    if keras.backend.backend() == "jax":
        import jax

        if not isinstance(condition, jax.core.Tracer) and not condition:
            raise ValueError(message)
    return ops.where(condition, x, ops.cast(float("nan"), x.dtype))
