"""Values and identities of multi-head attention; masks and options: `test_head_options.py`."""

import keras
import numpy as np
import pytest
from keras import ops, tree

from seqkeras.layers import MultiHeadAttention, ScaledDotAttention
from tests.attention import numpy_heads
from tests.attention.numpy_heads import randomized
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

B, T, S, N = 3, 4, 5, 2
DQ, DV, DK, D, E = 6, 3, 4, 5, 7
REAL = np.arange(S) < np.array([[5], [3], [1]])


@pytest.fixture
def tensors():
    """Query `(B, T, Dq)`, value `(B, S, Dv)` and key `(B, S, Dk)`: all of different sizes."""
    rng = np.random.default_rng(0)
    shapes = [(B, T, DQ), (B, S, DV), (B, S, DK)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def built(tensors, heads=N, size=D, **options):
    layer = MultiHeadAttention(heads, size, **options)
    layer.build(*(x.shape for x in tensors))
    return randomized(layer)


@pytest.mark.covers("MultiHeadAttention", kind="oracle")
@pytest.mark.parametrize("use_bias", [True, False])
def test_equals_a_loop_over_heads(tensors, use_bias):
    """X09: the scale is sqrt(D) of a head's queries, not that of Dq, Dv or all heads together."""
    layer = built(tensors, value_dim=2, output_shape=E, use_bias=use_bias)
    found = layer(*tensors, value_mask=REAL, return_attention_scores=True)
    expected = numpy_heads.heads(layer, *tensors, visible=REAL[:, None, None])
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"value_dim": 2, "output_shape": (3, 2)}, {"use_gate": True}]
)
def test_equals_keras_with_its_weights(tensors, options):
    """Values and gradients, by inputs and weights.

    With the scores: without, Keras' layer fails on JAX where values and keys differ in size.
    """
    ours = built(tensors, **options)
    theirs = keras.layers.MultiHeadAttention(N, D, **options)
    theirs.build(*(x.shape for x in tensors))
    theirs.set_weights(ours.get_weights())
    assert [w.path.split("/")[1:] for w in ours.weights] == [
        w.path.split("/")[1:] for w in theirs.weights
    ]

    def results(layer):
        def loss(*tensors):
            options = {"use_causal_mask": True, "return_attention_scores": True}
            return ops.sum(ops.sin(layer(*tensors, value_mask=REAL, **options)[0]))

        return value_and_gradients(loss, tensors, layer.trainable_variables)

    for found, expected in zip(*map(tree.flatten, map(results, (ours, theirs))), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_one_head_of_identity_maps_is_a_single_head():
    x = np.random.default_rng(1).normal(size=(2, B, S, D)).astype("float32")
    layer = MultiHeadAttention(1, D, use_bias=False)
    layer.build(x[0].shape, x[1].shape)
    eye = np.eye(D)
    layer.set_weights([eye[:, None], eye[:, None], eye[:, None], eye[None]])
    found = layer(*x, value_mask=REAL)
    np.testing.assert_allclose(found, ScaledDotAttention()(*x, value_mask=REAL), atol=1e-5)


def test_block_diagonal_maps_are_independent_heads():
    """Head n sees and writes its own D of the N D features, and nothing else."""
    x = np.random.default_rng(1).normal(size=(2, B, S, N * D)).astype("float32")
    layer = MultiHeadAttention(N, D, use_bias=False)
    layer.build(x[0].shape, x[1].shape)
    block = np.stack([np.eye(N * D)[:, n * D : (n + 1) * D] for n in range(N)], axis=1)
    layer.set_weights([block, block, block, np.moveaxis(block, 0, -1)])
    found = ops.convert_to_numpy(layer(*x))
    for n in range(N):
        part = slice(n * D, (n + 1) * D)
        alone = ScaledDotAttention()(*(y[..., part] for y in x))
        np.testing.assert_allclose(found[..., part], alone, atol=1e-5)


def test_permuting_the_heads_changes_nothing(tensors):
    layer = built(tensors, heads=4, use_gate=True)
    output, weights = layer(*tensors, return_attention_scores=True)
    order = [2, 0, 3, 1]
    *inner, kernel, bias = layer.get_weights()
    moved = [w[:, order] if w.ndim == 3 else w[order] for w in inner]
    layer.set_weights([*moved, kernel[order], bias])
    new_output, new_weights = layer(*tensors, return_attention_scores=True)
    np.testing.assert_allclose(new_output, output, atol=1e-5)
    np.testing.assert_allclose(new_weights, ops.convert_to_numpy(weights)[:, order], atol=1e-6)


def test_scores_of_self_attention_are_not_symmetric_unless_the_maps_are_equal(tensors):
    """X24: queries and keys are of the same source, by different projections."""
    x = tensors[0]
    layer = MultiHeadAttention(1, D, activation="identity")  # its weights are the scores
    layer.build(x.shape, x.shape)
    scores = ops.convert_to_numpy(layer(x, x, return_attention_scores=True)[1])
    assert np.abs(scores - np.swapaxes(scores, 2, 3)).max() > 0.01
    layer.key_dense.set_weights(layer.query_dense.get_weights())
    scores = ops.convert_to_numpy(layer(x, x, return_attention_scores=True)[1])
    np.testing.assert_allclose(scores, np.swapaxes(scores, 2, 3), atol=1e-5)


def test_weights_are_those_of_the_formula(tensors):
    for use_bias in (True, False):
        for use_gate in (True, False):
            layer = built(
                tensors, value_dim=2, output_shape=E, use_bias=use_bias, use_gate=use_gate
            )
            maps = (DQ + DK) * N * D + DV * N * 2 + N * 2 * E
            maps += use_gate * DQ * N * 2
            biases = 2 * N * D + N * 2 + E + use_gate * N * 2
            assert layer.count_params() == maps + use_bias * biases


def test_keys_are_the_values_by_default(tensors):
    query, value, _ = tensors
    layer = built([query, value])
    np.testing.assert_array_equal(layer(query, value), layer(query, value, value))


def test_prepare_and_attend_are_call_in_parts(tensors):
    query, value, key = tensors
    layer = built(tensors)
    output, weights = layer(query, value, key, return_attention_scores=True)
    memory = layer.prepare(ops.convert_to_tensor(value), ops.convert_to_tensor(key))
    assert tuple(memory.keys.shape) == (B, N, S, D)
    for t in range(T):
        step, step_weights = layer.attend(ops.convert_to_tensor(query[:, t : t + 1]), memory)
        np.testing.assert_allclose(step[:, 0], output[:, t], atol=1e-5)
        np.testing.assert_allclose(step_weights[:, :, 0], weights[:, :, t], atol=1e-6)


def test_a_bias_is_added_to_the_scores(tensors):
    query, value, key = map(ops.convert_to_tensor, tensors)
    layer = built(tensors)
    memory = layer.prepare(value, key)
    seen = np.random.default_rng(2).random((N, T, S)) < 0.6
    seen[:, :, 0] = True
    hidden = np.where(seen, 0.0, -1e9).astype("float32")
    found, _ = layer.attend(query, memory, bias=hidden)
    np.testing.assert_allclose(found, layer(*tensors, attention_mask=seen[None]), atol=1e-5)


@pytest.mark.parametrize(("t", "s"), [(1, S), (T, 1), (1, 1), (0, S), (T, 0)])
@pytest.mark.parametrize("chunk_size", [None, 2])
def test_lengths_of_one_and_of_nothing(t, s, chunk_size):
    rng = np.random.default_rng(3)
    query, value = (rng.normal(size=(B, n, DQ)).astype("float32") for n in (t, s))
    layer = built([np.ones((B, T, DQ))] * 2, chunk_size=chunk_size)
    output = ops.convert_to_numpy(layer(query, value))
    assert output.shape == (B, t, DQ)
    expected = numpy_heads.heads(layer, query, value)[0] if t and s else layer.output_dense.bias
    np.testing.assert_allclose(output, np.broadcast_to(expected, output.shape), atol=1e-5)


def test_an_empty_batch(tensors):
    assert tuple(built(tensors)(*(x[:0] for x in tensors)).shape) == (0, T, DQ)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(B, T, DQ), (B, S, DV), (B, S + 1, DK)], "lengths of value and key must be equal"),
        ([(B, T, 2, DQ), (B, S, DV)], "query and value of one rank"),
        ([(B, DQ), (B, DV)], "query and value of one rank, at least 3"),
    ],
)
def test_wrong_shapes_raise(shapes, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(N, D)(*(np.ones(shape, "float32") for shape in shapes))
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(N, D)(*(keras.Input(shape[1:]) for shape in shapes))


@pytest.mark.covers("MultiHeadAttention", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        # Without biases: that of the keys shifts all scores alike, so fit would not move it.
        (
            {"value_dim": 2, "output_shape": E, "use_bias": False, "sliding_window": 4},
            N * (D * (DQ + DK) + 2 * (DV + E)),
        ),
        (
            {"activation": "sigmoid", "use_gate": True, "kernel_initializer": "he_normal"},
            N * D * (DQ + 1 + DK + 1 + DQ + 1 + DV + 1) + (N * D + 1) * DQ,
        ),
    ],
    ids=["softmax", "sigmoid"],
)
def test_contract(options, parameters, jit_compile, tensors):
    check_layer_contract(
        lambda: MultiHeadAttention(N, D, **options),
        dict(zip(("query", "value", "key"), tensors, strict=True)),
        parameters=parameters,
        masks={"query": "query_mask", "value": "value_mask", "key": "key_mask"},
        zero_when_masked=not options.get("use_bias", True),
        jit_compile=jit_compile,
    )
