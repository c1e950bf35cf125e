"""Loops that drop the rows they are done with, so that a few stragglers do not cost a whole batch,
and whose caches grow.

Only TensorFlow has tensors whose size is known when they are made. Elsewhere every row stays until
the loop ends: same results, more work.
"""

import keras
from keras import ops, tree

DROP_BELOW = 0.85  # of the rows; dropping a few copies nearly everything for nearly nothing


def while_loop(cond, body, loop_vars):
    """`keras.ops.while_loop` whose variables may lose rows, their leading dimension, on the way.

    An axis of size 0 may grow: that of a cache with nothing in it yet.

    Args:
        cond: Function `(*loop_vars) -> bool scalar`.
        body: Function `(*loop_vars) -> loop_vars`.
        loop_vars: Tuple of structures of tensors; leading dimensions may change, and axes of static
            size 0; others may not.

    Returns:
        The loop variables when `cond` is False.
    """
    if keras.backend.backend() != "tensorflow":
        return ops.while_loop(cond, body, loop_vars)
    import tensorflow as tf

    def any_size(x):
        sizes = [None if size == 0 else size for size in x.shape]
        return tf.TensorShape([None, *sizes[1:]]) if sizes else x.shape

    loop_vars = tf.nest.map_structure(tf.convert_to_tensor, loop_vars)
    invariants = tf.nest.map_structure(any_size, loop_vars)
    return tf.while_loop(cond, body, loop_vars, shape_invariants=invariants)


def staying(going):
    """Returns int32 `(A',)`, which rows to keep of those of `going`, bool `(A,)`.

    Those that are going on, if so few are that dropping the others pays (`DROP_BELOW`), else all.
    """
    rows = ops.arange(ops.shape(going)[0], dtype="int32")
    if keras.backend.backend() != "tensorflow":
        return rows
    import tensorflow as tf

    size = tf.cast(tf.size(rows), tf.float32)
    few = tf.reduce_sum(tf.cast(going, tf.float32)) < DROP_BELOW * size
    return tf.boolean_mask(rows, going | ~few)


def keep(structure, rows, size):
    """Returns the `rows` of every tensor; the structure itself, without a copy, if that is all.

    Args:
        structure: Structure of tensors `(A, ...)`.
        rows: What `staying` returned.
        size: int or int scalar tensor A.
    """
    if keras.backend.backend() != "tensorflow" or not tree.flatten(structure):
        return structure
    import tensorflow as tf

    def fewer():
        return tree.map_structure(lambda entry: tf.gather(entry, rows), structure)

    return tf.cond(tf.size(rows) < size, fewer, lambda: structure)
