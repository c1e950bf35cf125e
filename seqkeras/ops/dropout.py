"""Dropout noise from a seed that is a tensor, so that it can be drawn again."""

import keras
from keras import ops


def keep_mask(shape, rate, seed, dtype="float32"):
    """Returns zeros with probability `rate`, and 1 / (1 - rate) elsewhere.

    Args:
        shape: Tuple of ints and int tensors.
        rate: float in [0, 1).
        seed: int tensor `(2,)`, as `keras.random.SeedGenerator.next()` gives; the same seed and
            shape give the same mask.
        dtype: Of the mask.
    """
    draw = {"tensorflow": _tensorflow, "jax": _jax}[keras.backend.backend()]
    return ops.cast(draw(shape, rate, seed), dtype) * (1.0 / (1.0 - rate))


def fold_in(seed, number):
    """Returns a seed `(2,)` for each whole number, unlike any that the generator of `seed` gives.

    A generator counts up, so the seed plus a number would be the seed of a later call.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        seed, number = tf.cast(seed, tf.int32), tf.cast(number, tf.int32)
        return tf.random.experimental.stateless_fold_in(seed, number)
    import jax

    return jax.random.fold_in(seed, number)


def _tensorflow(shape, rate, seed):
    import tensorflow as tf

    # Whole numbers from 0 on: cheaper than floats, and finer.
    drawn = tf.random.stateless_uniform(shape, tf.cast(seed, tf.int32), 0, 2**31 - 1, tf.int32)
    return drawn >= int(rate * (2**31 - 1))


def _jax(shape, rate, seed):
    import jax

    return jax.random.bernoulli(seed, 1.0 - rate, shape)
