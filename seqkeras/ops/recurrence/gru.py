"""The GRU's step in both forms and its gradient; equations and conventions in `seqkeras.cells.gru`.

    backwards, with dh the gradient by h' = z * h + (1 - z) * c:

    da_z = dh * (h - c) * z (1 - z)         da_c = dh * (1 - z) * (1 - c^2)

    reset after:    s = h U_c + d_c         da_r = da_c * s * r (1 - r)
                    dh = dh * z + [da_z, da_r, da_c * r] U^T
    reset before:   p = da_c U_c^T          da_r = p * h * r (1 - r)
                    dh = dh * z + p * r + [da_z, da_r] U_zr^T

TensorFlow.
"""

from types import MappingProxyType

import tensorflow as tf

from seqkeras.ops.recurrence.kernel import BEFORE, SAVED, Product, Pullback, StepKernel

_by_sigmoid, _by_tanh = tf.raw_ops.SigmoidGrad, tf.raw_ops.TanhGrad


class ResetAfterGRUKernel(StepKernel):
    """Inputs `[z (B, 3H)]`, states `[h]`; weights: recurrent kernel and, optional, its bias."""

    def __init__(self, use_bias):
        self.products = {"recurrent_kernel": Product(BEFORE, 0)}
        if use_bias:
            self.products["recurrent_bias"] = Product(None)

    def forward(self, z_t, states, weights):
        (h,) = states
        units = h.shape[-1]
        inner = tf.matmul(h, weights["recurrent_kernel"])
        if "recurrent_bias" in weights:
            inner = tf.nn.bias_add(inner, weights["recurrent_bias"])
        x_zr, x_c = tf.split(z_t[0], [2 * units, units], axis=-1)
        h_zr, s = tf.split(inner, [2 * units, units], axis=-1)
        z, r = tf.split(tf.sigmoid(x_zr + h_zr), 2, axis=-1)
        c = tf.tanh(x_c + r * s)
        return [z * h + (1.0 - z) * c], [z, r, c, s]

    def backward(self, z_t, states, saved, gradients, weights, transposed):
        (h,), (dh,) = states, gradients
        z, r, c, s = saved
        kept = dh * z
        da_z = _by_sigmoid(y=z, dy=dh * (h - c))
        da_c = _by_tanh(y=c, dy=dh - kept)
        da_r = _by_sigmoid(y=r, dy=da_c * s)
        by_inner = tf.concat([da_z, da_r, da_c * r], axis=-1)
        by_inputs = tf.concat([da_z, da_r, da_c], axis=-1)
        before = kept + tf.matmul(by_inner, transposed["recurrent_kernel"])
        return Pullback([by_inputs], [before], dict.fromkeys(self.products, by_inner), {})


class ResetBeforeGRUKernel(StepKernel):
    """Inputs `[z (B, 3H)]`, states `[h]`; weights: a kernel of the gates, one of the candidate."""

    products = MappingProxyType(
        {"gate_kernel": Product(BEFORE, 0), "candidate_kernel": Product(SAVED, 3)}
    )

    def forward(self, z_t, states, weights):
        (h,) = states
        units = h.shape[-1]
        x_zr, x_c = tf.split(z_t[0], [2 * units, units], axis=-1)
        gates = tf.sigmoid(x_zr + tf.matmul(h, weights["gate_kernel"]))
        z, r = tf.split(gates, 2, axis=-1)
        reset = r * h
        c = tf.tanh(x_c + tf.matmul(reset, weights["candidate_kernel"]))
        return [z * h + (1.0 - z) * c], [z, r, c, reset]

    def backward(self, z_t, states, saved, gradients, weights, transposed):
        (h,), (dh,) = states, gradients
        z, r, c, _ = saved
        kept = dh * z
        da_z = _by_sigmoid(y=z, dy=dh * (h - c))
        da_c = _by_tanh(y=c, dy=dh - kept)
        by_reset = tf.matmul(da_c, transposed["candidate_kernel"])
        da_r = _by_sigmoid(y=r, dy=by_reset * h)
        by_gates = tf.concat([da_z, da_r], axis=-1)
        before = kept + by_reset * r + tf.matmul(by_gates, transposed["gate_kernel"])
        by_inputs = tf.concat([by_gates, da_c], axis=-1)
        products = {"gate_kernel": by_gates, "candidate_kernel": da_c}
        return Pullback([by_inputs], [before], products, {})
