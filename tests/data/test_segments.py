import itertools

import numpy as np
import pytest
import tensorflow as tf

from seqkeras.data.segments import SegmentBatches

IDS = np.arange(100, 124, dtype="int32")


def take(dataset, count):
    return [(x.numpy(), y.numpy()) for x, y in itertools.islice(dataset, count)]


def assert_same_batches(some, others):
    assert len(some) == len(others)
    tf.nest.map_structure(np.testing.assert_array_equal, some, others)


@pytest.mark.parametrize("streams", [1, 2, 3, 5, 23])
@pytest.mark.parametrize("segment_length", [1, 3, 4, 100])
def test_the_segments_of_a_row_are_a_stream(streams, segment_length):
    batches = SegmentBatches(IDS[:-1], IDS[1:], segment_length, streams)
    segments = take(batches.evaluation_dataset(), 1000)
    assert len(segments) == batches.steps_per_epoch
    assert all(len(x) == streams for x, _ in segments)
    assert {x.shape[1] for x, _ in segments[:-1]} <= {segment_length}
    x, y = (np.concatenate(parts, axis=1) for parts in zip(*segments, strict=True))
    np.testing.assert_array_equal(x.ravel(), IDS[:-1][: x.size])  # streams one after the other
    np.testing.assert_array_equal(y, x + 1)
    assert batches.left_out == 23 - x.size == 23 % streams


def test_steps_may_be_vectors_and_targets_of_another_kind():
    x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    y = np.arange(12, dtype="int64")
    batches = SegmentBatches(x, y, segment_length=2, streams=3)
    (first, labels), *_ = take(batches.evaluation_dataset(), 2)
    np.testing.assert_array_equal(first, [x[0:2], x[4:6], x[8:10]])
    np.testing.assert_array_equal(labels, [[0, 1], [4, 5], [8, 9]])


def test_epochs_are_alike_and_without_end():
    batches = SegmentBatches(IDS[:-1], IDS[1:], segment_length=4, streams=2)
    one = take(batches.evaluation_dataset(), 10)
    assert len(one) == 3
    assert_same_batches(take(batches.dataset(), 9), one * 3)
    assert batches.dataset().cardinality() == tf.data.INFINITE_CARDINALITY
    assert batches.evaluation_dataset().cardinality() == 3


@pytest.mark.parametrize(("epoch", "step"), [(0, 0), (0, 2), (3, 1), (1, 4)])
def test_a_run_goes_on_from_any_position(epoch, step):
    batches = SegmentBatches(IDS[:-1], IDS[1:], segment_length=4, streams=2)
    whole = take(batches.dataset(), 15)
    position = epoch * 3 + step
    assert_same_batches(take(batches.dataset(epoch, step), 15 - position), whole[position:])


def test_the_batch_size_is_known_before_a_batch_is():
    """Which a stateful layer needs."""
    dataset = SegmentBatches(IDS[:-1], IDS[1:], segment_length=4, streams=2).dataset()
    assert [spec.shape.as_list() for spec in dataset.element_spec] == [[2, None]] * 2


def test_a_file_is_read_where_it_is(tmp_path):
    IDS.tofile(tmp_path / "ids")
    stream = np.memmap(tmp_path / "ids", IDS.dtype, mode="r")
    batches = SegmentBatches(stream[:-1], stream[1:], segment_length=4, streams=2)
    assert all(np.shares_memory(array, stream) for array in batches._arrays)
    in_memory = SegmentBatches(IDS[:-1], IDS[1:], segment_length=4, streams=2)
    assert_same_batches(take(batches.dataset(), 5), take(in_memory.dataset(), 5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((IDS, IDS[1:], 3, 2), "pass x.:-1. and x.1:."),
        ((IDS, IDS, 0, 2), "segment_length=0"),
        ((IDS, IDS, 3, 0), "streams=0"),
        ((IDS, IDS, 3, 25), "streams=25, 24 steps"),
    ],
)
def test_what_cannot_be_cut_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        SegmentBatches(*arguments)


def test_a_position_counts_from_0():
    with pytest.raises(ValueError, match="step=-1"):
        SegmentBatches(IDS, IDS, 3, 2).dataset(0, -1)
