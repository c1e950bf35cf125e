"""Loops that drop the rows they are done with, so that a few stragglers do not cost a whole batch,
and whose caches grow.

Only TensorFlow has tensors whose size is known when they are made. Elsewhere every row stays until
the loop ends: same results, more work.
"""

import keras
from keras import ops, tree


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


def places_to_keep(wanted, unit):
    """Returns int32 `(N',)`, rising: where bool `(N,)` is True, and as many others as fill a unit.

    N' is a multiple of `unit`, or N: every number of rows is a shape that kernels may have to be
    made for anew, which takes longer than some rows too many.

    Args:
        wanted: bool `(N,)`.
        unit: int or int scalar tensor of at least 1.
    """
    if keras.backend.backend() != "tensorflow":
        return ops.arange(ops.shape(wanted)[0], dtype="int32")
    import tensorflow as tf

    count = tf.reduce_sum(tf.cast(wanted, tf.int32))
    size = tf.minimum((count + unit - 1) // unit * unit, tf.size(wanted))
    # The largest first, and of equal ones the first.
    _, places = tf.math.top_k(tf.cast(wanted, tf.int32), size)
    return tf.sort(places)


def keep(structure, rows, size):
    """Returns the `rows` of every tensor; the structure itself, without a copy, if that is all.

    Args:
        structure: Structure of tensors `(A, ...)`.
        rows: What `places_to_keep` returned.
        size: int or int scalar tensor A.
    """
    if keras.backend.backend() != "tensorflow" or not tree.flatten(structure):
        return structure
    import tensorflow as tf

    def fewer():
        return tree.map_structure(lambda entry: tf.gather(entry, rows), structure)

    return tf.cond(tf.size(rows) < size, fewer, lambda: structure)
