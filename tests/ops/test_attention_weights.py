"""The row-wise activations: values and gradients against a loop over the real entries alone."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.ops.attention_weights import get_activation, masked_log_softmax, serialize_activation
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(0)
MASK = np.array([[True] * 4, [True, True, False, False], [False, True, False, True], [False] * 4])
SCORES = RNG.normal(size=(4, 4)).astype("float32")


@keras.saving.register_keras_serializable(package="seqkeras_tests")
def squared(scores):
    return scores**2


@keras.saving.register_keras_serializable(package="seqkeras_tests")
def centred(scores, mask=None):
    """Needs the mask: a mean over a row with -1e30 in it would be lost."""
    real = ops.cast(mask, "float32")
    scores = scores * real
    return scores - ops.sum(scores, -1, keepdims=True) / ops.maximum(
        ops.sum(real, -1, keepdims=True), 1.0
    )


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def sparsemax(x):
    """Projection on the simplex by bisection of its threshold."""
    low, high = x.max() - 1.0, x.max()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(x - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(x - low, 0)


# Of a row of real entries alone.
ORACLES = {
    "softmax": softmax,
    "hard": lambda x: np.eye(len(x))[np.argmax(x)],
    "identity": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "sparsemax": sparsemax,
    squared: np.square,
    centred: lambda x: x - x.mean(),
}
every_activation = pytest.mark.parametrize(
    "identifier", ORACLES, ids=lambda f: getattr(f, "__name__", f)
)


def expected_weights(identifier, scores, mask):
    weights = np.zeros(scores.shape)
    for row in np.ndindex(scores.shape[:-1]):
        if mask[row].any():
            weights[row][mask[row]] = ORACLES[identifier](scores[row][mask[row]].astype(float))
    return weights


@every_activation
@pytest.mark.parametrize("padding", [0.0, 9.0, np.nan, np.inf, -np.inf])
def test_an_activation_sees_the_real_scores_only(identifier, padding):
    scores = np.where(MASK, SCORES, np.float32(padding))
    weights = ops.convert_to_numpy(get_activation(identifier)(scores, MASK))
    expected = expected_weights(identifier, SCORES, MASK)
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6)
    assert not weights[~MASK].any(), "exactly 0 where masked"


@every_activation
@pytest.mark.parametrize("padding", [0.0, np.nan, np.inf])
def test_gradients_are_those_of_the_real_scores(identifier, padding):
    """Against central differences; exactly 0 where masked, and in a row that sees nothing."""
    u, step = RNG.normal(size=SCORES.shape).astype("float32"), 1e-4
    scores = np.where(MASK, SCORES, np.float32(padding))
    weigh = get_activation(identifier)
    _, (gradient,), _ = value_and_gradients(lambda s: ops.sum(weigh(s, MASK) * u), [scores])
    for place in np.ndindex(*SCORES.shape):
        moved = SCORES.astype(float)[None].repeat(2, 0)
        moved[0][place] += step
        moved[1][place] -= step
        up, down = ((expected_weights(identifier, m, MASK) * u).sum() for m in moved)
        assert gradient[place] == pytest.approx((up - down) / (2 * step), rel=1e-3, abs=1e-4)
    assert not gradient[~MASK].any()


@pytest.mark.parametrize("identifier", ["softmax", "hard", "identity", "tanh", "sparsemax"])
def test_without_a_mask_every_score_is_real(identifier):
    weigh = get_activation(identifier)
    np.testing.assert_allclose(weigh(SCORES), weigh(SCORES, np.ones_like(MASK)), rtol=1e-6)


@every_activation
def test_the_mask_broadcasts_over_queries(identifier):
    scores = RNG.normal(size=(4, 3, 4)).astype("float32")
    weights = get_activation(identifier)(scores, MASK[:, None])
    mask = MASK[:, None].repeat(3, 1)
    expected = expected_weights(identifier, scores, mask)
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("identifier", ["softmax", "hard", "identity", "tanh", "softplus"])
@pytest.mark.parametrize("mask", [None, MASK])
def test_the_dtype_comes_back(identifier, mask):
    weights = get_activation(identifier)(ops.cast(SCORES, "bfloat16"), mask)
    assert keras.backend.standardize_dtype(weights.dtype) == "bfloat16"


@pytest.mark.parametrize("identifier", ["softmax", "hard", "tanh", "softmax of Keras"])
@pytest.mark.parametrize("mask", [None, np.array([[True], [False]])])
def test_a_memory_of_one_gives_no_warning(identifier, mask):
    identifier = keras.activations.softmax if "of Keras" in identifier else identifier
    weights = get_activation(identifier)(np.ones((2, 1), "float32"), mask)
    expected = np.tanh(1.0) if identifier == "tanh" else 1.0
    np.testing.assert_allclose(weights[0, 0], expected, rtol=1e-6)
    assert float(weights[1, 0]) == pytest.approx(expected if mask is None else 0.0, rel=1e-6)


def test_the_functions_of_keras_are_ours_of_that_name():
    """Keras 3.15's sparsemax does not sum to 1 (keras-team/keras#23425)."""
    for name in ("softmax", "sparsemax"):
        ours = get_activation(getattr(keras.activations, name))
        assert ours is get_activation(name)
        np.testing.assert_allclose(ops.sum(ours(SCORES, MASK), -1), MASK.any(-1), atol=1e-6)


def test_softmax_ends_in_hard_as_the_temperature_falls():
    """E05: the limit of softmax(x / tau) for tau to 0, at the rate of exp(-gap / tau)."""
    highest = np.sort(SCORES, -1)
    gap = (highest[:, -1] - highest[:, -2]).min()
    hard = ops.convert_to_numpy(get_activation("hard")(SCORES))
    for tau in (gap, gap / 5, gap / 30):
        soft = ops.convert_to_numpy(get_activation("softmax")(SCORES / tau))
        assert np.abs(soft - hard).max() <= (SCORES.shape[-1] - 1) * np.exp(-gap / tau) + 1e-6
    np.testing.assert_allclose(soft, hard, atol=1e-6)


def test_of_equal_scores_the_first_real_one_wins():
    scores = np.array([[1.0, 3.0, 3.0, 3.0]] * 2, "float32")
    mask = np.array([[True, True, True, True], [True, False, True, True]])
    hard = get_activation("hard")
    np.testing.assert_array_equal(hard(scores, mask), [[0, 1, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_array_equal(hard(np.zeros_like(scores)), [[1, 0, 0, 0]] * 2)


def test_log_softmax_of_real_scores():
    log_p = ops.convert_to_numpy(masked_log_softmax(np.where(MASK, SCORES, np.nan), MASK))
    expected = expected_weights("softmax", SCORES, MASK)
    np.testing.assert_allclose(np.exp(log_p[:3])[MASK[:3]], expected[MASK], rtol=1e-5)
    assert np.isfinite(log_p).all()


@pytest.mark.parametrize("identifier", ["Softmax", "glu", "get", "", None, 3, ["hard"]])
def test_an_unknown_activation_raises(identifier):
    with pytest.raises(ValueError, match="expected one of .*, a function, .* relu"):
        get_activation(identifier)


@every_activation
def test_an_activation_comes_back_from_json(identifier):
    config = json.loads(json.dumps(serialize_activation(identifier)))
    weights = get_activation(config)(SCORES, MASK)
    np.testing.assert_array_equal(weights, get_activation(identifier)(SCORES, MASK))
    assert serialize_activation(config) == config


def test_a_lambda_cannot_be_saved():
    with pytest.raises(ValueError, match="expected a named function, got a lambda"):
        serialize_activation(lambda scores: scores)
