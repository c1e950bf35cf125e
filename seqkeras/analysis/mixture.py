"""Mixtures of language models: p(w) = sum_m lambda_m p_m(w), lambda >= 0, sum_m lambda_m = 1.

The weights are fitted by expectation-maximisation (Dempster, Laird & Rubin 1977), to tokens that
no member was trained on, such as the validation set:

    r_mi     = lambda_m p_m(w_i) / sum_k lambda_k p_k(w_i)     how far member m explains token i
    lambda_m = mean_i r_mi

Each step makes the tokens more likely or leaves them; the likelihood is concave in lambda, so
there is one maximum. By Jensen's inequality a mixture's mean negative log-probability is at most
the weighted mean of its members'. Log-probabilities are natural (nats); a member that cannot give a
token has -inf there.
"""

import numpy as np


def perplexity(log_probs):
    """Returns exp(-mean log p), a float: of `(N,)` log-probabilities in nats, one for each token.

    Raises:
        ValueError: for no token, another shape, NaN or +inf.

    Example:

    >>> perplexity(np.log([0.5, 0.125]))
    4.0
    """
    log_probs = np.asarray(log_probs, np.float64)
    if log_probs.ndim != 1:
        raise ValueError(f"log_probs: expected one for each token, (N,), got {log_probs.shape}.")
    _check_values(log_probs)
    return float(np.exp(-log_probs.mean()))


def mix(log_probs, weights, groups=None):
    """Returns the mixture's log-probability of every token, float64 `(N,)`.

    Args:
        log_probs: Floats `(M, N)`, the members' log-probabilities of the tokens.
        weights: Floats `(M,)`, or `(G, M)` with `groups`; at least 0, with sum 1.
        groups: Integers `(N,)` from 0 to G-1, the row of weights for each token, or None.

    Raises:
        ValueError: for shapes that do not fit, weights off the simplex, NaN, +inf, no token.
    """
    log_probs = _members(log_probs)
    weights = np.asarray(weights, np.float64)
    members, tokens = log_probs.shape
    if weights.ndim != (1 if groups is None else 2) or weights.shape[-1] != members:
        raise ValueError(
            f"weights: expected {f'({members},)' if groups is None else f'(G, {members})'}, got "
            f"{weights.shape}."
        )
    if not (weights >= 0).all() or not np.allclose(weights.sum(-1), 1.0):
        raise ValueError(f"weights: expected at least 0 with sum 1, got {weights.tolist()}.")
    if groups is None:
        return _mix(log_probs, weights[:, None])
    return _mix(log_probs, weights[_groups(groups, tokens, len(weights))].T)


def fit_mixture_weights(log_probs, groups=None, tolerance=1e-8):
    """Fits the weights of a mixture by expectation-maximisation.

    Args:
        log_probs: Floats `(M, N)`, the members' log-probabilities of the tokens.
        groups: Integers `(N,)` from 0 to G-1, or None. Tokens of a group share a vector of weights,
            for example those whose contexts are about as frequent.
        tolerance: Float > 0. Stops when a step gains less than this, in nats per token.

    Returns:
        Weights, float64 `(M,)`, or with groups `(G, M)`, G being the largest group + 1. A group
        without tokens has the weights that are best for all.

    Raises:
        ValueError: for shapes that do not fit, NaN, +inf, no token, a token that no member can
            give, a tolerance that is not positive.

    Example:

    >>> right, wrong = np.log([0.9, 0.9, 0.9]), np.log([0.1, 0.1, 0.1])
    >>> fit_mixture_weights([right, wrong]).round(2)
    array([1., 0.])
    """
    log_probs = _members(log_probs)
    if not tolerance > 0:
        raise ValueError(f"tolerance: expected more than 0, got {tolerance}.")
    impossible = np.flatnonzero(np.isneginf(log_probs).all(axis=0))
    if len(impossible):
        raise ValueError(
            f"log_probs: expected every token to be possible for a member, but {len(impossible)} "
            f"are not, the first at {impossible[0]}. Mix in a model that gives every token a "
            "probability."
        )
    members, tokens = log_probs.shape
    of_all = _fit(log_probs, np.full(members, 1.0 / members), tolerance)
    if groups is None:
        return of_all
    groups = _groups(groups, tokens)
    weights = np.tile(of_all, (groups.max() + 1, 1))
    for group in np.unique(groups):
        # From the start, not from `of_all`: what is 0 there EM can never raise again.
        start = np.full(members, 1.0 / members)
        weights[group] = _fit(log_probs[:, groups == group], start, tolerance)
    return weights


def em_step(log_probs, weights):
    """Returns `(weights, mean)`: one step's weights `(M,)`, and mean log p under the old ones.

    Args:
        log_probs: Floats `(M, N)`; no token may be -inf for all members with a weight.
        weights: Floats `(M,)`.
    """
    mixed = _mix(log_probs, weights[:, None])
    with np.errstate(divide="ignore"):
        posterior = np.exp(log_probs + np.log(weights[:, None]) - mixed)  # r, (M, N)
    new = posterior.mean(axis=1)
    return new / new.sum(), float(mixed.mean())


def _fit(log_probs, weights, tolerance):
    """Steps until the gain is below the tolerance: sooner or later, for p has a bound."""
    before = -np.inf
    while True:
        new, mean = em_step(log_probs, weights)
        if mean - before < tolerance:
            return new
        weights, before = new, mean


def _mix(log_probs, weights):
    """Returns log sum_m lambda_m p_m of log p `(M, N)` and lambda `(M, N)` or `(M, 1)`."""
    with np.errstate(divide="ignore"):  # a weight of 0 is a log-probability of -inf
        return np.logaddexp.reduce(log_probs + np.log(weights), axis=0)


def _members(log_probs):
    log_probs = np.asarray(log_probs, np.float64)
    if log_probs.ndim != 2:
        raise ValueError(
            f"log_probs: expected (M, N), a row for each of M members, got {log_probs.shape}."
        )
    _check_values(log_probs)
    return log_probs


def _check_values(log_probs):
    if not log_probs.size:
        raise ValueError(f"log_probs: expected at least one token, got {log_probs.shape}.")
    wrong = np.isnan(log_probs) | np.isposinf(log_probs)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        raise ValueError(f"log_probs: expected numbers or -inf, got {log_probs[place]} at {place}.")


def _groups(groups, tokens, count=None):
    """Returns groups as an array, from 0 to count - 1."""
    groups = np.asarray(groups)
    if groups.shape != (tokens,) or not np.issubdtype(groups.dtype, np.integer):
        raise ValueError(
            f"groups: expected an integer for each of {tokens} tokens, got {groups.dtype} of shape "
            f"{groups.shape}."
        )
    if groups.min() < 0 or (count is not None and groups.max() >= count):
        allowed = "at least 0" if count is None else f"from 0 to {count - 1}"
        raise ValueError(f"groups: expected {allowed}, got {groups.min()} to {groups.max()}.")
    return groups
