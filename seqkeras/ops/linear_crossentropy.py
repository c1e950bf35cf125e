"""Cross-entropy of a linear layer over a large vocabulary, without the gradient of its logits.

    z = h E^T + b                                        N x V logits
    loss = log sum_v exp z_v - z_y + eps (z_y - mean_v z_v)     eps: label smoothing

With e = exp(z - max z), t = sum_v e_v and the upstream gradient u, all `(N,)` but e, let s = u / t:

    dloss/dh = s * (e E) - u ((1 - eps) E_y + eps mean_v E_v)
    dloss/dE = e^T (s * h) - (1 - eps) sum over the targets y of u h - eps / V sum_n u_n h_n

so p = e / t and p - onehot(y), two more arrays of N x V, are never made: rows are scaled where they
are short. On a CPU the passes over N x V besides the three products take as long as one of them.
"""

import keras
from keras import ops

from seqkeras.ops.bias import add_bias, sum_rows

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def vocabulary_logits(hidden, table, bias=None):
    """Returns h E^T + b in float32, `(..., V)`, from h `(..., D)`, E `(V, D)` and b `(V,)`.

    The product is made in h's dtype.
    """
    rows = ops.reshape(hidden, (-1, hidden.shape[-1]))
    # In a graph the transpose is no copy: it becomes a flag of the product.
    logits = ops.matmul(rows, ops.transpose(ops.cast(table, hidden.dtype)))
    logits = ops.cast(logits, "float32")
    logits = logits if bias is None else add_bias(logits, ops.cast(bias, "float32"))
    return ops.reshape(logits, (*ops.shape(hidden)[:-1], table.shape[0]))


def linear_crossentropy(rows, table, bias, labels, smoothing=0.0):
    """Returns the loss of every row in nats.

    Args:
        rows: Float tensor `(N, D)`, h.
        table: Float tensor or variable `(V, D)`, E.
        bias: Float tensor or variable `(V,)`, b; None for none.
        labels: Integer tensor `(N,)`, y.
        smoothing: float in [0, 1), eps.

    Returns:
        Float32 tensor `(N,)`.
    """
    function = _fused if keras.backend.backend() == "tensorflow" else _composed
    return function(rows, table, bias, labels, smoothing)


def _composed(rows, table, bias, labels, smoothing):
    log_p = ops.log_softmax(vocabulary_logits(rows, table, bias))
    of_label = ops.squeeze(ops.take_along_axis(log_p, ops.expand_dims(labels, -1), axis=-1), -1)
    if not smoothing:
        return -of_label
    return (smoothing - 1.0) * of_label - smoothing * ops.mean(log_p, axis=-1)


def _fused(rows, table, bias, labels, smoothing):
    labels = tf.cast(labels, tf.int32)

    @tf.custom_gradient
    def losses(h, table, *bias):
        z = tf.cast(tf.matmul(h, table, transpose_b=True), tf.float32)
        z = tf.nn.bias_add(z, *bias) if bias else z
        top = tf.reduce_max(z, axis=-1)
        e = tf.exp(z - top[:, None])
        total = tf.reduce_sum(e, axis=-1)
        z_y = tf.gather(z, labels, batch_dims=1)
        loss = top + tf.math.log(total) - z_y
        size = tf.cast(tf.shape(table)[0], tf.float32)
        if smoothing:
            mean_vector = tf.cast(sum_rows(table), tf.float32) / size
            wide = tf.cast(h, tf.float32)
            mean_z = tf.linalg.matvec(wide, mean_vector) + (tf.reduce_mean(bias) if bias else 0.0)
            loss += smoothing * (z_y - mean_z)

        def gradient(u):
            wide = tf.cast(h, tf.float32)
            s, u_y = (u / total)[:, None], ((1.0 - smoothing) * u)[:, None]
            e_h = tf.cast(e, h.dtype)
            by_h = s * tf.cast(tf.matmul(e_h, table), tf.float32)
            by_h -= u_y * tf.cast(tf.gather(table, labels), tf.float32)
            by_table = tf.matmul(e_h, tf.cast(s * wide, h.dtype), transpose_a=True)
            share = (smoothing / size) * u
            if smoothing:
                by_h -= smoothing * u[:, None] * mean_vector
                by_table -= tf.cast(tf.linalg.matvec(wide, share, transpose_a=True), h.dtype)
            at = labels[:, None]
            by_table = tf.tensor_scatter_nd_sub(by_table, at, tf.cast(u_y * wide, h.dtype))
            if not bias:
                return tf.cast(by_h, h.dtype), by_table
            by_bias = tf.matmul(s, e, transpose_a=True)[0] - tf.reduce_sum(share)
            by_bias = tf.tensor_scatter_nd_sub(by_bias, at, u_y[:, 0])
            return tf.cast(by_h, h.dtype), by_table, by_bias

        return loss, gradient

    table = tf.cast(ops.convert_to_tensor(table), rows.dtype)
    if bias is None:
        return losses(rows, table)
    return losses(rows, table, tf.cast(ops.convert_to_tensor(bias), tf.float32))
