"""E05: which estimators of the gradient of an expected loss over hard choices are biased.

Two queries choose among three values, so nine outcomes: the truth is their sum.
"""

import itertools

import numpy as np
import pytest
from keras import ops

from seqkeras.layers import DotAttention, HardAttention
from seqkeras.ops.hard_attention import score_function
from tests.gradients import value_and_gradients

T, S, N = 2, 3, 20000
SCORES = np.array([[0.5, 0.0, -0.5], [-0.2, 0.8, 0.1]], "float32")
VALUES = np.array([[1.0, 0.0], [0.2, 1.5], [-1.0, 0.7]], "float32")


def loss(context):
    """A loss `(...,)` of contexts `(..., T, 2)` in which the choices meet."""
    return (context[..., 0, 0] * context[..., 1, 1] - 1.0) ** 2 + (
        context[..., 0, 1] + context[..., 1, 0]
    ) ** 2


def expected_loss(scores, values):
    p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    return sum(
        p[0, i] * p[1, j] * loss(values[[i, j]]) for i, j in itertools.product(range(S), repeat=T)
    )


def truth():
    """Central differences in float64 of the sum over all choices."""
    gradients, arguments = [], [SCORES.astype(float), VALUES.astype(float)]
    for which, x in enumerate(arguments):
        gradient = np.zeros_like(x)
        for place in np.ndindex(*x.shape):
            moved = np.stack([x, x])
            moved[:, *place] += [1e-5, -1e-5]
            up, down = (
                expected_loss(*arguments[:which], m, *arguments[which + 1 :]) for m in moved
            )
            gradient[place] = (up - down) / 2e-5
        gradients.append(gradient)
    return gradients


def samples(attention, objective):
    """Returns N gradients of the scores `(N, T, S)` and of the values `(N, S, 2)`."""

    def total(query, value):
        keys = np.eye(S, dtype="float32")[None].repeat(N, 0)  # so the scores are the query
        context, log_probs = attention(query, value, keys, training=True, return_log_probs=True)
        return ops.sum(objective(loss(context), ops.sum(log_probs, -1)))

    inputs = [np.repeat(x[None], N, axis=0) for x in (SCORES, VALUES)]
    return value_and_gradients(total, inputs)[1]


def bias_and_spread(found, expected):
    """Returns the bias and a sample's standard deviation, as multiples of the gradient's length."""
    length = np.linalg.norm(expected)
    spread = np.sqrt((found.std(0) ** 2).sum())
    return np.linalg.norm(found.mean(0) - expected) / length, spread / length


@pytest.mark.parametrize("baseline", [0.0, 2.5])
def test_reinforce_is_unbiased(baseline):
    """Each mean within 4 standard errors, of the scores as of what comes after the choice."""
    attention = HardAttention(DotAttention(), "reinforce", seed=1)
    found = samples(attention, lambda losses, log_p: score_function(losses, log_p, baseline))
    for gradient, expected in zip(found, truth(), strict=True):
        error = gradient.std(0) / np.sqrt(N)
        assert (np.abs(gradient.mean(0) - expected) <= 4 * error + 1e-5).all()


@pytest.mark.parametrize(
    ("estimator", "temperature", "bias", "spread"),
    [
        ("straight_through", 1.0, 1.44, 0.0),
        ("gumbel", 1.0, 0.47, 1.5),
        ("gumbel", 0.3, 0.16, 3.4),
        ("reinforce", 1.0, 0.0, 3.6),
        ("reinforce", "mean as baseline", 0.0, 2.2),
    ],
)
def test_biases_and_spreads_are_what_the_docstring_says(estimator, temperature, bias, spread):
    """Within 4 standard errors; of the biased ones the bias is more than 6."""
    baseline = 0.0
    if temperature == "mean as baseline":
        temperature, baseline = 1.0, expected_loss(SCORES, VALUES)
    seed = None if estimator == "straight_through" else 1
    attention = HardAttention(DotAttention(), estimator, temperature, seed)

    def objective(losses, log_p):
        return score_function(losses, log_p, baseline) if estimator == "reinforce" else losses

    found, _ = samples(attention, objective)
    measured, measured_spread = bias_and_spread(found, truth()[0])
    error = measured_spread / np.sqrt(N)
    assert measured == pytest.approx(bias, abs=4 * error + 0.005)
    assert measured_spread == pytest.approx(spread, rel=0.05, abs=0.01)
    assert (measured > 6 * error) == (bias > 0)


def test_the_objective_has_the_value_of_the_loss():
    losses, log_p = np.array([1.0, 3.0], "float32"), np.array([-0.5, -2.0], "float32")
    np.testing.assert_array_equal(score_function(losses, log_p, 0.7), losses)
