"""The pieces that chunked attention cuts queries into read the visible keys, and no more."""

import numpy as np
import pytest

from seqkeras.ops.attention import Visibility
from seqkeras.ops.attention.chunked import _Piece, _segments, _visible_keys
from tests.ops.attention import naive

T, S = 64, 60
RULES = {
    "causal": Visibility(causal=True),
    "window": Visibility(window=5),
    "causal window": Visibility(causal=True, window=5),
    "later": Visibility(causal=True, window=9, offset=7),
    "earlier": Visibility(window=3, offset=-20),
}


def pieces(parts, rows=4):
    query, key = np.zeros((1, 1, T, 2), "float32"), np.zeros((1, 1, S, 2), "float32")
    return list(_segments(_Piece(0, query, key, key, parts, None), rows))


@pytest.mark.parametrize("name", RULES)
def test_keys_are_those_that_a_query_of_the_piece_sees(name):
    parts = RULES[name]
    seen = naive.visible(1, T, S, parts)[0, 0]
    for begin in range(0, T, 8):
        first, stop = _visible_keys(parts, begin, begin + 8, S)
        columns = np.flatnonzero(seen[begin : begin + 8].any(0))
        if len(columns):
            assert (first, stop) == (columns[0], columns[-1] + 1)
        else:
            assert first == stop


@pytest.mark.parametrize("name", RULES)
def test_pieces_are_all_queries_in_turn(name):
    found = pieces(RULES[name])
    begins = [piece.begin for piece in found]
    ends = [piece.begin + piece.query.shape[2] for piece in found]
    assert begins[0] == 0
    assert ends[-1] == T
    assert begins[1:] == ends[:-1]


def test_a_window_costs_what_it_is_wide():
    def products(parts):
        return sum(piece.query.shape[2] * piece.key.shape[2] for piece in pieces(parts))

    assert products(Visibility()) == T * S
    assert products(Visibility(window=3)) < 0.25 * T * S
    assert products(Visibility(causal=True)) <= 0.65 * T * S
