"""Blocks of attention between sets: contract, the paper's equations in NumPy, permutations, masks.

X14: within a set it is the whole set that may be permuted, not the queries alone; across two sets
keys and values go together.
"""

import numpy as np
import pytest
from keras import ops

from seqkeras.attention.multi_head import MultiHeadAttention
from seqkeras.blocks.set_attention import (
    InducedSetAttentionBlock,
    MultiheadAttentionBlock,
    PoolingByMultiheadAttention,
    SetAttentionBlock,
)
from tests.contract import check_layer_contract, with_and_without_xla

RNG = np.random.default_rng(14)
B, T, S, D, DV, HIDDEN, N, M, K = 3, 4, 5, 6, 7, 10, 2, 3, 2
X = RNG.normal(size=(B, T, D)).astype("float32")
Y = RNG.normal(size=(B, S, DV)).astype("float32")
REAL_X = np.arange(T) < np.array([[4], [2], [3]])
REAL_Y = np.arange(S) < np.array([[5], [1], [3]])
FEED_FORWARD = D * HIDDEN + HIDDEN + HIDDEN * D + D
SAB = 4 * (D * D + D) + FEED_FORWARD + 2 * 2 * D  # with layer norm
OPTIONS = {"num_heads": N, "hidden_units": HIDDEN}
ENCODERS = {
    "sab": lambda **options: SetAttentionBlock(**OPTIONS, **options),
    "isab": lambda **options: InducedSetAttentionBlock(num_inducing=M, **OPTIONS, **options),
}


def pma(**options):
    return PoolingByMultiheadAttention(num_seeds=K, **OPTIONS, **options)


def randomised(layer, *inputs, **masks):
    """The layer, built, with random weights, so that biases and gains show."""
    layer(*inputs, **masks)
    rng = np.random.default_rng(1)
    layer.set_weights([0.5 * rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def numpy(x):
    return ops.convert_to_numpy(x)


# The equations once more, one set at a time.


def rff(x, layer):
    w, b, u, c = layer.get_weights()
    return np.maximum(x @ w + b, 0.0) @ u + c


def layer_norm(x, layer):
    gain, bias = layer.get_weights()
    x = x - x.mean(-1, keepdims=True)
    return gain * x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) + bias


def multihead(x, y, layer):
    q, q_b, k, k_b, v, v_b, o, o_b = layer.get_weights()
    output = np.zeros((len(x), o.shape[-1])) + o_b
    for n in range(q.shape[1]):
        queries, keys = x @ q[:, n] + q_b[n], y @ k[:, n] + k_b[n]
        weights = np.exp(queries @ keys.T / np.sqrt(q.shape[-1]))
        weights /= weights.sum(-1, keepdims=True)
        output += weights @ (y @ v[:, n] + v_b[n]) @ o[n]
    return output


def mab(x, y, block):
    norm = layer_norm if block.layer_norm else (lambda h, _: h)
    norms = block.norms or [None, None]
    h = norm(x + multihead(x, y, block.attention), norms[0])
    return norm(h + rff(h, block.feed_forward), norms[1])


def assert_sets_equal(result, real, expected):
    """What the layer gives for each set is `expected(row)`, and zeros for masked elements."""
    result = numpy(result)
    for row in range(B):
        wanted = expected(row)
        np.testing.assert_allclose(result[row][real[row]], wanted, rtol=2e-4, atol=2e-5)
        assert not result[row][~real[row]].any()


@pytest.mark.covers("MultiheadAttentionBlock", kind="oracle")
@pytest.mark.parametrize("layer_norm", [True, False])
def test_mab_equals_numpy(layer_norm):
    block = randomised(MultiheadAttentionBlock(**OPTIONS, layer_norm=layer_norm), X, Y)
    x, y = (np.where(r[:, :, None], v, np.nan) for v, r in ((X, REAL_X), (Y, REAL_Y)))
    result = block(x, y, query_mask=REAL_X, value_mask=REAL_Y)
    assert_sets_equal(result, REAL_X, lambda b: mab(X[b][REAL_X[b]], Y[b][REAL_Y[b]], block))


@pytest.mark.covers("SetAttentionBlock", kind="oracle")
@pytest.mark.parametrize("layer_norm", [True, False])
def test_sab_equals_numpy(layer_norm):
    layer = randomised(SetAttentionBlock(**OPTIONS, layer_norm=layer_norm), X)

    def expected(row):
        x = X[row][REAL_X[row]]
        return mab(x, x, layer.block)

    assert_sets_equal(layer(X, mask=REAL_X), REAL_X, expected)


@pytest.mark.covers("InducedSetAttentionBlock", kind="oracle")
@pytest.mark.parametrize("layer_norm", [True, False])
def test_isab_equals_numpy(layer_norm):
    layer = randomised(ENCODERS["isab"](layer_norm=layer_norm), X)
    points = numpy(layer.inducing_points)

    def expected(row):
        x = X[row][REAL_X[row]]
        return mab(x, mab(points, x, layer.gather), layer.spread)

    assert_sets_equal(layer(X, mask=REAL_X), REAL_X, expected)


@pytest.mark.covers("PoolingByMultiheadAttention", kind="oracle")
@pytest.mark.parametrize("layer_norm", [True, False])
def test_pma_equals_numpy(layer_norm):
    layer = randomised(pma(layer_norm=layer_norm), X)
    seeds = numpy(layer.seeds)

    def expected(row):
        return mab(seeds, rff(X[row][REAL_X[row]], layer.feed_forward), layer.block)

    assert_sets_equal(layer(X, mask=REAL_X), np.ones((B, K), bool), expected)


# Invariants.


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_are_equivariant(name):
    layer = randomised(ENCODERS[name](), X)
    order = np.array([2, 0, 3, 1])
    permuted = layer(X[:, order], mask=REAL_X[:, order])  # the padding moves too
    expected = numpy(layer(X, mask=REAL_X))[:, order]
    np.testing.assert_allclose(permuted, expected, rtol=1e-4, atol=1e-5)


def test_pma_is_invariant():
    layer = randomised(pma(), X)
    order = np.array([2, 0, 3, 1])
    permuted = layer(X[:, order], mask=REAL_X[:, order])
    np.testing.assert_allclose(permuted, layer(X, mask=REAL_X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*ENCODERS, "pma"])
def test_to_mask_an_element_is_to_remove_it(name):
    layer = randomised((ENCODERS | {"pma": pma})[name](), X)
    removed = 1  # not only at the end
    mask = np.arange(T) != removed
    result = numpy(layer(X, mask=np.tile(mask, (B, 1))))
    expected = layer(X[:, mask])
    kept = result if name == "pma" else result[:, mask]
    np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=1e-5)


