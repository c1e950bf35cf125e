"""Choosing one position: samples of it and estimators of its gradient.

    g_j = -log(-log u_j), u_j uniform       then argmax_j (x_j + g_j) ~ softmax(x): the Gumbel trick
    straight through    forward onehot(argmax x), backward the gradient of softmax(x / tau)
                        (Bengio et al. 2013, arXiv:1308.3432)
    Gumbel              the same of x + g (Jang et al. 2017, arXiv:1611.01144, 2.2)
    score function      grad E[L] = E[L grad log p(choice)] (Williams 1992), p = softmax(x)

All work in float32; what a mask hides is never chosen and has gradient exactly 0.
"""

import keras
from keras import ops

from seqkeras.ops.attention_weights import hard, masked_log_softmax
from seqkeras.ops.masks import masked_softmax


def gumbel_noise(shape, seed=None):
    """Returns float32 samples of the standard Gumbel distribution, finite everywhere."""
    tiny = 1e-20  # uniform() may give 0
    u = keras.random.uniform(shape, minval=tiny, maxval=1.0, dtype="float32", seed=seed)
    return -ops.log(-ops.log(u))


def choose(scores, mask=None, noise=None):
    """Returns the choice, one-hot `(..., S)` float32 without a gradient; zeros if all is masked.

    Args:
        scores: Float tensor `(..., S)`.
        mask: Boolean tensor that broadcasts to `(..., S)`, or None.
        noise: Gumbel noise `(..., S)` for a sample of softmax(scores), or None for the highest
            score, of equal ones the first.
    """
    scores = ops.cast(scores, "float32")
    return ops.stop_gradient(hard(scores if noise is None else scores + noise, mask))


def straight_through(scores, mask=None, noise=None, temperature=1.0):
    """Returns the choice with the gradient of softmax((scores + noise) / temperature)."""
    soft = ops.cast(scores, "float32")
    soft = soft if noise is None else soft + noise
    soft = masked_softmax(soft / temperature, mask)
    return choose(scores, mask, noise) + (soft - ops.stop_gradient(soft))


def log_probability(scores, choice, mask=None):
    """Returns log p(choice) under softmax(scores), float32 `(...)`; 0 where nothing was chosen."""
    return ops.sum(choice * masked_log_softmax(scores, mask), axis=-1)


def score_function(losses, log_probs, baseline=0.0):
    """Returns the losses `(B,)`, with the gradient of their expectation over the choices.

    L + [L - b] (log p - [log p]), [.] held constant: of value L, and in expectation of gradient
    E[grad L] + sum over choices of L grad p.

    Args:
        losses: Float tensor `(B,)`, L of what was chosen.
        log_probs: Float tensor `(B,)`, log p of all that was chosen for an example.
        baseline: b, which must not depend on the choices.
    """
    advantage = ops.stop_gradient(losses - baseline)
    return losses + advantage * (log_probs - ops.stop_gradient(log_probs))
