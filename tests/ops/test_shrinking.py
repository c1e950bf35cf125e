import numpy as np
import pytest
from keras import ops

from seqkeras.ops import shrinking


def countdown(counts):
    """Adds 1 to every row until it has been counted down; returns the sums by place."""
    counts = ops.convert_to_tensor(counts, dtype="int32")
    size = counts.shape[0]

    def body(places, left, names, sums):
        sums = ops.scatter_update(
            sums, places[:, None], ops.take(sums, places) + ops.cast(left > 0, "int32")
        )
        left = left - 1
        rows = shrinking.places_to_keep(left > 0, 2)
        names = shrinking.keep(names, rows, ops.shape(places)[0])
        return ops.take(places, rows), ops.take(left, rows), names, sums

    places = ops.arange(size, dtype="int32")
    start = (places, counts, {"name": 10 * places[:, None]}, ops.zeros((size,), dtype="int32"))
    return shrinking.while_loop(lambda _, left, *__: ops.any(left > 0), body, start)


@pytest.mark.parametrize("counts", [[3, 1, 7, 2], [5], [1, 1], [2, 2, 2, 2, 2, 2, 2, 2, 2, 1]])
def test_every_row_runs_as_long_as_it_must(counts):
    places, _, names, sums = countdown(counts)
    assert np.asarray(sums).tolist() == counts
    np.testing.assert_array_equal(np.asarray(names["name"])[:, 0], 10 * np.asarray(places))


@pytest.mark.tensorflow
def test_in_a_graph_that_knew_the_size():
    import tensorflow as tf

    found = tf.function(lambda: countdown([3, 1, 7, 2])[3], autograph=False)()
    assert found.numpy().tolist() == [3, 1, 7, 2]


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("wanted", "unit", "kept"),
    [
        ([0, 1, 0, 1], 1, [1, 3]),
        ([0, 1, 0, 1], 2, [1, 3]),
        ([0, 1, 0, 1], 3, [0, 1, 3]),
        ([0, 0, 0, 1, 1], 4, [0, 1, 3, 4]),
        ([1, 1, 0], 9, [0, 1, 2]),
        ([0, 0, 0], 2, []),
        ([], 1, []),
    ],
)
def test_what_is_kept_fills_units(wanted, unit, kept):
    found = shrinking.places_to_keep(ops.convert_to_tensor(np.array(wanted, "bool")), unit)
    assert np.asarray(found).tolist() == kept


@pytest.mark.tensorflow
def test_keep_does_not_copy_if_all_stay():
    entry = ops.convert_to_tensor(np.arange(3))
    kept = shrinking.keep((entry,), ops.convert_to_tensor([0, 1, 2]), 3)
    assert kept[0] is entry
    assert np.asarray(shrinking.keep((entry,), ops.convert_to_tensor([2]), 3)[0]).tolist() == [2]
    assert shrinking.keep((), ops.convert_to_tensor([2]), 3) == ()
