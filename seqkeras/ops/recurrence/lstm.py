"""The LSTM's step and its gradient; equations and conventions in `seqkeras.cells.lstm`.

    backwards, with dh, dc the gradients by h' and c':

    dc  += dh * o * (1 - tanh(c')^2)
    da_o = dh * tanh(c') * o (1 - o)        da_i = dc * g * i (1 - i)
    da_f = dc * c * f (1 - f)               da_g = dc * i * (1 - g^2)
    dh   = da U^T                           dc   = dc * f

These are notes B (13)-(22), summed over the paths (erratum X21). TensorFlow.
"""

from types import MappingProxyType

import tensorflow as tf

from seqkeras.ops.recurrence.kernel import BEFORE, Product, Pullback, StepKernel

_by_sigmoid, _by_tanh = tf.raw_ops.SigmoidGrad, tf.raw_ops.TanhGrad


class LSTMKernel(StepKernel):
    """Activation tanh, gates sigmoid. Inputs `[z (B, 4H)]`, states `[h, c]`, a recurrent kernel."""

    products = MappingProxyType({"recurrent_kernel": Product(BEFORE, 0, by_input=0)})

    def forward(self, z_t, states, weights):
        h, c = states
        a = z_t[0] + tf.matmul(h, weights["recurrent_kernel"])
        a_i, a_f, a_g, a_o = tf.split(a, 4, axis=-1)
        i, f, g, o = tf.sigmoid(a_i), tf.sigmoid(a_f), tf.tanh(a_g), tf.sigmoid(a_o)
        c = f * c + i * g
        squashed = tf.tanh(c)
        return [o * squashed, c], [i, f, g, o, squashed]

    def backward(self, z_t, states, saved, gradients, weights, transposed):
        dh, dc = gradients
        i, f, g, o, squashed = saved
        dc = dc + _by_tanh(y=squashed, dy=dh * o)
        da = tf.concat(
            [
                _by_sigmoid(y=i, dy=dc * g),
                _by_sigmoid(y=f, dy=dc * states[1]),
                _by_tanh(y=g, dy=dc * i),
                _by_sigmoid(y=o, dy=dh * squashed),
            ],
            axis=-1,
        )
        before = [tf.matmul(da, transposed["recurrent_kernel"]), dc * f]
        return Pullback([da], before, {}, {})
