"""A stack of Transformer layers: contract, its layers one by one, caches, memories."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.blocks.transformer_stack import TransformerStack
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(6)
B, T, S, D, HIDDEN, N = 3, 4, 5, 6, 8, 2
X = RNG.normal(size=(B, T, D)).astype("float32")
MEMORY = RNG.normal(size=(B, S, D)).astype("float32")
MASK = np.arange(T) < np.array([[4], [2], [3]])
MEMORY_MASK = np.arange(S) < np.array([[5], [1], [3]])
OPTIONS = {"num_layers": 2, "num_heads": N, "hidden_units": HIDDEN}
DECODER = {**OPTIONS, "causal": True, "cross_attention": True}
ATTENTION = 4 * (D * D + D)
REST = D * HIDDEN + HIDDEN + HIDDEN * D + D


@with_and_without_xla
@pytest.mark.covers("TransformerStack", kind="contract")
def test_contract(jit_compile):
    check_layer_contract(
        lambda: TransformerStack(**OPTIONS, activation="gelu", epsilon=1e-3),
        {"inputs": X},
        parameters=2 * (ATTENTION + REST + 2 * 2 * D) + 2 * D,
        masks={"inputs": "mask"},
        zero_when_masked=False,
        jit_compile=jit_compile,
    )


def test_contract_of_a_decoder():
    check_layer_contract(
        lambda: TransformerStack(**DECODER, norm="post"),
        {"inputs": X, "memory": MEMORY},
        parameters=2 * (2 * ATTENTION + REST + 3 * 2 * D),
        masks={"inputs": "mask", "memory": "memory_mask"},
        zero_when_masked=False,
    )


@pytest.mark.covers("TransformerStack", kind="oracle")
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_is_its_layers_in_turn(norm):
    """Each layer has an oracle of its own; the last norm is Keras' formula, in NumPy."""
    stack = TransformerStack(**DECODER, norm=norm)
    options = {"mask": MASK, "memory_mask": MEMORY_MASK}
    found = ops.convert_to_numpy(stack(X, memory=MEMORY, **options))
    y = X
    for layer in stack.layers:
        y = layer(y, memory=MEMORY, **options)
    y = ops.convert_to_numpy(y)
    if norm == "pre":
        y = y - y.mean(-1, keepdims=True)
        y = y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found[MASK], y[MASK], atol=1e-5)
    assert (stack.last_norm is None) == (norm == "post")


def test_caches_give_what_the_whole_gives():
    stack = TransformerStack(**DECODER)
    whole = stack(X, memory=MEMORY, memory_mask=MEMORY_MASK, return_attention_scores=True)
    memory = stack.prepare(ops.convert_to_tensor(MEMORY), ops.convert_to_tensor(MEMORY_MASK))
    caches = stack.start(B)
    for t in range(T):
        output, caches = stack.step(ops.convert_to_tensor(X[:, t : t + 1]), caches, memory)
        np.testing.assert_allclose(output.x[:, 0], whole.x[:, t], atol=1e-5)
        for layer in range(2):
            np.testing.assert_allclose(
                output.other[layer][:, :, 0], whole.other[layer][:, :, t], atol=1e-6
            )
    assert tuple(caches[0].keys.shape) == (B, N, T, D // N)


def test_without_a_memory():
    stack = TransformerStack(**OPTIONS, causal=True)
    whole = stack(X, return_attention_scores=True)
    assert (len(whole.own), whole.other) == (2, [])
    caches = stack.start(B)
    for t in range(T):
        output, caches = stack.step(ops.convert_to_tensor(X[:, t : t + 1]), caches)
        np.testing.assert_allclose(output.x[:, 0], whole.x[:, t], atol=1e-5)


def test_at_least_one_layer():
    with pytest.raises(ValueError, match="num_layers: expected at least 1, got 0"):
        TransformerStack(0, N, HIDDEN)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_weights_made_in_blocks_change_nothing(norm):
    whole, blocks = (TransformerStack(**DECODER, norm=norm, chunk_size=size) for size in (None, 2))
    inputs = {"inputs": X, "memory": MEMORY, "mask": MASK, "memory_mask": MEMORY_MASK}
    for stack in (whole, blocks):
        stack(**inputs)
    blocks.set_weights(whole.get_weights())
    results = [
        value_and_gradients(
            lambda x, memory, stack=stack: ops.sum(
                stack(x, memory=memory, mask=MASK, memory_mask=MEMORY_MASK) ** 2
            ),
            [X, MEMORY],
            stack.trainable_variables,
        )
        for stack in (whole, blocks)
    ]
    for expected, got in zip(*map(keras.tree.flatten, results), strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-5)
    assert blocks(**inputs, return_attention_scores=True).own[0].shape == (B, N, T, T)
