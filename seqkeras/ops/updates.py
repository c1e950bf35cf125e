"""What an optimizer does to whole variables, in as few passes over memory as possible.

An update of millions of parameters is bound by memory: `keras.ops` reads and writes the arrays once
per arithmetic operation, the kernels here once in all.
"""

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

HAS_FUSED_ADAM = keras.backend.backend() == "tensorflow"


def to_dense(gradient, variable):
    """Returns the gradient as a tensor; rows that an embedding looked up twice are summed."""
    if keras.backend.backend() == "tensorflow" and isinstance(gradient, tf.IndexedSlices):
        rows = variable.shape[0]
        return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, rows)
    return gradient


def global_norm(tensors):
    """Returns the Euclidean norm of all tensors together, a float32 scalar.

    NaN or infinite if and only if a value is, or its square does not fit float32 (about 1e19).
    """
    return ops.sqrt(sum(_sum_of_squares(ops.cast(tensor, "float32")) for tensor in tensors))


def _sum_of_squares(tensor):
    if keras.backend.backend() == "tensorflow":
        return 2.0 * tf.nn.l2_loss(tensor)  # no array of squares in between
    return ops.sum(ops.square(tensor))


def add_scaled(variable, gradient, factor):
    """Adds factor * gradient to the variable in place; sparse gradients touch only their rows."""
    if keras.backend.backend() != "tensorflow":
        variable.assign_add(factor * gradient)
        return
    factor = tf.cast(factor, variable.dtype)
    if isinstance(gradient, tf.IndexedSlices):
        values = factor * tf.cast(gradient.values, variable.dtype)
        variable.value.scatter_add(tf.IndexedSlices(values, gradient.indices))
    else:
        tf.raw_ops.ResourceApplyGradientDescent(
            var=variable.value.handle, alpha=-factor, delta=tf.cast(gradient, variable.dtype)
        )


def fused_adam(variable, m, v, gradient, step, learning_rate, beta_1, beta_2, epsilon):
    """One Adam update in place, in one kernel.

        m  += (1 - beta_1) (g - m)
        v  += (1 - beta_2) (g² - v)
        w  -= learning_rate sqrt(1 - beta_2^step) / (1 - beta_1^step) m / (sqrt(v) + epsilon)

    Args:
        variable: The backend's variable w.
        m: `keras.Variable`, first moment, shape of w.
        v: `keras.Variable`, second moment, shape of w.
        gradient: Float tensor g, shape of w.
        step: Integer scalar, 1 at the first update.
        learning_rate: Float scalar.
        beta_1: float.
        beta_2: float.
        epsilon: float.
    """
    dtype = variable.dtype
    step = tf.cast(step, dtype)
    beta_1, beta_2 = tf.constant(beta_1, dtype), tf.constant(beta_2, dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=m.value.handle,
        v=v.value.handle,
        beta1_power=tf.pow(beta_1, step),
        beta2_power=tf.pow(beta_2, step),
        lr=tf.cast(learning_rate, dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.constant(epsilon, dtype),
        grad=tf.cast(gradient, dtype),
    )
