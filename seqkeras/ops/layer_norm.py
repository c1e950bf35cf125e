"""Layer normalisation over the last axis, Ba et al. 2016 (arXiv:1607.06450), (3)-(4); notes B (17).

    mu    = mean_d x_d          variance = mean_d (x_d - mu)^2
    x_hat = (x - mu) / sqrt(variance + epsilon)
    y     = gain * x_hat + bias

The notes print neither epsilon nor gain and bias (erratum X15). Epsilon is added to the variance,
inside the root, so a constant x gives the bias. The variance is the biased one, over D, not D - 1.

With e = gain * dL/dy the gradients are

    dL/dx    = (e - mean_d e - x_hat * mean_d (e * x_hat)) / sqrt(variance + epsilon)
    dL/dgain = sum over rows of x_hat * dL/dy          dL/dbias = sum over rows of dL/dy
"""

import keras
from keras import ops

from seqkeras.ops.bias import sum_rows


def layer_norm(x, gain=None, bias=None, epsilon=1e-5):
    """Returns x `(..., D)` with mean 0 and variance 1 over the last axis, then gain and bias.

    Computed in float32 at least, whatever the dtype of x.

    Args:
        x: Float tensor `(..., D)`.
        gain, bias: Float tensors `(D,)`, or None for 1 and 0.
        epsilon: float > 0.

    Returns:
        Tensor of the shape and dtype of x.

    Example:

    >>> y = layer_norm(ops.array([[1.0, 3.0], [5.0, 5.0]]), epsilon=1e-12)
    >>> [[round(float(v), 3) for v in row] for row in y]
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    x = ops.convert_to_tensor(x)
    dtype = keras.backend.result_type(x.dtype, "float32")
    wide = ops.cast(x, dtype)
    gain, bias = (None if w is None else ops.cast(w, dtype) for w in (gain, bias))
    # JAX compiles the plain form into the same few passes.
    run = _tensorflow if keras.backend.backend() == "tensorflow" else plain_layer_norm
    return ops.cast(run(wide, gain, bias, epsilon), x.dtype)


def plain_layer_norm(x, gain, bias, epsilon):
    """The equations, one after the other, differentiated by the backend: the naive twin."""
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    y = centred * ops.rsqrt(variance + epsilon)
    y = y if gain is None else y * gain
    return y if bias is None else y + bias


def _tensorflow(x, gain, bias, epsilon):
    # On a CPU what costs is writing arrays as large as x. This writes four of them forwards and
    # five backwards, some over others that are done with; left to itself TensorFlow takes about
    # 1.6 times as long.
    import tensorflow as tf

    def normalize(x, *weights):
        gain = weights[0] if has_gain else None
        bias = weights[-1] if has_bias else None
        centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)  # (rows, D)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        scale = tf.math.rsqrt(variance + epsilon)  # (rows, 1)
        x_hat = centred * scale

        def gradient(by_y):
            e = by_y if gain is None else by_y * gain
            product = by_y * x_hat
            along = _row_means(product, gain)  # mean_d (e * x_hat)
            by_x = (e - tf.reduce_mean(e, axis=-1, keepdims=True)) * scale - x_hat * (along * scale)
            by_weights = [sum_rows(product)] if has_gain else []
            return by_x, *by_weights, *([sum_rows(by_y)] if has_bias else [])

        y = x_hat if gain is None else x_hat * gain
        return (y if bias is None else tf.nn.bias_add(y, bias)), gradient

    has_gain, has_bias = gain is not None, bias is not None
    weights = [tf.convert_to_tensor(w) for w in (gain, bias) if w is not None]
    if len(x.shape) == 2:
        return tf.custom_gradient(normalize)(x, *weights)
    y = tf.custom_gradient(normalize)(tf.reshape(x, [-1, x.shape[-1]]), *weights)
    return tf.ensure_shape(tf.reshape(y, tf.shape(x)), x.shape)


def _row_means(product, gain):
    """Returns mean_d gain_d product_d `(rows, 1)`, without an array of the products with gain."""
    if gain is None:
        return ops.mean(product, axis=-1, keepdims=True)
    return ops.matmul(product, ops.expand_dims(gain, 1)) / product.shape[-1]
