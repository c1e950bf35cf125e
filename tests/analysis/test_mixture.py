import numpy as np
import pytest

from seqkeras.analysis.mixture import em_step, fit_mixture_weights, mix, perplexity

RNG = np.random.default_rng(0)
LOG_PROBS = np.log(RNG.dirichlet(np.ones(50), 3)[:, RNG.integers(0, 50, 400)])  # (M, N)


def draws(weights, tokens, words=30, seed=1):
    """Members' log-probabilities of tokens that are drawn from their mixture."""
    rng = np.random.default_rng(seed)
    members = rng.dirichlet(np.full(words, 0.3), len(weights))  # (M, words)
    return np.log(members[:, rng.choice(words, tokens, p=np.array(weights) @ members)])


def mean_log(log_probs, weights):
    """The mean log-probability by the formula, without logarithms of sums."""
    return np.log((np.array(weights)[:, None] * np.exp(log_probs)).sum(axis=0)).mean()


def test_perplexity_is_the_inverse_geometric_mean():
    p = RNG.uniform(0.1, 0.9, 7)
    np.testing.assert_allclose(perplexity(np.log(p)), np.prod(1 / p) ** (1 / 7), rtol=1e-12)
    assert perplexity(np.log([1 / 8])) == pytest.approx(8.0, rel=1e-12)
    assert perplexity([-1.0, -np.inf]) == np.inf


def test_mix_is_the_log_of_the_weighted_sum():
    weights = [0.2, 0.5, 0.3]
    expected = np.log((np.array(weights)[:, None] * np.exp(LOG_PROBS)).sum(axis=0))
    np.testing.assert_allclose(mix(LOG_PROBS, weights), expected, rtol=1e-12)


def test_mix_survives_what_exp_does_not():
    found = mix([[-5000.0, -np.inf, -np.inf], [-5001.0, -3.0, -np.inf]], [0.5, 0.5])
    expected = [-5000.0 + np.log((1 + np.exp(-1)) / 2), -3.0 + np.log(0.5), -np.inf]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(mix([[-np.inf], [-2.0]], [0.0, 1.0]), [-2.0])
    np.testing.assert_array_equal(mix([[-np.inf], [-2.0]], [1.0, 0.0]), [-np.inf])


def test_mix_takes_each_tokens_group():
    weights = RNG.dirichlet(np.ones(3), 4)
    groups = RNG.integers(0, 4, 400)
    one_by_one = [mix(LOG_PROBS[:, i : i + 1], weights[g])[0] for i, g in enumerate(groups)]
    np.testing.assert_allclose(mix(LOG_PROBS, weights, groups), one_by_one, rtol=1e-12)


def test_every_step_makes_the_tokens_more_likely():
    weights, means = np.array([0.98, 0.01, 0.01]), []
    for _ in range(200):
        expected = mean_log(LOG_PROBS, weights)
        weights, mean = em_step(LOG_PROBS, weights)
        assert mean == pytest.approx(expected, rel=1e-12)
        assert weights.sum() == pytest.approx(1.0, abs=1e-12)
        assert (weights >= 0).all()
        means.append(mean)
    assert (np.diff(means) >= -1e-13).all()
    assert means[-1] > means[0]


def test_no_other_weights_do_better():
    best = mean_log(LOG_PROBS, fit_mixture_weights(LOG_PROBS, tolerance=1e-12))
    grid = np.linspace(0, 1, 41)
    others = [
        mean_log(LOG_PROBS, [a, b, 1 - a - b]) for a in grid for b in grid if a + b <= 1 + 1e-9
    ]
    assert best >= max(others) - 1e-9
    assert best >= LOG_PROBS.mean(axis=1).max()  # a member alone


def test_jensen():
    for weights in [
        *RNG.dirichlet(np.ones(3), 20),
        np.full(3, 1 / 3),
        fit_mixture_weights(LOG_PROBS),
    ]:
        assert -mix(LOG_PROBS, weights).mean() <= -(weights @ LOG_PROBS.mean(axis=1)) + 1e-12
    equal = np.tile(LOG_PROBS[0], (3, 1))
    np.testing.assert_allclose(mix(equal, np.full(3, 1 / 3)), LOG_PROBS[0], rtol=1e-12)


