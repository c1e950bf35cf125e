"""The tokens right behind a position: the history of an n-gram, notes A Fig. 14.

h_t = w_(t-n+1) .. w_t
"""

import keras
from keras import ops

from seqkeras.ops.ngrams import tokens_before


@keras.saving.register_keras_serializable(package="seqkeras")
class RecentTokens(keras.Layer):
    """Turns ids into the last few at every position.

    Args:
        length: int >= 1. L.

    Call arguments:
        inputs: Integer ids `(B, T)`.

    Returns:
        int32 `(B, T, L)`: at position t the ids t - L + 1 to t, PAD where there are none.

    Masking: a mask is passed on; without one what is PAD is not masked.

    Raises:
        ValueError: for a length below 1, and inputs that are no integers `(B, T)`.

    Example:

    >>> import numpy as np
    >>> RecentTokens(2)(np.array([[5, 6, 7]])).numpy().tolist()
    [[[0, 5], [5, 6], [6, 7]]]
    """

    def __init__(self, length, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(length, int) or length < 1:
            raise ValueError(f"length: expected a positive integer, got {length!r}.")
        self.length = length
        self.supports_masking = True

    @property
    def context_length(self):
        """How many ids before its own the output at a position depends on."""
        return self.length - 1

    def call(self, inputs):
        self._check(inputs)
        ids = ops.cast(inputs, "int32")
        return ops.stack([tokens_before(ids, d) for d in range(self.length, 0, -1)], axis=-1)

    def _check(self, inputs):
        if not keras.backend.is_int_dtype(inputs.dtype) or len(inputs.shape) != 2:
            raise ValueError(
                f"{self.name}: expected integer ids (B, T), got "
                f"{keras.backend.standardize_dtype(inputs.dtype)} of shape {tuple(inputs.shape)}."
            )

    def compute_output_spec(self, inputs):
        self._check(inputs)
        return keras.KerasTensor((*inputs.shape, self.length), dtype="int32")

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape, self.length)

    def get_config(self):
        return {**super().get_config(), "length": self.length}
