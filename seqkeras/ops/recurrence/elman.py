"""Elman's step and its gradient; equation and conventions in `seqkeras.cells.simple_rnn`.

    backwards, with dh the gradient by h' = phi(a):   da = dh * phi'(a),   dh = da U^T

phi' is a function of h' for the activations here. TensorFlow.
"""

from types import MappingProxyType

import tensorflow as tf

from seqkeras.ops.recurrence.kernel import BEFORE, Product, Pullback, StepKernel

# activation -> (phi, (h', dh) -> da)
ACTIVATIONS = {
    "tanh": (tf.tanh, lambda h, dh: tf.raw_ops.TanhGrad(y=h, dy=dh)),
    "sigmoid": (tf.sigmoid, lambda h, dh: tf.raw_ops.SigmoidGrad(y=h, dy=dh)),
    "relu": (tf.nn.relu, lambda h, dh: tf.raw_ops.ReluGrad(gradients=dh, features=h)),
    "linear": (tf.identity, lambda h, dh: dh),
}


class ElmanKernel(StepKernel):
    """Inputs `[z (B, H)]`, states `[h]`, one recurrent kernel.

    Args:
        activation: A name out of `ACTIVATIONS`.
    """

    products = MappingProxyType({"recurrent_kernel": Product(BEFORE, 0, by_input=0)})

    def __init__(self, activation):
        self.phi, self.by_phi = ACTIVATIONS[activation]

    def forward(self, z_t, states, weights):
        h = self.phi(z_t[0] + tf.matmul(states[0], weights["recurrent_kernel"]))
        return [h], [h]

    def backward(self, z_t, states, saved, gradients, weights, transposed):
        da = self.by_phi(saved[0], gradients[0])
        return Pullback([da], [tf.matmul(da, transposed["recurrent_kernel"])], {}, {})
