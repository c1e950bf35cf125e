"""Work on some of the rows of a batch."""

import keras
from keras import ops


def on_selected_rows(function, selected, *arrays):
    """Returns `function(*rows)` of the rows that are selected, zeros for the others.

    TensorFlow computes the selected rows only. JAX, where every shape is known before, computes all
    of them; what is not selected changes neither values nor gradients there.

    Args:
        function: From arrays `(M, ...)` to a float tensor `(M,)`.
        selected: Boolean tensor `(N,)`.
        arrays: Tensors `(N, ...)`.
    """
    if keras.backend.backend() != "tensorflow":
        safe = [_zero_unless(selected, array) for array in arrays]
        return ops.where(selected, function(*safe), 0.0)
    import tensorflow as tf

    rows = tf.where(selected)
    found = function(*(tf.gather(array, rows[:, 0]) for array in arrays))
    return tf.scatter_nd(rows, found, tf.shape(selected, tf.int64))


def _zero_unless(selected, array):
    shape = (-1, *[1] * (len(array.shape) - 1))
    return ops.where(ops.reshape(selected, shape), array, ops.zeros((), array.dtype))
