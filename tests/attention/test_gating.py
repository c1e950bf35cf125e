"""Notes A's definitions 3 to 5 as calls of an attention layer: gating, self-gated, key-value."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import BahdanauAttention, DotAttention, GeneralAttention, MLPAttention

B, T, S, D = 2, 3, 5, 4
FORMS = {
    "inner product": DotAttention,
    "bilinear": GeneralAttention,
    "bahdanau": lambda: BahdanauAttention(6),
    "mlp": lambda: MLPAttention((6, 5), hidden_activation="relu"),
}


@pytest.fixture(params=FORMS)
def attention(request):
    keras.utils.set_random_seed(3)
    return FORMS[request.param]()


@pytest.fixture
def tensors():
    """Query `(B, T, D)` and two memories `(B, S, D)`."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(B, size, D)).astype("float32") for size in (T, S, S)]


def run(attention, *args, **kwargs):
    outputs = attention(*args, return_attention_scores=True, **kwargs)
    return [ops.convert_to_numpy(output) for output in outputs]


def phi(attention, xi, x):
    """phi of every query with every value, one pair at a time."""
    return np.array(
        [
            [
                [
                    ops.convert_to_numpy(attention.score(q[None, None], attention.project_keys(k)))
                    for k in x[b][:, None, None]
                ]
                for q in xi[b]
            ]
            for b in range(B)
        ]
    ).reshape(B, T, S)


def test_softmax_gating_and_self_gated_attention(attention, tensors):
    """(20): f = exp(phi(xi, x^t)) / sum; (21): F = [x_1 ... x_k] f. X08: F has the size of x."""
    xi, x, _ = tensors
    context, f = run(attention, xi, x)
    e = np.exp(phi(attention, xi, x))
    np.testing.assert_allclose(f, e / e.sum(-1, keepdims=True), rtol=1e-4)
    for b in range(B):
        for t in range(T):
            np.testing.assert_allclose(context[b, t], x[b].T @ f[b, t], rtol=1e-4, atol=1e-5)


def test_key_value_attention(attention, tensors):
    """(22): the keys say where to look, the values what is read."""
    xi, x, z = tensors
    context, weights = run(attention, xi, z, key=x)
    _, f = run(attention, xi, x)
    np.testing.assert_array_equal(weights, f)
    np.testing.assert_allclose(context, np.einsum("btk,bkd->btd", f, z), rtol=1e-4, atol=1e-5)


def test_values_that_are_their_own_keys_are_self_gated(attention, tensors):
    xi, x, _ = tensors
    for found, expected in zip(run(attention, xi, x, key=x), run(attention, xi, x), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_gating_maps_to_the_interior_of_the_simplex(attention, tensors):
    """(20), note 3; so the context is in the interior of the convex hull of the values."""
    xi, x, z = tensors
    context, f = run(attention, xi, z, key=x)
    assert (f > 0).all()
    np.testing.assert_allclose(f.sum(-1), 1.0, rtol=1e-5)
    # A point is in the hull if it is beyond the values in no direction.
    directions = np.random.default_rng(1).normal(size=(200, D))
    beyond = (context @ directions.T).max(1) < (z @ directions.T).max(1)
    assert beyond.all()


def test_of_a_constant_phi_the_context_is_the_mean_of_the_values(attention, tensors):
    xi, x, z = tensors
    attention(xi, z, x)
    attention.set_weights([0 * weight for weight in attention.get_weights()])
    context, weights = run(attention, 0 * xi, z, key=x)  # of the inner product the query is 0
    np.testing.assert_allclose(weights, np.full((B, T, S), 1 / S), rtol=1e-6)
    np.testing.assert_allclose(context, z.mean(1, keepdims=True).repeat(T, 1), atol=1e-6)


def test_the_weights_do_not_depend_on_the_values(attention, tensors):
    xi, x, z = tensors
    np.testing.assert_array_equal(run(attention, xi, z, key=x)[1], run(attention, xi, -z, key=x)[1])
