import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.ops.masks import masked_softmax, real_tokens, reverse_padded, zero_masked
from tests.contract import MaskProbe
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(0)
MASK = np.array([[True, True, True, True], [True, True, False, False], [False] * 4])
GARBAGE = [0.0, 7.0, np.nan, np.inf, -np.inf]


def padded(x, mask, padding):
    return np.where(mask, x, np.float32(padding)).astype("float32")


def test_real_tokens_are_those_that_are_not_pad():
    ids = np.array([[1, 5, 2, 0], [3, 0, 0, 0]], "int32")
    expected = [[True, True, True, False], [True, False, False, False]]
    np.testing.assert_array_equal(real_tokens(ids), expected)


@pytest.mark.parametrize("padding", GARBAGE)
def test_zero_masked_erases_what_it_masks_in_values_and_gradients(padding):
    x, kernel = RNG.normal(size=(3, 4, 2)), RNG.normal(size=(2, 5)).astype("float32")

    def loss(x, kernel):
        return ops.sum(ops.square(ops.matmul(zero_masked(x, MASK), kernel)))

    clean, garbage = (padded(x, MASK[..., None], p) for p in (0.0, padding))
    np.testing.assert_array_equal(zero_masked(garbage, MASK), clean)
    _, (of_x, of_kernel), _ = value_and_gradients(loss, [garbage, kernel])
    np.testing.assert_allclose(of_x, 2 * clean @ kernel @ kernel.T, rtol=1e-4, atol=1e-5)
    squares = np.einsum("btd,bte->de", clean, clean)
    np.testing.assert_allclose(of_kernel, 2 * squares @ kernel, rtol=1e-4, atol=1e-5)


def test_zero_masked_without_a_mask_is_the_identity():
    x = ops.ones((2, 3, 4))
    assert zero_masked(x, None) is x


def test_zero_masked_keeps_the_dtype():
    x = ops.ones((3, 4, 2), dtype="bfloat16")
    assert keras.backend.standardize_dtype(zero_masked(x, MASK).dtype) == "bfloat16"


def softmax_oracle(scores, mask):
    """Row by row over the real entries alone; a row without any is zero (erratum X17)."""
    weights = np.zeros(scores.shape)
    for index in np.ndindex(scores.shape[:-1]):
        real = mask[index]
        if real.any():
            e = np.exp(scores[index][real] - scores[index][real].max())
            weights[index][real] = e / e.sum()
    return weights


@pytest.mark.parametrize("padding", GARBAGE)
def test_masked_softmax_sees_real_scores_only(padding):
    scores = RNG.normal(size=(3, 4), scale=5)
    expected = softmax_oracle(scores, MASK)
    weights = ops.convert_to_numpy(masked_softmax(padded(scores, MASK, padding), MASK))
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert not weights[~MASK].any(), "weights in the padding are exactly 0"


@pytest.mark.parametrize("padding", GARBAGE)
def test_gradient_of_masked_softmax(padding):
    """w_i (u_i - sum_j w_j u_j), and exactly 0 where masked."""
    scores = RNG.normal(size=(3, 4))
    u = RNG.normal(size=(3, 4)).astype("float32")
    w = softmax_oracle(scores, MASK)
    _, (gradient,), _ = value_and_gradients(
        lambda s: ops.sum(masked_softmax(s, MASK) * u), [padded(scores, MASK, padding)]
    )
    expected = w * (u - (w * u).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    assert not gradient[~MASK].any()


def test_masked_softmax_broadcasts_the_mask():
    scores = RNG.normal(size=(3, 2, 4)).astype("float32")
    mask = np.broadcast_to(MASK[:, None], scores.shape)
    weights = masked_softmax(scores, MASK[:, None])
    np.testing.assert_allclose(weights, softmax_oracle(scores, mask), rtol=1e-5)


def test_masked_softmax_without_a_mask_is_softmax():
    scores = RNG.normal(size=(3, 4)).astype("float32")
    expected = softmax_oracle(scores, np.ones_like(MASK))
    np.testing.assert_allclose(masked_softmax(scores), expected, rtol=1e-5)


@pytest.mark.parametrize("mask", [None, MASK])
def test_masked_softmax_works_in_float32_and_gives_back_the_dtype(mask):
    """In bfloat16 the scores 300 and 301 are the same number; equal scores give equal weights."""
    scores = ops.cast(np.tile([[300.0, 302.0, 300.0, 302.0]], (3, 1)), "bfloat16")
    weights = masked_softmax(scores, mask)
    assert keras.backend.standardize_dtype(weights.dtype) == "bfloat16"
    odds = ops.convert_to_numpy(ops.cast(weights, "float32"))[0]
    np.testing.assert_allclose(odds[1] / odds[0], np.exp(2), rtol=0.01)


def test_reverse_padded_reverses_real_steps_only():
    ids = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [0, 0, 0, 0]], "int32")
    expected = [[4, 3, 2, 1], [6, 5, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(reverse_padded(ids, MASK), expected)


def test_reverse_padded_of_vectors_is_its_own_inverse():
    x = RNG.normal(size=(3, 4, 2)).astype("float32")
    once = ops.convert_to_numpy(reverse_padded(x, MASK))
    np.testing.assert_array_equal(once[1], x[1, [1, 0, 2, 3]])
    np.testing.assert_array_equal(reverse_padded(once, MASK), x)


# Which of Keras' layers and operators keep the mask that a tensor carries.


def mask_behind(function):
    x = keras.Input((4, 2))
    model = keras.Model(x, MaskProbe()(function(keras.layers.Masking()(x))))
    return model.predict_on_batch(padded(np.ones((3, 4, 2)), MASK[..., None], 0.0))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: keras.layers.Add()([x, x]),
        lambda x: keras.layers.Concatenate()([x, x]),
        keras.layers.Dense(3),
        keras.layers.LayerNormalization(),
    ],
    ids=["Add", "Concatenate", "Dense", "LayerNormalization"],
)
def test_these_keep_the_mask(function):
    np.testing.assert_array_equal(mask_behind(function), MASK)


def test_operators_drop_the_mask_silently():
    assert (mask_behind(lambda x: x + x) == -1).all()


def test_reshape_drops_the_mask_with_a_warning():
    with pytest.warns(UserWarning, match="does not support masking"):
        probed = mask_behind(keras.layers.Reshape((2, 4)))
    assert (probed == -1).all()
