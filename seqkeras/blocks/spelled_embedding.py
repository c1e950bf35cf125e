"""Token ids to vectors by way of their characters: no table of V vectors.

x_t = f(characters of w_t)         f: a network such as `CharacterCNN`, Kim et al. 2016
"""

import keras
import numpy as np
from keras import ops

from seqkeras.constants import PAD


@keras.saving.register_keras_serializable(package="seqkeras")
class SpelledEmbedding(keras.Layer):
    """Looks up how each word is spelled, and makes its vector of that.

    Args:
        spellings: Integers `(V, L)`, the characters of every word, made by `seqkeras.data.spell`.
        network: Layer from characters `(..., L)` to vectors `(..., D)`, such as `CharacterCNN`.
        mask_zero: If True, PAD (id 0) is masked.

    Call arguments:
        inputs: Integer ids of words, of any shape.

    Returns:
        Float tensor, the vectors, with D as its last axis.

    Raises:
        ValueError: if the spellings are no matrix of integers.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import CharacterCNN
    >>> embedding = SpelledEmbedding([[0, 0], [1, 2], [2, 0]], CharacterCNN(3, 4, {1: 6}))
    >>> embedding(np.array([[1, 2, 1]])).shape
    TensorShape([1, 3, 6])
    """

    def __init__(self, spellings, network, mask_zero=False, **kwargs):
        super().__init__(**kwargs)
        self.spellings = check_spellings(spellings)
        self.network = network
        self.mask_zero = mask_zero
        self.supports_masking = True

    def build(self, inputs_shape):
        if not self.network.built:
            self.network.build((*inputs_shape, len(self.spellings[0])))
            self.network.built = True

    def call(self, inputs):
        return self.network(ops.take(ops.convert_to_tensor(self.spellings), inputs, axis=0))

    def compute_mask(self, inputs, mask=None):
        del mask
        return ops.not_equal(inputs, PAD) if self.mask_zero else None

    def compute_output_spec(self, inputs):
        shape = (*inputs.shape, self.network.units)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape, self.network.units)

    def get_config(self):
        config = {
            "spellings": self.spellings.tolist(),
            "network": keras.saving.serialize_keras_object(self.network),
            "mask_zero": self.mask_zero,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(**{**config, "network": network})


def check_spellings(spellings, vocabulary_size=None):
    """Returns spellings as an int32 array `(V, L)`; raises unless they are a matrix of integers.

    Args:
        spellings: Integers, the characters of every word.
        vocabulary_size: int, what V must be; None: any.
    """
    found = np.asarray(spellings)
    if found.ndim != 2 or not np.issubdtype(found.dtype, np.integer) or not found.size:
        raise ValueError(
            "spellings: expected integers (V, L), the characters of every word, got "
            f"{found.dtype} of shape {found.shape}."
        )
    if vocabulary_size not in (None, len(found)):
        raise ValueError(
            f"spellings: expected {vocabulary_size}, one for each word, got {len(found)}."
        )
    return found.astype(np.int32)
