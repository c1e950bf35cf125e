"""What every output layer over a vocabulary has: a distribution, and a training loss.

    head(h)              logits, whose softmax is p(. | h) exactly
    head(h, targets)     one loss for each target, in nats: -log p(w | h) exactly when not training,
                         in training what the head learns by, which may look at a few words only

So training may sample and evaluation never does. `seqkeras.models.with_targets` turns a model that
ends in a head into the one that is trained.
"""

import keras
from keras import ops

from seqkeras.constants import PAD
from seqkeras.ops.crossentropy import masked_crossentropy
from seqkeras.ops.masks import real_tokens, zero_masked


class VocabularyHead(keras.Layer):
    """Base of the output layers: hidden states to logits, or to the losses of given targets.

    A subclass defines `_logits(hidden)` and `_objective(rows, labels, real, smoothing)`.

    Args:
        vocabulary_size: int > 0. V.

    Call arguments:
        inputs: Float tensor `(B, T, H)` or `(B, H)`.
        targets: None, or integer tensor `(B, T)` or `(B,)`, PAD where nothing counts.
        label_smoothing: float in [0, 1), the share of the target that training gives evenly to all
            words.
        training: If True, the losses are what the head learns by.

    Returns:
        Float32 logits `(B, T, V)` or `(B, V)`; with targets their losses in nats, `(B, T)` or
        `(B,)`, 0 where the target is PAD.

    Masking: the mask is passed on. What stands where the target is PAD changes no loss.

    Raises:
        ValueError: if V is not positive, targets do not fit the inputs, or a head that does not see
            all words is to smooth labels.
    """

    smooths = False

    def __init__(self, vocabulary_size, **kwargs):
        super().__init__(**kwargs)
        if vocabulary_size <= 0:
            raise ValueError(
                f"vocabulary_size: expected a positive integer, got {vocabulary_size}."
            )
        self.vocabulary_size = vocabulary_size
        self.supports_masking = True

    @property
    def own_start(self):
        """List of the variables whose first values mean something, whatever others start from."""
        return []

    def call(self, inputs, targets=None, label_smoothing=0.0, training=False):
        if targets is None:
            return self._logits(self._hidden(inputs, training))
        mask = real_tokens(targets)
        hidden = self._hidden(zero_masked(inputs, mask), training)
        if not training:
            return masked_crossentropy(targets, self._logits(hidden), mask)
        rows = ops.reshape(hidden, (-1, hidden.shape[-1]))
        real, labels = ops.reshape(mask, (-1,)), ops.reshape(targets, (-1,))
        losses = ops.where(real, self._objective(rows, labels, real, label_smoothing), 0.0)
        return ops.reshape(losses, ops.shape(targets))

    def _hidden(self, inputs, training):
        """Returns what the vocabulary is multiplied with, from `(..., H)`."""
        del training
        return inputs

    def _logits(self, hidden):
        """Returns float32 logits `(..., V)` of hidden `(..., D)`."""
        raise NotImplementedError

    def _objective(self, rows, labels, real, smoothing):
        """Returns float32 training losses `(N,)` of rows `(N, D)` and labels `(N,)`.

        They are read where `real` `(N,)` is True. Elsewhere rows are zero and labels PAD.
        """
        raise NotImplementedError

    def compute_output_spec(self, inputs, targets=None, label_smoothing=0.0, training=False):
        del training
        leading = inputs.shape[:-1]
        if targets is None:
            return keras.KerasTensor((*leading, self.vocabulary_size), dtype="float32")
        given = targets.shape
        if not shapes_agree(given, leading) or not keras.backend.is_int_dtype(targets.dtype):
            raise ValueError(
                f"{self.name}: expected targets of integers and of the shape {tuple(leading)} "
                f"(PAD, {PAD}, where nothing counts), got {targets.dtype} of shape {tuple(given)}."
            )
        if label_smoothing and not self.smooths:
            raise ValueError(
                f"label_smoothing: expected 0, got {label_smoothing}. {type(self).__name__} does "
                "not see all words in training; a full softmax does."
            )
        return keras.KerasTensor(given, dtype="float32")

    def get_config(self):
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}


def shapes_agree(one, other):
    """Returns whether two shapes are alike as far as both are known."""
    return len(one) == len(other) and all(
        None in sizes or len(set(sizes)) == 1 for sizes in zip(one, other, strict=True)
    )
