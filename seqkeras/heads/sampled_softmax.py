"""A softmax that trains on a sample of the vocabulary; the losses are in `ops/sampled_softmax.py`.

    q_w ~ count_w^power;     k samples, the same for all tokens of a batch

Evaluation goes over the whole vocabulary:

    p(w | h) = softmax(s)_w, s_w = h . E_w + b_w      after importance sampling, NCE, BlackOut
    p(w | h) = softmax(s + log q)_w                   after negative sampling, whose best scores are
                                                      log p(w | h) - log(k q_w): Levy & Goldberg
                                                      2014, equation 8
"""

import keras
import numpy as np
from keras import ops

from seqkeras.heads.softmax import SoftmaxHead
from seqkeras.heads.word_counts import check_counts, word_weights
from seqkeras.ops.categorical import categorical_tables, draw_categorical
from seqkeras.ops.sampled_softmax import (
    blackout_loss,
    candidate_scores,
    importance_loss,
    logistic_loss,
)

OBJECTIVES = {
    "importance": importance_loss,
    "nce": logistic_loss,
    "negative": logistic_loss,
    "blackout": blackout_loss,
}


@keras.saving.register_keras_serializable(package="seqkeras")
class SampledSoftmaxHead(SoftmaxHead):
    """`SoftmaxHead` that looks at a sample of the vocabulary in training, for large ones.

    In training a step costs N (k + 1) D instead of N V D, and the matrix' gradient is sparse where
    the backend has sparse gradients. How much is lost is a matter of k: importance sampling with a
    k of some thousands comes close to the full softmax; negative sampling is meant for vectors of
    words, not for probabilities.

    Args:
        vocabulary_size: int > 0. V.
        objective: "importance", "nce", "negative" or "blackout".
        samples: int > 0. k, how many words are drawn for a batch, with replacement.
        counts: V numbers >= 0, how often each word occurs, or None: the words are sorted by falling
            frequency, which is taken to follow Zipf's law. A word that does not occur counts as
            one half.
        power: What the counts are raised to, usually 1; Mikolov et al. take 0.75 for negative
            sampling, Ji et al. 0.4 for BlackOut.
        options: Further arguments of `SoftmaxHead`.

    Call arguments and returns: as in `VocabularyHead`.

    Raises:
        ValueError: for an unknown objective, no samples, or counts that are not V numbers >= 0.

    Example:

    >>> import numpy as np
    >>> head = SampledSoftmaxHead(50, "nce", samples=8, seed=1)
    >>> hidden, targets = np.ones((2, 3, 4)), np.array([[4, 5, 6], [7, 0, 0]])
    >>> head(hidden, targets, training=True).shape, head(hidden).shape
    (TensorShape([2, 3]), TensorShape([2, 3, 50]))
    """

    def __init__(
        self,
        vocabulary_size,
        objective="importance",
        samples=1024,
        counts=None,
        power=1.0,
        **options,
    ):
        super().__init__(vocabulary_size, **options)
        if objective not in OBJECTIVES:
            raise ValueError(f"objective: expected one of {sorted(OBJECTIVES)}, got {objective!r}.")
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}.")
        self.objective = objective
        self.samples = samples
        self.counts = check_counts(counts, vocabulary_size)
        self.power = power
        shares = word_weights(self.counts, vocabulary_size) ** power
        shares /= shares.sum()
        self._log_shares = np.log(shares).astype(np.float32)
        self._tables = categorical_tables(shares)
        self.sampling_seed = keras.random.SeedGenerator(self.seed)

    smooths = False

    def _bias_initializer(self):
        # Where each score is judged by itself, one that starts from 0 is far off: NCE takes exp(s)
        # for p(w | h), and begins with V words that are equally likely; negative sampling takes it
        # for p(w | h) / (k q_w), and begins with p = q.
        starts = {"nce": self.vocabulary_size, "negative": self.samples}
        if self.objective not in starts:
            return super()._bias_initializer()
        return keras.initializers.Constant(-np.log(starts[self.objective]))

    @property
    def own_start(self):
        bias = getattr(self, "bias", None)  # vectors that are made of characters have none
        judged_alone = self.objective in ("nce", "negative")
        return [bias] if judged_alone and bias is not None else []

    def draw(self):
        """Returns the ids `(k,)` of sampled words."""
        uniform = keras.random.uniform((2, self.samples), seed=self.sampling_seed)
        return draw_categorical(self._tables, uniform)

    def _look_up(self, words):
        """Returns E_w `(M, D)` and b_w `(M,)` of words `(M,)`."""
        return ops.take(self.table, words, axis=0), ops.take(self.bias, words, axis=0)

    def _objective(self, rows, labels, real, smoothing):
        del real, smoothing
        drawn = self.draw()
        targets, samples, hits = candidate_scores(rows, labels, drawn, self._look_up)
        if self.objective != "negative":
            log_expected = ops.convert_to_tensor(self._log_shares) + np.log(self.samples)
            targets = targets - ops.take(log_expected, labels, axis=0)
            samples = samples - ops.take(log_expected, drawn, axis=0)
        return OBJECTIVES[self.objective](targets, samples, hits)

    def _logits(self, hidden):
        return self._scores_to_logits(super()._logits(hidden))

    def _scores_to_logits(self, scores):
        return scores + self._log_shares if self.objective == "negative" else scores

    def get_config(self):
        config = {
            "objective": self.objective,
            "samples": self.samples,
            "counts": self.counts,
            "power": self.power,
        }
        return {**super().get_config(), **config}
