"""Dropout noise from a seed that is a tensor, so that it can be drawn again."""

import keras
from keras import ops

_LEVELS = 2**16  # that a rate can have: so many random bits decide of an entry


def keep_mask(shape, rate, seed, dtype="float32"):
    """Returns zeros with probability `rate`, and 1 / (1 - rate) elsewhere.

    Args:
        shape: Tuple of ints and int tensors.
        rate: float in [0, 1), rounded to a multiple of 1 / 65,536.
        seed: int tensor `(2,)`, as `keras.random.SeedGenerator.next()` gives; the same seed and
            shape give the same mask.
        dtype: Of the mask.
    """
    dropped = min(round(rate * _LEVELS), _LEVELS - 1)  # of all levels
    draw = {"tensorflow": _tensorflow, "jax": _jax}[keras.backend.backend()]
    return ops.cast(draw(shape, dropped, seed), dtype) * (_LEVELS / (_LEVELS - dropped))


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


def _tensorflow(shape, dropped, seed):
    import tensorflow as tf

    # The time goes into random bits; one draw of 32 does for two entries.
    shape, seed = tf.convert_to_tensor(shape, tf.int32), tf.cast(seed, tf.int32)
    size = tf.reduce_prod(shape)
    drawn = tf.random.stateless_uniform([(size + 1) // 2], seed, None, None, tf.int32)
    levels = tf.reshape(tf.bitcast(drawn, tf.int16), [-1])[:size]
    return tf.reshape(levels >= dropped - _LEVELS // 2, shape)


def _jax(shape, dropped, seed):
    import jax

    return jax.random.bits(seed, shape, "uint16") >= dropped
