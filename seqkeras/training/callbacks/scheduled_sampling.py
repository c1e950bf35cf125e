"""Scheduled sampling's decay of teacher forcing, Bengio et al. 2015 (arXiv:1506.03099), 2.4.

    epsilon_i = k / (k + exp(i / k))     inverse sigmoid, i the number of updates so far

epsilon is the probability of the true token; the model's own is fed with probability 1 - epsilon.
"""

import math

import keras


class ScheduledSampling(keras.callbacks.Callback):
    """Sets a decoder's `sampling_rate` to 1 - epsilon before every batch.

    It follows the optimizer's `iterations`, so a resumed run goes on where it was.

    Args:
        sampling_rate: The variable, `AutoregressiveDecoder(scheduled_sampling=True).sampling_rate`.
        k: float >= 1. Larger is slower: epsilon is 1/2 after k log k updates.
    """

    def __init__(self, sampling_rate, k):
        super().__init__()
        if k < 1.0:
            raise ValueError(f"k: expected at least 1, got {k}.")
        self.sampling_rate = sampling_rate
        self.k = k

    def rate(self, step):
        """Returns 1 - epsilon after `step` updates."""
        exponent = step / self.k - math.log(self.k)
        return 1.0 / (1.0 + math.exp(-exponent)) if exponent < 700 else 1.0

    def on_train_batch_begin(self, batch, logs=None):
        self.sampling_rate.assign(self.rate(int(self.model.optimizer.iterations)))
