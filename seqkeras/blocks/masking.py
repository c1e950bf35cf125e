"""Layers that make masks explicit in a functional model.

Keras carries a mask along as an attribute of a tensor, and which layers drop it changes between
releases; a mask that is itself a tensor cannot get lost.
"""

import keras

from seqkeras.ops import masks


@keras.saving.register_keras_serializable(package="seqkeras")
class PaddingMask(keras.Layer):
    """Token ids `(B, T)` to their mask `(B, T)`: True where a token is not PAD."""

    def call(self, ids):
        return masks.real_tokens(ids)

    def compute_output_spec(self, ids):
        return keras.KerasTensor(ids.shape, dtype="bool")


@keras.saving.register_keras_serializable(package="seqkeras")
class ReverseSequence(keras.Layer):
    """Reverses the real tokens of ids `(B, T)`; the padding stays on the right.

    Sutskever et al. 2014 read the source backwards: the first words of source and target then are
    close, and the optimisation finds the short dependencies first. Twice is the identity.
    """

    def call(self, ids):
        return masks.reverse_padded(ids, masks.real_tokens(ids))

    def compute_output_spec(self, ids):
        return keras.KerasTensor(ids.shape, dtype=ids.dtype)