def test_isab_with_the_set_as_its_points_is_mab_of_sab():
    one = X[:1]
    layer = randomised(InducedSetAttentionBlock(num_inducing=T, **OPTIONS), one)
    layer.inducing_points.assign(one[0])
    sab = randomised(SetAttentionBlock(**OPTIONS), one)
    sab.set_weights(layer.gather.get_weights())
    expected = layer.spread(one, sab(one))
    np.testing.assert_allclose(layer(one), expected, rtol=1e-5, atol=1e-6)


def test_self_attention_is_equivariant():
    """X14: Attn(PX) = P Attn(X)."""
    attention = randomised(MultiHeadAttention(N, 4), X, X)
    order = np.array([2, 0, 3, 1])
    permuted = attention(X[:, order], X[:, order])
    np.testing.assert_allclose(permuted, numpy(attention(X, X))[:, order], rtol=1e-4, atol=1e-5)
    # To permute the queries alone permutes the output as well; the values alone, nothing.
    np.testing.assert_allclose(attention(X[:, order], X), permuted, rtol=1e-4, atol=1e-5)


def test_cross_attention_is_invariant_to_a_permutation_of_keys_and_values():
    """X14: of both together; of the values alone it is not."""
    keys = RNG.normal(size=(B, S, 3)).astype("float32")
    attention = randomised(MultiHeadAttention(N, 4), X, Y, key=keys)
    order = np.array([4, 2, 0, 3, 1])
    expected = numpy(attention(X, Y, key=keys))
    both = attention(X, Y[:, order], key=keys[:, order])
    np.testing.assert_allclose(both, expected, rtol=1e-4, atol=1e-5)
    alone = numpy(attention(X, Y[:, order], key=keys))
    assert not np.allclose(alone, expected, atol=1e-2)


# Contract.


@with_and_without_xla
@pytest.mark.covers("MultiheadAttentionBlock", kind="contract")
def test_mab_contract(jit_compile):
    check_layer_contract(
        lambda: MultiheadAttentionBlock(**OPTIONS),
        {"query": X, "value": Y},
        parameters=SAB + 2 * D * (DV - D),
        masks={"query": "query_mask", "value": "value_mask"},
        jit_compile=jit_compile,
    )


@with_and_without_xla
@pytest.mark.covers("SetAttentionBlock", kind="contract")
def test_sab_contract(jit_compile):
    check_layer_contract(
        lambda: SetAttentionBlock(**OPTIONS, layer_norm=False),
        {"inputs": X},
        parameters=SAB - 2 * 2 * D,
        masks={"inputs": "mask"},
        jit_compile=jit_compile,
    )


@with_and_without_xla
@pytest.mark.covers("InducedSetAttentionBlock", kind="contract")
def test_isab_contract(jit_compile):
    check_layer_contract(
        lambda: ENCODERS["isab"](initializer="he_normal"),
        {"inputs": X},
        parameters=M * D + 2 * SAB,
        masks={"inputs": "mask"},
        jit_compile=jit_compile,
    )


@with_and_without_xla
@pytest.mark.covers("PoolingByMultiheadAttention", kind="contract")
def test_pma_contract(jit_compile):
    check_layer_contract(
        lambda: pma(initializer="he_normal"),
        {"inputs": X},
        parameters=K * D + FEED_FORWARD + SAB,
        masks={"inputs": "mask"},
        passes_mask=False,
        zero_when_masked=False,  # the seeds remain
        jit_compile=jit_compile,
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SetAttentionBlock(0), "num_heads: expected a positive integer, got 0"),
        (lambda: SetAttentionBlock(2, hidden_units=-1), "hidden_units: expected a positive"),
        (lambda: InducedSetAttentionBlock(2, num_inducing=0), "num_inducing: expected"),
        (lambda: PoolingByMultiheadAttention(2, num_seeds=1.5), "num_seeds: expected"),
        (lambda: SetAttentionBlock(4)(X), "whose size the 4 heads divide, got 6"),
    ],
)
def test_mistakes_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()