def test_the_weights_of_a_known_mixture_come_back():
    weights = [0.6, 0.3, 0.1]
    found = fit_mixture_weights(draws(weights, 100_000), tolerance=1e-10)
    np.testing.assert_allclose(found, weights, atol=0.02)


def test_every_group_has_its_weights():
    rare, frequent = draws([0.9, 0.1], 50_000), draws([0.2, 0.8], 50_000)
    log_probs = np.concatenate([rare, frequent], axis=1)
    groups = np.repeat([2, 0], 50_000)
    found = fit_mixture_weights(log_probs, groups)
    np.testing.assert_allclose(found[[2, 0]], [[0.9, 0.1], [0.2, 0.8]], atol=0.02)
    of_all = fit_mixture_weights(log_probs)
    np.testing.assert_array_equal(found[1], of_all)  # no token is of group 1
    assert mix(log_probs, found, groups).mean() > mix(log_probs, of_all).mean()


def test_groups_are_fitted_apart():
    groups = RNG.integers(0, 3, 400)
    found = fit_mixture_weights(LOG_PROBS, groups)
    for g in range(3):
        alone = fit_mixture_weights(LOG_PROBS[:, groups == g])
        np.testing.assert_allclose(found[g], alone, rtol=1e-12)


def test_a_member_that_lacks_tokens_is_no_trouble():
    log_probs = np.array([[-1.0, -np.inf, -1.0], [-2.0, -2.0, -2.0]])
    weights = fit_mixture_weights(log_probs, tolerance=1e-12)
    assert np.isfinite(mix(log_probs, weights)).all()
    # d/da of 2 log(a p + (1-a) q) + log(1-a), p = 1/e, q = 1/e^2, is 0 there:
    a = 2 / 3 - 1 / (3 * (np.e - 1))
    np.testing.assert_allclose(weights, [a, 1 - a], atol=1e-4)


def test_one_token_and_one_member():
    np.testing.assert_array_equal(fit_mixture_weights([[-3.0]]), [1.0])
    np.testing.assert_allclose(fit_mixture_weights([[-3.0], [-np.inf]]), [1.0, 0.0])
    np.testing.assert_allclose(fit_mixture_weights([[-3.0], [-3.0]]), [0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: perplexity([]), "expected at least one token"),
        (lambda: perplexity([[-1.0]]), "one for each token, .N,., got .1, 1."),
        (lambda: perplexity([-1.0, np.nan]), "expected numbers or -inf, got nan at .1,."),
        (lambda: mix([-1.0], [1.0]), "expected .M, N., a row for each of M members, got .1,."),
        (lambda: mix([[np.inf]], [1.0]), "expected numbers or -inf, got inf at .0, 0."),
        (lambda: mix([[-1.0]], [0.5, 0.5]), "weights: expected .1,., got .2,."),
        (lambda: mix([[-1.0]], [1.0], [0]), "weights: expected .G, 1., got .1,."),
        (lambda: mix([[-1.0], [-1.0]], [0.5, 0.6]), "at least 0 with sum 1, got .0.5, 0.6."),
        (lambda: mix([[-1.0], [-1.0]], [-0.5, 1.5]), "at least 0 with sum 1"),
        (lambda: mix([[-1.0]], [[1.0]], [1]), "groups: expected from 0 to 0, got 1 to 1"),
        (lambda: fit_mixture_weights(np.zeros((2, 0))), "at least one token, got .2, 0."),
        (lambda: fit_mixture_weights([[np.nan]]), "expected numbers or -inf, got nan"),
        (lambda: fit_mixture_weights([[-1.0, -np.inf]] * 2), "but 1 are not, the first at 1"),
        (lambda: fit_mixture_weights([[-1.0]], [0, 0]), "an integer for each of 1 tokens"),
        (lambda: fit_mixture_weights([[-1.0]], [0.0]), "got float64 of shape .1,."),
        (lambda: fit_mixture_weights([[-1.0]], [-1]), "groups: expected at least 0, got -1 to -1"),
        (lambda: fit_mixture_weights([[-1.0]], tolerance=0), "tolerance: expected more than 0"),
    ],
)
def test_errors_say_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
