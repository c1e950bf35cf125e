"""Adding a bias, with a gradient that costs one pass over memory."""

import keras
from keras import ops


def add_bias(x, bias):
    """Returns x `(..., N)` plus bias `(N,)`.

    The bias' gradient is a sum over all rows, made by `sum_rows`: TensorFlow's own is as long as a
    tenth of a recurrent layer.
    """
    if keras.backend.backend() != "tensorflow":
        return x + bias
    import tensorflow as tf

    @tf.custom_gradient
    def add(x, bias):
        def gradient(by_y):
            return by_y, sum_rows(tf.reshape(by_y, [-1, by_y.shape[-1]]))

        return x + bias, gradient

    return add(x, tf.convert_to_tensor(ops.convert_to_tensor(bias)))  # a variable's value


def sum_rows(x):
    """Returns x `(rows, N)` summed over the rows, `(N,)`, as a matmul with a row of ones.

    TensorFlow's own sum takes three to eight times as long on a CPU, and in float16 it stalls.
    """
    return ops.matmul(ops.ones((1, ops.shape(x)[0]), x.dtype), x)[0]
