"""The training loss: cross-entropy per real target token, in nats.

    loss = sum_{b,t} m_bt l_bt / sum_{b,t} m_bt,    m_bt = [y_bt != PAD]

with l the label-smoothed cross-entropy of `ops/crossentropy.py`.
"""

import keras
from keras import ops

from seqkeras.constants import PAD
from seqkeras.ops.crossentropy import masked_crossentropy
from seqkeras.ops.masks import real_tokens


def check_token_shapes(y_true, y_pred, sample_weight, what):
    """Raises ValueError unless the arguments are `(B, T)`, `(B, T, V)` or `(B, T)`, and None."""
    if sample_weight is not None:
        raise ValueError(
            f"{what} weighs tokens by y_true != PAD ({PAD}) and takes no sample_weight. "
            "Set the targets that should not count to PAD."
        )
    if len(y_true.shape) != 2 or len(y_pred.shape) not in (2, 3):
        raise ValueError(
            f"{what} expects y_true (B, T) token ids and y_pred (B, T, V) logits or (B, T) losses; "
            f"got shapes {tuple(y_true.shape)} and {tuple(y_pred.shape)}."
        )


def token_losses(y_true, y_pred, mask, smoothing=0.0):
    """Returns the loss of every token `(B, T)` from logits, or from the losses of a head."""
    if len(y_pred.shape) == 3:
        return masked_crossentropy(y_true, y_pred, mask, smoothing)
    if smoothing:
        raise ValueError(
            f"label_smoothing: expected 0 where the model's head gives losses, got {smoothing}. "
            "Train the model without `with_targets`, on its logits."
        )
    return ops.where(mask, y_pred, 0.0)


@keras.saving.register_keras_serializable(package="seqkeras")
class TokenCrossentropy(keras.losses.Loss):
    """Mean cross-entropy over the target tokens that are not padding, with label smoothing.

    Keras' own loss divides by all positions, padding included, or follows the mask that the model
    happens to pass on. This one looks at the targets only: the model's mask is ignored, and
    sample weights are refused.

    `token_count`, a float scalar variable, holds the number of real target tokens of the latest
    batch. `GuardedOptimizer(batch_weight=loss.token_count)` weighs accumulated batches by it.
    It is a side effect of the call, so it is kept on TensorFlow only.

    Args:
        label_smoothing: float in [0, 1), eps: the share of the target that goes evenly to all V
            tokens.
        name: str.

    Call arguments:
        y_true: Integer tensor `(B, T)`, PAD where nothing counts.
        y_pred: Float tensor `(B, T, V)`, logits; or `(B, T)`, losses of a model `with_targets`.

    Returns:
        Float32 scalar; 0 for a batch without any real token.

    Example:

    >>> loss = TokenCrossentropy()
    >>> round(float(loss([[5, 2, 0]], keras.ops.zeros((1, 3, 8)))), 4)  # log 8
    2.0794
    """

    def __init__(self, label_smoothing=0.0, name="token_crossentropy"):
        super().__init__(name=name)
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}.")
        self.label_smoothing = label_smoothing
        self.token_count = keras.Variable(0.0, trainable=False, name="token_count")

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Not `call`: the base's __call__ would multiply by `_keras_mask` and cast ids to float.
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        check_token_shapes(y_true, y_pred, sample_weight, "TokenCrossentropy")
        mask = real_tokens(y_true)
        losses = token_losses(y_true, y_pred, mask, self.label_smoothing)
        count = ops.sum(ops.cast(mask, "float32"))
        self.token_count.assign(count)
        return ops.sum(losses) / ops.maximum(count, 1.0)

    def get_config(self):
        return {"name": self.name, "label_smoothing": self.label_smoothing}
