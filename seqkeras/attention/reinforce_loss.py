"""REINFORCE, Williams 1992: the gradient of an expected loss over choices that were sampled.

    grad E[L] = E[grad L + (L - b) grad log p(choices)]

for any baseline b that does not depend on the choices: they have E[grad log p] = 0. The objective
whose gradient this is, with [.] for a value that is held constant:

    L + [L - b] (log p - [log p])        of value L
"""

import keras
from keras import ops

from seqkeras.ops.hard_attention import score_function


@keras.saving.register_keras_serializable(package="seqkeras")
class ReinforceLoss(keras.Layer):
    """Adds the mean of the examples' losses to the model's loss, with its gradient by REINFORCE.

    The layer belongs at the end of a model with `HardAttention(..., estimator="reinforce")`, whose
    targets are inputs too. It makes the whole loss, so `compile` needs none; in `evaluate`, where
    choices are the arg max, it is the plain mean. The loss that Keras shows is always the mean of
    L: what is added for the gradient has the value 0.

    Args:
        baseline_decay: float d in [0, 1): b is the moving average of earlier batches' mean loss,
            b' = b + max(1 - d, 1 / n) (mean - b) at the n-th batch, which takes nothing from the
            expectation and much from the variance. None: b = 0.

    Call arguments:
        losses: Float tensor `(B, ...)`; what an example has is summed, and must depend on no other
            example's choices.
        log_probs: Float tensor `(B, ...)`, the log-probabilities of an example's choices, which are
            summed, too.
        training: If True, adds the gradient of the choices and moves the baseline.

    Returns:
        `losses` as they are: an output that ties the layer to the model.

    Masking: none is needed if both are 0 where masked, as `HardAttention` makes its
    log-probabilities.

    Raises:
        ValueError: for a decay outside [0, 1), or inputs without a batch axis.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import BahdanauAttention, HardAttention
    >>> query, value, target = (keras.Input(shape) for shape in [(1, 4), (5, 4), (1, 4)])
    >>> attention = HardAttention(BahdanauAttention(8), estimator="reinforce")
    >>> context, log_probs = attention(query, value, return_log_probs=True)
    >>> losses = ReinforceLoss()(keras.ops.square(context - target), log_probs)
    >>> model = keras.Model([query, value, target], [context, losses])
    >>> model.compile("adam")
    >>> arrays = [np.ones((2, *x.shape[1:])) for x in model.inputs]
    >>> model.fit(arrays, verbose=0).history["loss"]
    [0.0]

    Reference: Williams 1992, "Simple statistical gradient-following algorithms for connectionist
    reinforcement learning", Machine Learning 8; for attention Xu et al. 2015 (arXiv:1502.03044),
    4.1, whose moving average is d = 0.9.
    """

    def __init__(self, baseline_decay=0.9, **kwargs):
        # Sums over a sequence: not in half precision.
        super().__init__(autocast=False, **kwargs)
        if baseline_decay is not None and not 0.0 <= baseline_decay < 1.0:
            raise ValueError(
                f"baseline_decay: expected None or a number in [0, 1), got {baseline_decay!r}."
            )
        self.baseline_decay = baseline_decay

    def build(self, losses_shape, log_probs_shape):
        for name, shape in (("losses", losses_shape), ("log_probs", log_probs_shape)):
            if not len(shape):
                raise ValueError(f"{name}: expected one for every example, `(B, ...)`, got one.")
        if self.baseline_decay is not None:
            self.baseline, self.updates = (
                self.add_weight((), "zeros", "float32", trainable=False, name=name)
                for name in ("baseline", "updates")
            )

    def call(self, losses, log_probs, training=None):
        objective = _sum_examples(losses)
        if training:
            objective = self._reinforce(objective, _sum_examples(log_probs))
        self.add_loss(ops.mean(objective))
        return losses

    def _reinforce(self, losses, log_probs):
        if self.baseline_decay is None:
            return score_function(losses, log_probs)
        objective = score_function(losses, log_probs, ops.convert_to_tensor(self.baseline))
        # Only after it was used: of this batch's losses it would depend on the choices.
        self._move_baseline(ops.mean(ops.stop_gradient(losses)))
        return objective

    def _move_baseline(self, mean):
        self.updates.assign(self.updates + 1.0)
        rate = ops.maximum(1.0 - self.baseline_decay, 1.0 / self.updates)
        self.baseline.assign(self.baseline + rate * (mean - self.baseline))

    def get_config(self):
        return {**super().get_config(), "baseline_decay": self.baseline_decay}


def _sum_examples(x):
    """Returns x `(B, ...)` summed to float32 `(B,)`."""
    return ops.sum(ops.cast(x, "float32"), axis=tuple(range(1, len(x.shape))))
