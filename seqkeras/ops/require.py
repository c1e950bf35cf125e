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


def require_ids(name, size, value, *ids):
    """Returns `value`, and fails as `require` does if there are ids outside of 0..size - 1.

    Args:
        name: str, of the layer that expects them.
        size: int, of the vocabulary.
        value: Float tensor.
        ids: Integer tensors.
    """
    message = f"{name}: expected ids from 0 to {size - 1}, got others."
    for x in ids:
        value = require(ops.all(ops.logical_and(x >= 0, x < size)), message, value)
    return value


def ids_in_range(ids, size):
    """Returns ids as int32, those out of range moved to its ends: safe to look up."""
    return ops.clip(ops.cast(ids, "int32"), 0, size - 1)
