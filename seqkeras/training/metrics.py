"""Metrics over target tokens: sums and weights, divided once, whatever the batches' sizes.

    token loss = sum l / sum m      perplexity = exp(sum -log p_y / sum m)      m = [y != PAD]

Keras averages batches by their number of sequences, and applies whatever mask the model's output
carries; neither is the mean over tokens.
"""

import keras
from keras import ops

from seqkeras.ops.masks import real_tokens
from seqkeras.ops.top_k import first_largest
from seqkeras.training.losses import check_token_shapes, token_losses


class TokenMean(keras.metrics.Metric):
    """A mean over all real target tokens since the last reset; subclasses give each token's value.

    Call arguments of `update_state`:
        y_true: Integer tensor `(B, T)`, PAD where nothing counts.
        y_pred: Float tensor `(B, T, V)`, logits, or `(B, T)`, losses of a model `with_targets`.
            Its mask is ignored.
    """

    def __init__(self, name, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable(shape=(), initializer="zeros", name="total")
        self.count = self.add_variable(shape=(), initializer="zeros", name="count")

    def token_values(self, y_true, y_pred, mask):
        """Returns `(B, T)` float values, 0 where the mask is False."""
        raise NotImplementedError

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        check_token_shapes(y_true, y_pred, sample_weight, type(self).__name__)
        mask = real_tokens(y_true)
        values = self.token_values(y_true, y_pred, mask)
        self.total.assign_add(ops.cast(ops.sum(values), self.dtype))
        self.count.assign_add(ops.sum(ops.cast(mask, self.dtype)))

    def result(self):
        return ops.divide_no_nan(self.total, self.count)


@keras.saving.register_keras_serializable(package="seqkeras")
class TokenLoss(TokenMean):
    """The training loss as a mean over all tokens, under the name `loss`.

    The number that Keras itself reports as `loss` weighs each batch by its number of sequences.
    In `compile(metrics=[TokenLoss(eps), ...])` this one takes its place in logs and history.

    Args:
        label_smoothing: float, the same as the loss'.
        name: str.
    """

    def __init__(self, label_smoothing=0.0, name="loss", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.label_smoothing = label_smoothing

    def token_values(self, y_true, y_pred, mask):
        return token_losses(y_true, y_pred, mask, self.label_smoothing)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable(package="seqkeras")
class Perplexity(TokenMean):
    """exp of the mean negative log-likelihood (nats) per real target token, without smoothing.

    1 is certainty; a uniform guess among V tokens gives V. END counts as a token, START does not.
    Of a model `with_targets` it is exp of the mean loss: in training that of the head's objective,
    with the smoothing or the sampling that it has.

    Example:

    >>> perplexity = Perplexity()
    >>> perplexity.update_state([[5, 2, 0]], keras.ops.zeros((1, 3, 8)))
    >>> round(float(perplexity.result()), 4)
    8.0
    """

    def __init__(self, name="perplexity", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def token_values(self, y_true, y_pred, mask):
        return token_losses(y_true, y_pred, mask)

    def result(self):
        return ops.exp(super().result())


@keras.saving.register_keras_serializable(package="seqkeras")
class TokenAccuracy(TokenMean):
    """Share of real target tokens whose logit is the largest; the lower id wins a tie.

    Of logits only: losses do not say which token was the likeliest.
    """

    def __init__(self, name="token_accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def token_values(self, y_true, y_pred, mask):
        if len(y_pred.shape) != 3:
            raise ValueError(
                f"TokenAccuracy expects logits (B, T, V), got {tuple(y_pred.shape)}: losses do not "
                "say which token was the likeliest. Leave it out, or measure the model itself."
            )
        hits = ops.equal(ops.cast(y_true, "int32"), first_largest(y_pred))
        return ops.cast(ops.logical_and(hits, mask), "float32")
