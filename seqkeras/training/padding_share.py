"""Counts of target positions: how many are real tokens, and which share is padding.

A callback never sees a batch, and reading one back from the device would stall training. A metric
lives inside the compiled step, is summed over replicas, and costs nothing until it is read.
"""

import keras
from keras import ops

from seqkeras.ops.masks import real_tokens


@keras.saving.register_keras_serializable(package="seqkeras")
class PaddingShare(keras.metrics.Metric):
    """Share of the target positions that hold padding, of all batches since the last reset.

    Its two sums also give `TensorBoardLogger` the real tokens that a step has trained on, and so
    the tokens per second; compile the model with it to see either curve.

    Args:
        name: str. Name of the metric.

    Call arguments:
        y_true: Int tensor `(B, T)`, target ids; `PAD` is padding.
        y_pred: Not read.
        sample_weight: Not read: padding is padding whatever it weighs.

    Returns:
        `(positions - tokens) / positions`, a share in 0..1; 0 before the first batch.

    Example:
    >>> metric = PaddingShare()
    >>> metric.update_state([[5, 2, 0], [2, 0, 0]], None)
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name="padding_share", **kwargs):
        super().__init__(name=name, **kwargs)
        self.tokens = self.add_variable((), initializer="zeros", name="tokens")
        self.positions = self.add_variable((), initializer="zeros", name="positions")

    def update_state(self, y_true, y_pred, sample_weight=None):
        real = ops.cast(real_tokens(ops.convert_to_tensor(y_true)), self.dtype)  # (B, T)
        self.tokens.assign_add(ops.sum(real))
        self.positions.assign_add(ops.sum(ops.ones_like(real)))

    def result(self):
        return ops.divide_no_nan(self.positions - self.tokens, self.positions)
