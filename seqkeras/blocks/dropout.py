"""Dropout, Srivastava et al. 2014 (JMLR 15): y_i = x_i / (1 - p) with probability 1 - p, else 0."""

import keras
from keras import ops

from seqkeras.ops.dropout import keep_mask


@keras.saving.register_keras_serializable(package="seqkeras")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` in less than half of the time on a CPU.

    Nearly all of it goes into random numbers, of which this one needs half as many bits. A tenth of
    a training step of a small Transformer is dropout.

    Args: as in Keras; the rate is rounded to a multiple of 1 / 65,536. With a `noise_shape`, Keras'
        own code runs.

    Example:

    >>> import numpy as np
    >>> y = Dropout(0.5, seed=1)(np.ones((2, 100)), training=True)
    >>> sorted(set(np.array(y).flatten().tolist()))
    [0.0, 2.0]
    """

    def call(self, inputs, training=False):
        if not training or not self.rate or self.noise_shape is not None:
            return super().call(inputs, training=training)
        seed = self.seed_generator.next()
        return inputs * keep_mask(ops.shape(inputs), self.rate, seed, inputs.dtype)
