"""Integer tables as tensors: the two operations that every tokenizer is made of."""

import tensorflow as tf


def static_table(keys, values, default):
    """Returns a lookup table from int `keys` (as int64) or str `keys` to int32 `values`."""
    keys, values = list(keys), list(values)
    if not keys:  # TensorFlow has no empty tables: one that holds its default does the same
        keys, values = [0], [default]
    dtype = tf.string if isinstance(keys[0], str) else tf.int64
    initializer = tf.lookup.KeyValueTensorInitializer(
        tf.constant(keys, dtype), tf.constant(values, tf.int32)
    )
    return tf.lookup.StaticHashTable(initializer, default)


def replace(tensor, index, values):
    """Returns `tensor` `(M,)` with `values` `(A,)` at the places `index` `(A,)`."""
    return tf.tensor_scatter_nd_update(tensor, index[:, None], values)
