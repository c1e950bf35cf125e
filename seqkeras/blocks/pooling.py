"""Many steps to one vector: masks from lengths; the mean, sum or maximum over the real steps.

sum   y = sum_t m_t x_t     mean   y = sum_t m_t x_t / sum_t m_t     max   y = max_{t: m_t} x_t

m is the mask.
"""

import keras
from keras import ops

from seqkeras.ops.masks import zero_masked


@keras.saving.register_keras_serializable(package="seqkeras")
class LengthMask(keras.Layer):
    """Lengths to a mask: True for the first `length` steps.

    For sequences whose padding no value marks, such as time series, where every number may be real.

    Call arguments:
        sequences: Tensor `(B, T)` or `(B, T, D)`; only its size is read.
        lengths: Integer tensor `(B,)`. More than T counts as T.

    Returns:
        Boolean tensor `(B, T)`.

    Example:

    >>> LengthMask()(keras.ops.zeros((2, 3)), keras.ops.array([1, 3])).numpy().astype(int)
    array([[1, 0, 0],
           [1, 1, 1]])
    """

    def call(self, sequences, lengths):
        steps = ops.arange(ops.shape(sequences)[1], dtype="int32")
        return ops.expand_dims(steps, 0) < ops.expand_dims(ops.cast(lengths, "int32"), 1)

    def compute_output_spec(self, sequences, lengths):
        return keras.KerasTensor(sequences.shape[:2], dtype="bool")


@keras.saving.register_keras_serializable(package="seqkeras")
class SequencePooling(keras.Layer):
    """The mean, the sum or the maximum of each feature over the real steps of a sequence.

    Where what decides may lie anywhere in a sequence, the state at its end has to carry it there;
    the pooled outputs need not.

    Args:
        mode: "mean", "sum" or "max".

    Call arguments:
        sequences: Float tensor `(B, T, D)`, T at least 1.
        mask: Boolean tensor `(B, T)`, or None.

    Returns:
        Float tensor `(B, D)`.

    Masking: masked steps have no part in it; a fully masked row gives zeros. The mask ends here.

    Raises:
        ValueError: for an unknown mode.

    Example:

    >>> x = keras.ops.array([[[1.0], [5.0], [9.0]]])
    >>> mask = keras.ops.array([[True, True, False]])
    >>> float(SequencePooling("mean")(x, mask=mask)[0, 0])
    3.0
    """

    def __init__(self, mode="mean", **kwargs):
        super().__init__(**kwargs)
        if mode not in ("mean", "sum", "max"):
            raise ValueError(f'mode: expected "mean", "sum" or "max", got {mode!r}.')
        self.mode = mode
        self.supports_masking = True

    def call(self, sequences, mask=None):
        if mask is None:
            mask = ops.ones(ops.shape(sequences)[:2], dtype="bool")
        x = zero_masked(sequences, mask)
        if self.mode == "sum":
            return ops.sum(x, axis=1)
        count = ops.sum(ops.cast(mask, x.dtype), axis=1, keepdims=True)  # (B, 1)
        if self.mode == "mean":
            return ops.sum(x, axis=1) / ops.maximum(count, 1.0)
        lowest = ops.cast(float("-inf"), x.dtype)
        highest = ops.max(ops.where(ops.expand_dims(mask, -1), x, lowest), axis=1)
        return ops.where(count > 0, highest, ops.zeros((), x.dtype))

    def compute_mask(self, _, mask=None):
        return None

    def compute_output_shape(self, sequences_shape):
        return (sequences_shape[0], sequences_shape[-1])

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}
