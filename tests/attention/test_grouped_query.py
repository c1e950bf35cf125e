"""Values of grouped-query attention; masks and options: `test_head_options.py`."""

import numpy as np
import pytest
from keras import ops

from seqkeras.layers import GroupQueryAttention, MultiHeadAttention
from tests.attention import numpy_heads
from tests.attention.numpy_heads import randomized
from tests.contract import check_layer_contract, with_and_without_xla

B, T, S, N = 3, 4, 5, 4
DQ, DV, DK, D = 6, 3, 4, 5
REAL = np.arange(S) < np.array([[5], [3], [1]])
GROUPS = pytest.mark.parametrize("groups", [1, 2, N])


@pytest.fixture
def tensors():
    """Query `(B, T, Dq)`, value `(B, S, Dv)` and key `(B, S, Dk)`: all of different sizes."""
    rng = np.random.default_rng(0)
    shapes = [(B, T, DQ), (B, S, DV), (B, S, DK)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def built(tensors, groups, **options):
    layer = GroupQueryAttention(D, N, groups, **options)
    layer.build(*(x.shape for x in tensors))
    return randomized(layer)


@pytest.mark.covers("GroupQueryAttention", kind="oracle")
@GROUPS
def test_equals_a_loop_over_heads(tensors, groups):
    layer = built(tensors, groups)
    found = layer(*tensors, value_mask=REAL, return_attention_scores=True)
    expected = numpy_heads.heads(layer, *tensors, visible=REAL[:, None, None])
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@GROUPS
def test_is_multi_head_attention_whose_heads_have_keys_and_values_in_common(tensors, groups):
    """With N groups the same weights, with one multi-query attention."""
    layer = built(tensors, groups, use_gate=True)
    multi_head = MultiHeadAttention(N, D, use_gate=True)
    multi_head.build(*(x.shape for x in tensors))
    multi_head.set_weights(
        [np.repeat(w, N // w.shape[-2], axis=-2) for w in layer.get_weights()[:-2]]
        + layer.get_weights()[-2:]
    )
    found = layer(*tensors, value_mask=REAL, use_causal_mask=True)
    expected = multi_head(*tensors, value_mask=REAL, use_causal_mask=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@GROUPS
def test_keys_and_values_of_the_memory_are_those_of_the_groups(tensors, groups):
    memory = built(tensors, groups).prepare(*map(ops.convert_to_tensor, tensors[1:]))
    assert [tuple(x.shape) for x in memory] == [(B, groups, S, D)] * 2


@GROUPS
def test_weights_are_those_of_the_formula(tensors, groups):
    for use_bias in (True, False):
        layer = built(tensors, groups, use_bias=use_bias)
        maps = D * (N * DQ + groups * (DK + DV) + N * DQ)
        assert layer.count_params() == maps + use_bias * (D * (N + 2 * groups) + DQ)


@pytest.mark.parametrize(("t", "s"), [(1, S), (T, 1), (0, S), (T, 0)])
@pytest.mark.parametrize("chunk_size", [None, 2])
def test_lengths_of_one_and_of_nothing(t, s, chunk_size):
    rng = np.random.default_rng(3)
    query, value = (rng.normal(size=(B, n, DQ)).astype("float32") for n in (t, s))
    layer = built([np.ones((B, T, DQ))] * 2, 2, chunk_size=chunk_size)
    output = ops.convert_to_numpy(layer(query, value))
    expected = numpy_heads.heads(layer, query, value)[0] if t and s else layer.output_dense.bias
    np.testing.assert_allclose(output, np.broadcast_to(expected, (B, t, DQ)), atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 4, 2), "`head_dim`: expected a positive integer, got 0"),
        ((5, 4.0, 2), "`num_query_heads`: expected a positive integer, got 4.0"),
        ((5, 4, -1), "`num_key_value_heads`: expected a positive integer, got -1"),
        ((5, 4, 3), "must be divisible by `num_key_value_heads`, got 4 and 3"),
    ],
)
def test_wrong_sizes_raise(sizes, message):
    with pytest.raises(ValueError, match=message):
        GroupQueryAttention(*sizes)


def test_values_and_keys_of_different_lengths_raise(tensors):
    query, value, key = tensors
    with pytest.raises(ValueError, match="lengths of value and key must be equal"):
        GroupQueryAttention(D, N, 2)(query, value, key[:, 1:])


@pytest.mark.covers("GroupQueryAttention", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("groups", [1, 2])
def test_contract(groups, jit_compile, tensors):
    check_layer_contract(
        # Without biases: that of the keys shifts all scores alike, so fit would not move it.
        lambda: GroupQueryAttention(D, N, groups, use_bias=False, use_gate=True),
        dict(zip(("query", "value", "key"), tensors, strict=True)),
        parameters=D * (3 * N * DQ + groups * (DK + DV)),
        masks={"query": "query_mask", "value": "value_mask", "key": "key_mask"},
        jit_compile=jit_compile,
    )
