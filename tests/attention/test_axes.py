"""Attention over some of several axes, such as those of pictures `(B, height, width, D)`."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.attention.axes import AttentionAxes
from seqkeras.layers import MultiHeadAttention
from tests.attention.numpy_heads import randomized

B, H, W, V, D, N = 2, 3, 4, 5, 6, 2
RNG = np.random.default_rng(0)
QUERY, VALUE = (RNG.normal(size=(B, H, n, D)).astype("float32") for n in (W, V))
REAL = np.arange(V) < RNG.integers(1, V + 1, (B, H, 1))


def built(rank=4, axes=None, **options):
    layer = MultiHeadAttention(N, 3, attention_axes=axes, **options)
    layer.build(*[(*[None] * (rank - 1), D)] * 2)
    return randomized(layer)


def flat(layer):
    """The layer for sequences `(B, T, D)` with the same weights."""
    sequences = built(rank=3)
    sequences.set_weights(layer.get_weights())
    return sequences


@pytest.mark.parametrize(
    ("rank", "axes"), [(3, None), (4, None), (4, (2,)), (4, (1,)), (4, (2, 1)), (5, (1, 3))]
)
def test_unfold_undoes_fold(rank, axes):
    sizes = (2, 3, 4, 5, 6)[:rank]
    x = RNG.normal(size=sizes).astype("float32")
    folds = AttentionAxes(rank, axes)
    folded = folds.fold(x)
    assert len(folded.shape) == 3
    np.testing.assert_array_equal(folds.unfold(folded, x), x)
    mask = x[..., 0]
    np.testing.assert_array_equal(folds.fold(mask), ops.convert_to_numpy(folded)[..., 0])


@pytest.mark.parametrize("axes", [2, -2])
def test_over_one_axis_each_row_is_a_sequence(axes):
    layer = built(axes=axes)
    output, weights = layer(QUERY, VALUE, value_mask=REAL, return_attention_scores=True)
    assert tuple(weights.shape) == (B, H, N, W, V)
    for h in range(H):
        row = flat(layer)(
            QUERY[:, h], VALUE[:, h], value_mask=REAL[:, h], return_attention_scores=True
        )
        np.testing.assert_allclose(output[:, h], row[0], atol=1e-5)
        np.testing.assert_allclose(weights[:, h], row[1], atol=1e-5)


def test_over_all_axes_the_pixels_are_a_sequence_row_by_row():
    layer = built()
    output, weights = layer(
        QUERY, VALUE, value_mask=REAL, use_causal_mask=True, return_attention_scores=True
    )
    assert tuple(weights.shape) == (B, N, H, W, H, V)
    pixels = [x.reshape(B, -1, *x.shape[3:]) for x in (QUERY, VALUE, REAL)]
    expected = flat(layer)(
        *pixels[:2], value_mask=pixels[2], use_causal_mask=True, return_attention_scores=True
    )
    np.testing.assert_allclose(output, np.reshape(expected[0], output.shape), atol=1e-5)
    np.testing.assert_allclose(weights, np.reshape(expected[1], weights.shape), atol=1e-5)


@pytest.mark.parametrize("axes", [(2,), (1, 2), None])
def test_equals_keras_with_its_weights(axes):
    ours = built(axes=axes, use_gate=True)
    theirs = keras.layers.MultiHeadAttention(N, 3, attention_axes=axes, use_gate=True)
    theirs.build(QUERY.shape, VALUE.shape)
    theirs.set_weights(ours.get_weights())
    over_both = axes != (2,)
    shape = (B, N, H, W, H, V) if over_both else (B, H, N, W, V)
    pattern = RNG.random(shape) < 0.7
    pattern[..., 0] = True  # K01: every query sees something
    options = {"attention_mask": pattern, "return_attention_scores": True}
    for found, expected in zip(
        ours(QUERY, VALUE, **options), theirs(QUERY, VALUE, **options), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("lead", range(4))
def test_a_pattern_may_lack_axes_before_those_attended_over(lead):
    """`(T, S)`, `(B, T, S)`, `(B, H, T, S)`, `(B, H, N, T, S)`."""
    layer = built(axes=2)
    full = RNG.random((B, H, N, W, V)) < 0.6
    pattern = full[(slice(None),) * lead + (0,) * (3 - lead)]
    wide = pattern.reshape(*pattern.shape[:lead], *[1] * (3 - lead), W, V)
    found = layer(QUERY, VALUE, attention_mask=pattern)
    expected = layer(QUERY, VALUE, attention_mask=np.broadcast_to(wide, full.shape))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_padding_of_nan_changes_nothing():
    layer = built(axes=2)
    queries = np.arange(W) < RNG.integers(0, W + 1, (B, H, 1))
    nan = [
        np.where(mask[..., None], x, np.nan).astype("float32")
        for x, mask in ((QUERY, queries), (VALUE, REAL))
    ]
    masks = {"query_mask": queries, "value_mask": REAL}
    np.testing.assert_array_equal(layer(*nan, **masks), layer(QUERY, VALUE, **masks))


def test_symbolic_shapes_are_those_of_values():
    for axes in (None, 2, (1,)):
        layer = built(axes=axes)
        call = (QUERY, VALUE) if axes != (1,) else (QUERY, QUERY)
        found = layer(*call, return_attention_scores=True)
        symbols = [keras.KerasTensor(x.shape) for x in call]
        expected = layer(*symbols, return_attention_scores=True)
        assert [tuple(x.shape) for x in found] == [tuple(x.shape) for x in expected]


@pytest.mark.parametrize("axes", [(0,), (3,), (-1,), ()])
def test_axes_of_the_batch_or_the_features_raise(axes):
    with pytest.raises(ValueError, match="attention_axes: expected axes between the first and the"):
        AttentionAxes(4, axes)


def test_other_axes_must_be_of_one_size():
    with pytest.raises(ValueError, match="expected query and value of one size on axis 1.*3 and 2"):
        MultiHeadAttention(N, 3, attention_axes=2)(QUERY, VALUE[:, 1:])


@pytest.mark.parametrize("rank", [1, 6])
def test_a_pattern_of_a_wrong_rank_raises(rank):
    with pytest.raises(ValueError, match="attention_mask: expected 2 to 5 axes, got shape"):
        built(axes=2)(QUERY, VALUE, attention_mask=np.ones((1,) * rank, bool))
