"""A layer of finite context on a stream that comes in parts."""

import keras
from keras import ops

from seqkeras.constants import PAD


class CarriedContext(keras.Layer):
    """Gives a layer the last ids of the part before: what `stateful=True` is for recurrent layers.

    Args:
        layer: A layer from integer ids `(B, T)` to `(B, T, ...)`.
        length: int >= 0: its output at a position depends on the id there and on so many before it,
            PAD standing for none.

    Call arguments:
        inputs: Integer ids `(B, T)`, B and T >= 1 known as in the call before.

    Returns:
        What the layer gives for the whole stream, at these T positions.

    Example:

    >>> import numpy as np
    >>> layer = CarriedContext(keras.layers.Embedding(9, 2), length=0)
    >>> layer(np.array([[3, 4]])).shape
    TensorShape([1, 2, 2])
    """

    stateful = True

    def __init__(self, layer, length, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.length = length

    def build(self, inputs_shape):
        if not self.layer.built:
            self.layer.build(inputs_shape)
        shape = (inputs_shape[0], self.length)
        context = self.add_weight(shape, _padding, dtype="int32", trainable=False, name="context")
        self.states = [context]

    def call(self, inputs):
        (context,) = self.states
        ids = ops.concatenate([context, ops.cast(inputs, "int32")], axis=1)
        context.assign(ids[:, ops.shape(ids)[1] - self.length :])
        return self.layer(ids)[:, self.length :]

    def reset_state(self):
        """Lets the stream begin anew."""
        for state in self.states:
            state.assign(ops.full_like(state, PAD))

    def compute_output_spec(self, inputs):
        return self.layer.compute_output_spec(inputs)


def _padding(shape, dtype=None):
    return ops.full(shape, PAD, dtype=dtype)
