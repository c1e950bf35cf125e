"""Choices of one position: what is drawn, with what probability and what gradient."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.ops.hard_attention import choose, gumbel_noise, log_probability, straight_through
from seqkeras.ops.masks import masked_softmax
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(0)
MASK = np.array([[True] * 4, [True, True, False, False], [False, True, False, True], [False] * 4])
SCORES = RNG.normal(size=(4, 4)).astype("float32")
PADDED = np.where(MASK, SCORES, np.float32(np.nan))
NOISE = RNG.gumbel(size=(4, 4)).astype("float32")


def test_gumbel_noise_has_its_distribution():
    """P(g <= x) = exp(-exp(-x)); the widest gap of the distribution functions is O(1 / sqrt n)."""
    n = 20000
    noise = np.sort(ops.convert_to_numpy(gumbel_noise((n,), seed=1)))
    empirical = (np.arange(n) + 0.5) / n
    assert np.abs(np.exp(-np.exp(-noise)) - empirical).max() < 1.95 / np.sqrt(n)  # p = 0.001
    assert np.isfinite(noise).all()


def test_choices_are_samples_of_the_softmax():
    """The Gumbel trick: 4 standard errors of every frequency, and never a masked position."""
    n = 20000
    noise = gumbel_noise((n, *SCORES.shape), seed=2)
    chosen = ops.convert_to_numpy(choose(PADDED[None], MASK, noise))
    p = ops.convert_to_numpy(masked_softmax(PADDED, MASK))
    error = np.sqrt(p * (1 - p) / n)
    assert (np.abs(chosen.mean(0) - p) <= 4 * error).all()
    assert not chosen[:, ~MASK].any()
    np.testing.assert_array_equal(chosen.sum(-1), np.broadcast_to(MASK.any(-1), (n, 4)))


def test_without_noise_the_highest_real_score_is_chosen():
    expected = np.zeros((4, 4))
    for row in range(3):
        expected[row, np.nanargmax(PADDED[row])] = 1.0
    np.testing.assert_array_equal(choose(PADDED, MASK), expected)


@pytest.mark.parametrize("noise", [None, NOISE], ids=["arg_max", "gumbel"])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_straight_through_is_hard_forward_and_soft_backward(noise, temperature):
    u = RNG.normal(size=(4, 4)).astype("float32")

    def hard(scores):
        return straight_through(scores, MASK, noise, temperature)

    def soft(scores):
        return masked_softmax((scores + (0 if noise is None else noise)) / temperature, MASK)

    np.testing.assert_array_equal(hard(PADDED), choose(PADDED, MASK, noise))
    _, (found,), _ = value_and_gradients(lambda s: ops.sum(hard(s) * u), [PADDED])
    _, (expected,), _ = value_and_gradients(lambda s: ops.sum(soft(s) * u), [PADDED])
    np.testing.assert_array_equal(found, expected)
    assert not found[~MASK].any()
    assert found[MASK].any()


def test_log_probability_and_its_gradient():
    """d log p_j / dx = onehot(j) - p; nothing of a row that sees nothing."""
    chosen = ops.convert_to_numpy(choose(PADDED, MASK, NOISE))
    p = ops.convert_to_numpy(masked_softmax(PADDED, MASK))
    log_p = ops.convert_to_numpy(log_probability(PADDED, chosen, MASK))
    np.testing.assert_allclose(log_p[:3], np.log((p * chosen).sum(-1)[:3]), rtol=1e-5)
    assert log_p[3] == 0.0
    _, (gradient,), _ = value_and_gradients(
        lambda s: ops.sum(log_probability(s, chosen, MASK)), [PADDED]
    )
    np.testing.assert_allclose(gradient, np.where(MASK, chosen - p, 0.0), atol=1e-6)
    assert not gradient[~MASK].any()


def test_choices_of_half_precision_scores_are_made_in_float32():
    scores = ops.cast(SCORES, "bfloat16")
    for weights in (choose(scores, MASK), straight_through(scores, MASK)):
        assert keras.backend.standardize_dtype(weights.dtype) == "float32"
