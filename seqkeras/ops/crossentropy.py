"""Cross-entropy of integer labels, label smoothing: Szegedy et al. 2016 (arXiv:1512.00567), §7.

    q        = (1 - eps) onehot(y) + eps / V          the smoothed target
    loss     = -sum_v q_v log p_v                     p = softmax(z), z the logits
             = -log p_y + eps (z_y - mean_v z_v)      what is computed: no log p of size V
    dloss/dz = p - q

In nats, one value per token. The uniform part of q covers all V tokens, the true one included.
"""

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def masked_crossentropy(labels, logits, mask, smoothing=0.0):
    """Returns the loss of every token in nats, exactly 0 where `mask` is False.

    What the logits hold where the mask is False, NaN included, changes neither values nor
    gradients; the gradient there is exactly 0.

    On TensorFlow, a metric that calls this with the same tensors in the same graph costs nothing:
    the graph optimizer merges the two softmaxes.

    Args:
        labels: Integer tensor `(B, T)`, each below V.
        logits: Float tensor `(B, T, V)`.
        mask: Boolean tensor `(B, T)`, True = real.
        smoothing: float, eps above.

    Returns:
        Float32 tensor `(B, T)`.
    """
    logits = ops.cast(logits, "float32")
    if keras.backend.backend() == "tensorflow":
        return _fused(labels, logits, mask, smoothing)
    return _composed(labels, logits, mask, smoothing)


def _composed(labels, logits, mask, smoothing):
    logits = ops.where(ops.expand_dims(mask, -1), logits, 0.0)
    loss = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    if smoothing:
        z_y = ops.squeeze(ops.take_along_axis(logits, ops.expand_dims(labels, -1), axis=-1), -1)
        loss = loss + smoothing * (z_y - ops.mean(logits, axis=-1))
    return ops.where(mask, loss, 0.0)


def _fused(labels, logits, mask, smoothing):
    # Two savings over TensorFlow's own kernel, which takes five times as long as its softmax, and
    # over automatic gradients, where the smoothing term and the mask each add passes over the
    # N x V logits:  -log p_y = log sum_v exp z_v - z_y,  log sum_v exp z_v = max z - log max p.
    # The largest p is at least 1 / V, so its logarithm is exact to rounding whatever p_y is.
    flat_labels = tf.cast(tf.reshape(labels, [-1]), tf.int32)  # (N,)
    flat_mask = tf.reshape(mask, [-1])

    @tf.custom_gradient
    def losses(z):
        p = tf.nn.softmax(z)
        z_y = tf.gather(z, flat_labels, batch_dims=1)
        loss = tf.reduce_max(z, axis=-1) - tf.math.log(tf.reduce_max(p, axis=-1)) - z_y
        if smoothing:
            loss += smoothing * (z_y - tf.reduce_mean(z, axis=-1))

        def gradient(upstream):
            upstream = tf.where(flat_mask, upstream, 0.0)
            uniform = smoothing / tf.cast(tf.shape(p)[1], tf.float32)
            dz = tf.math.multiply_no_nan(p - uniform if smoothing else p, upstream[:, None])
            positions = tf.stack([tf.range(tf.shape(flat_labels)[0]), flat_labels], axis=1)
            return tf.tensor_scatter_nd_add(dz, positions, (smoothing - 1.0) * upstream)

        return tf.where(flat_mask, loss, 0.0), gradient

    return tf.reshape(losses(tf.reshape(logits, [-1, tf.shape(logits)[-1]])), tf.shape(labels))
