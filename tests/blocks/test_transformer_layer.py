"""One Transformer layer: contract, the equations in NumPy, causality, one position at a time."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.blocks.transformer_layer import TransformerLayer
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(5)
B, T, S, D, M, HIDDEN, N = 3, 4, 5, 6, 7, 10, 2
X = RNG.normal(size=(B, T, D)).astype("float32")
MEMORY = RNG.normal(size=(B, S, M)).astype("float32")
OPTIONS = {"num_heads": N, "hidden_units": HIDDEN}
ATTENTION = 4 * (D * D + D)
REST = D * HIDDEN + HIDDEN + HIDDEN * D + D
MASK = np.arange(T) < np.array([[4], [2], [3]])
MEMORY_MASK = np.arange(S) < np.array([[5], [1], [3]])


@with_and_without_xla
@pytest.mark.covers("TransformerLayer", kind="contract")
def test_contract(jit_compile):
    check_layer_contract(
        lambda: TransformerLayer(**OPTIONS, norm="post", activation="gelu", epsilon=1e-3),
        {"inputs": X},
        parameters=ATTENTION + REST + 2 * 2 * D,
        masks={"inputs": "mask"},
        zero_when_masked=False,
        jit_compile=jit_compile,
    )


@with_and_without_xla
def test_contract_with_a_memory(jit_compile):
    check_layer_contract(
        lambda: TransformerLayer(**OPTIONS, causal=True, cross_attention=True),
        {"inputs": X, "memory": MEMORY},
        parameters=2 * ATTENTION + 2 * D * (M - D) + REST + 3 * 2 * D,
        masks={"inputs": "mask", "memory": "memory_mask"},
        zero_when_masked=False,
        jit_compile=jit_compile,
    )


def layer_norm(x, weights):
    gain, bias = weights
    x = x - x.mean(-1, keepdims=True)
    return gain * x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) + bias


def attention(x, memory, weights, visible):
    """Head by head, position by position."""
    (q, q_b, k, k_b, v, v_b, o, o_b), output = weights, np.zeros_like(x)
    for b, t in np.ndindex(x.shape[:2]):
        output[b, t] = o_b
        seen = [s for s in range(memory.shape[1]) if visible(b, t, s)]
        for n in range(q.shape[1]):
            query = x[b, t] @ q[:, n] + q_b[n]
            scores = [query @ (memory[b, s] @ k[:, n] + k_b[n]) / q.shape[2] ** 0.5 for s in seen]
            alpha = np.exp(scores - np.max(scores))
            alpha /= alpha.sum()
            values = memory[b, seen] @ v[:, n] + v_b[n]
            output[b, t] += alpha @ values @ o[n]
    return output


def numpy_layer(layer, x, memory, norm):
    """The module's equations, with the weights of a layer."""

    def weights(part):
        return [ops.convert_to_numpy(w) for w in part.weights]

    def part(x, f, around):
        if norm == "pre":
            return x + f(layer_norm(x, weights(around)))
        return layer_norm(x + f(x), weights(around))

    own = weights(layer.self_attention)
    x = part(
        x,
        lambda x: attention(x, x, own, lambda b, t, s: s <= t and MASK[b, s]),
        layer.around_self,
    )
    other = weights(layer.memory_attention)
    x = part(
        x,
        lambda x: attention(x, memory, other, lambda b, t, s: MEMORY_MASK[b, s]),
        layer.around_memory,
    )
    w_1, b_1, w_2, b_2 = weights(layer.feed_forward)
    return part(x, lambda x: np.maximum(x @ w_1 + b_1, 0) @ w_2 + b_2, layer.around_feed_forward)


@pytest.mark.covers("TransformerLayer", kind="oracle")
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_equals_the_equations(norm):
    layer = TransformerLayer(**OPTIONS, norm=norm, causal=True, cross_attention=True)
    layer(X, memory=MEMORY)
    layer.set_weights([RNG.normal(size=w.shape) * 0.5 for w in layer.weights])
    found = ops.convert_to_numpy(layer(X, memory=MEMORY, mask=MASK, memory_mask=MEMORY_MASK))
    expected = numpy_layer(layer, X.astype("float64"), MEMORY.astype("float64"), norm)
    np.testing.assert_allclose(found[MASK], expected[MASK], rtol=1e-4, atol=1e-4)


def test_a_position_sees_no_later_one():
    layer = TransformerLayer(**OPTIONS, causal=True)
    layer(X)
    for t in range(T):
        by_output = np.zeros((B, T, D), "float32")
        by_output[:, t] = 1.0
        _, (gradient,), _ = value_and_gradients(
            lambda x, weigh=by_output: ops.sum(layer(x) * weigh), [X]
        )
        assert np.all(gradient[:, t + 1 :] == 0.0)
        assert np.all(np.abs(gradient[:, : t + 1]).max(-1) > 0.0)


def test_one_position_at_a_time_is_the_whole():
    layer = TransformerLayer(**OPTIONS, causal=True, cross_attention=True)
    whole = layer(X, memory=MEMORY, memory_mask=MEMORY_MASK, return_attention_scores=True)
    mask = layer.other_mask(MEMORY_MASK, MEMORY)
    prepared = layer.prepare(ops.convert_to_tensor(MEMORY))
    past = layer.self_attention.prepare(ops.convert_to_tensor(X[:, :0]))
    assert tuple(past.keys.shape) == (B, N, 0, D // N)
    for t in range(T):
        output, past = layer.step(ops.convert_to_tensor(X[:, t : t + 1]), past, prepared, mask)
        np.testing.assert_allclose(output.x[:, 0], whole.x[:, t], atol=1e-5)
        np.testing.assert_allclose(output.own[:, :, 0], whole.own[:, :, t, : t + 1], atol=1e-6)
        np.testing.assert_allclose(output.other[:, :, 0], whole.other[:, :, t], atol=1e-6)


def test_dropout_is_on_in_training_only():
    layer = TransformerLayer(
        **OPTIONS, dropout=0.5, attention_dropout=0.5, hidden_dropout=0.5, seed=1
    )
    calm = ops.convert_to_numpy(layer(X))
    np.testing.assert_array_equal(calm, ops.convert_to_numpy(layer(X)))
    assert np.abs(ops.convert_to_numpy(layer(X, training=True)) - calm).max() > 0.1


def test_what_does_not_go_together():
    with pytest.raises(ValueError, match="4 heads divide, got 6"):
        TransformerLayer(4, HIDDEN)(X)
    with pytest.raises(ValueError, match="cross_attention=True, expected a memory, got none"):
        TransformerLayer(**OPTIONS, cross_attention=True)(X)
    with pytest.raises(ValueError, match="cross_attention=False, expected no memory, got one"):
        TransformerLayer(**OPTIONS)(X, memory=MEMORY)
    with pytest.raises(ValueError, match="norm"):
        TransformerLayer(**OPTIONS, norm="between")(X)


def test_weights_of_a_pass():
    keras.utils.set_random_seed(2)
    layer = TransformerLayer(**OPTIONS)
    output = layer(X, mask=MASK, return_attention_scores=True)
    np.testing.assert_allclose(output.x, layer(X, mask=MASK), atol=1e-6)
    assert output.other is None
    weights = ops.convert_to_numpy(output.own)
    np.testing.assert_array_equal(weights * ~MASK[:, None, None], 0.0)
