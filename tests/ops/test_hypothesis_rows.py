import numpy as np
import pytest
from keras import ops

from seqkeras.ops.hypothesis_rows import HypothesisRows

X = np.arange(12.0, dtype="float32").reshape(4, 3)


def as_numpy(x):
    return ops.convert_to_numpy(x).tolist()


@pytest.mark.parametrize("places", [None, [0, 1, 2, 3]])
def test_where_all_are_rows_nothing_moves(places):
    places = None if places is None else ops.convert_to_tensor(places, dtype="int32")
    rows = HypothesisRows(2, 2, places)
    table = rows.spread(ops.convert_to_tensor(X))
    assert as_numpy(table) == X.reshape(2, 2, 3).tolist()
    assert as_numpy(rows.collect(table)) == X.tolist()


def test_some_are_rows():
    rows = HypothesisRows(2, 3, ops.convert_to_tensor([1, 3, 4, 5], dtype="int32"))
    table = rows.spread(ops.convert_to_tensor(X), fill=-1)
    expected = np.full((6, 3), -1.0)
    expected[[1, 3, 4, 5]] = X
    assert as_numpy(table) == expected.reshape(2, 3, 3).tolist()
    assert as_numpy(rows.collect(table)) == X.tolist()
    hypotheses = ops.convert_to_tensor([[1, 1], [2, 0]], dtype="int32")
    assert as_numpy(rows.of(hypotheses)) == [[0, 0], [3, 1]]


def test_no_example_and_no_row():
    rows = HypothesisRows(0, 3, ops.zeros((0,), "int32"))
    assert tuple(rows.spread(ops.zeros((0, 5))).shape) == (0, 3, 5)
    assert tuple(rows.collect(ops.zeros((0, 3, 5))).shape) == (0, 5)
