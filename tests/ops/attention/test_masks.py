import numpy as np
import pytest
from keras import ops

from seqkeras.ops.attention import Visibility, additive, from_visible
from seqkeras.ops.attention.masks import visible
from seqkeras.ops.masks import HIDDEN, both
from tests.ops.attention import naive

B, N, T, S = 2, 3, 4, 5
RNG = np.random.default_rng(0)
KEYS = np.arange(S) < np.array([[5], [3]])
PATTERN = RNG.random((B, N, T, S)) < 0.6
PARTS = {
    "keys": Visibility(KEYS),
    "pattern": Visibility(pattern=PATTERN),
    "pattern of all": Visibility(pattern=PATTERN[0, 0]),
    "causal": Visibility(causal=True),
    "causal, later queries": Visibility(causal=True, offset=2),
    "causal, earlier queries": Visibility(causal=True, offset=-2),
    "window": Visibility(window=2),
    "window, later queries": Visibility(window=2, offset=3),
    "everything": Visibility(KEYS, PATTERN, True, 3, 1),
}
parts_of_all_kinds = pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)


def whole(mask, heads=N):
    return np.broadcast_to(ops.convert_to_numpy(mask), (B, heads, T, S))


@parts_of_all_kinds
def test_visible_is_the_rule(parts):
    expected = whole(naive.visible(B, T, S, parts))
    np.testing.assert_array_equal(whole(visible(parts, T, S)), expected)


@parts_of_all_kinds
def test_the_mask_of_a_block_is_its_rows(parts):
    begin, rows = 1, 2
    block = parts
    if parts.pattern is not None:
        block = parts._replace(pattern=parts.pattern[..., begin : begin + rows, :])
    mask = np.broadcast_to(visible(block, rows, S, begin), (B, N, rows, S))
    np.testing.assert_array_equal(mask, whole(visible(parts, T, S))[:, :, begin : begin + rows])


@parts_of_all_kinds
def test_additive_hides_what_is_not_visible_and_rows_that_see_nothing(parts):
    seen = whole(naive.visible(B, T, S, parts))
    mask = additive(parts, T, S)
    np.testing.assert_array_equal(whole(mask.bias), np.where(seen, 0.0, np.float32(HIDDEN)))
    rows = 1.0 if mask.rows is None else ops.convert_to_numpy(mask.rows)
    rows = np.broadcast_to(rows, (B, N, T, 1))
    np.testing.assert_array_equal(rows[..., 0], seen.any(-1))


def test_masked_queries_are_rows_that_see_nothing():
    queries = np.arange(T) < np.array([[4], [1]])
    for parts in (Visibility(), Visibility(KEYS), Visibility(causal=True)):
        mask = additive(parts._replace(queries=queries), T, S)
        rows = np.broadcast_to(ops.convert_to_numpy(mask.rows), (B, 1, T, 1))
        np.testing.assert_array_equal(rows[:, 0, :, 0], queries)
        without = additive(parts, T, S)
        assert (mask.bias is None) == (without is None)


def test_a_hidden_score_has_weight_zero_exactly():
    assert np.exp(np.float32(1e4) + np.float32(HIDDEN)) == 0.0


def test_what_hides_nothing_is_none():
    assert visible(Visibility(), T, S) is None
    assert additive(Visibility(), T, S) is None
    assert from_visible(None) is None


def test_causal_alone_leaves_no_row_without_a_key():
    assert additive(Visibility(causal=True), T, S).rows is None
    assert additive(Visibility(causal=True, offset=-1), T, S).rows is not None


def test_masks_of_zeros_and_ones_are_taken_too():
    parts = Visibility(KEYS.astype("int32"), PATTERN.astype("float32"))
    expected = whole(naive.visible(B, T, S, Visibility(KEYS, PATTERN)))
    np.testing.assert_array_equal(whole(visible(parts, T, S)), expected)


def test_no_part_makes_more_than_it_says():
    """A mask of keys stays a row, a rule has no batch."""
    assert visible(Visibility(KEYS), T, S).shape == (B, 1, 1, S)
    assert visible(Visibility(causal=True, window=2), T, S).shape == (1, 1, T, S)


def test_both_is_and():
    yes, no = np.array([True, True]), np.array([True, False])
    np.testing.assert_array_equal(both(yes, no), no)
    assert both(None, None) is None
    assert both(yes, None) is yes
    assert both(None, no) is no
