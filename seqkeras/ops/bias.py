"""Adding a bias, with a gradient that costs one pass over memory."""

import keras
from keras import ops


def add_bias(x, bias):
    """Returns x `(..., N)` plus bias `(N,)`.

    The bias' gradient is a sum over all rows, here a matmul with a row of ones: TensorFlow's own
    sum takes five to eight times as long on a CPU, as long as a tenth of a recurrent layer, and in
    float16 it stalls.
    """
    if keras.backend.backend() != "tensorflow":
        return x + bias
    import tensorflow as tf

    @tf.custom_gradient
    def add(x, bias):
        def gradient(by_y):
            rows = tf.reshape(by_y, [-1, by_y.shape[-1]])
            return by_y, tf.matmul(tf.ones([1, tf.shape(rows)[0]], rows.dtype), rows)[0]

        return x + bias, gradient

    return add(x, tf.convert_to_tensor(ops.convert_to_tensor(bias)))  # a variable's value
