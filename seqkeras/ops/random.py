"""Random numbers that depend on a row's own seed, and on nothing else in its batch."""

import keras


def uniform_by_row(seeds, count):
    """Returns float32 `(count, B)`, uniform in [0, 1): column b is drawn from seed b alone.

    Args:
        seeds: Integer tensor `(B,)`, not negative.
        count: int or int scalar tensor.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def of_one(seed):
            return tf.random.stateless_uniform([count], tf.stack([seed, tf.zeros_like(seed)]))

        spec = tf.TensorSpec([tf.get_static_value(count)], tf.float32)
        found = tf.map_fn(of_one, seeds, fn_output_signature=spec)
        return tf.transpose(found)
    if keras.backend.backend() == "jax":
        import jax

        def of_one(seed):
            return jax.random.uniform(jax.random.key(seed), (count,))

        return jax.vmap(of_one, out_axes=1)(jax.numpy.asarray(seeds))
    raise NotImplementedError(f"uniform_by_row: no {keras.backend.backend()} backend.")
