import numpy as np
import pytest
import tensorflow as tf

from seqkeras.data.position_batches import ArrayBatches, GeneratedBatches

pytestmark = pytest.mark.tensorflow


def array_batches(count=10, batch_size=3, **options):
    rows = np.arange(count)
    return ArrayBatches(rows, -rows, batch_size, **{"seed": 5, **options})


def draw(rng, batch_size):
    return rng.random((batch_size, 2), dtype=np.float32), rng.integers(9, size=batch_size)


def taken(dataset, count):
    return [tuple(part.numpy() for part in batch) for batch in dataset.take(count)]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


KINDS = {
    "arrays": lambda seed: array_batches(seed=seed, steps_per_epoch=4),
    "generated": lambda seed: GeneratedBatches(draw, 3, steps_per_epoch=4, seed=seed),
}


@pytest.mark.parametrize("kind", KINDS)
def test_batches_follow_from_seed_and_position(kind):
    run = taken(KINDS[kind](5).dataset(), 12)
    for epoch, step in ((0, 1), (0, 3), (1, 0), (2, 1)):
        position = 4 * epoch + step
        assert_same(taken(KINDS[kind](5).dataset(epoch, step), 3), run[position : position + 3])
    other = taken(KINDS[kind](6).dataset(), 12)
    assert any((a[0] != b[0]).any() for a, b in zip(run, other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_they_never_end_and_have_one_static_shape(kind):
    dataset = KINDS[kind](5).dataset()
    assert int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY
    assert all(spec.shape.is_fully_defined() for spec in dataset.element_spec)


def test_a_pass_holds_no_example_twice_and_each_pass_has_its_order():
    batches = taken(array_batches().dataset(), 9)
    passes = [np.concatenate([x for x, _ in batches[i : i + 3]]) for i in (0, 3, 6)]
    for rows in passes:
        assert len(set(rows)) == 9  # one of ten is left out
    assert len({tuple(rows) for rows in passes}) == 3
    for x, y in batches:
        np.testing.assert_array_equal(y, -x)


def test_the_length_of_an_epoch_does_not_change_the_batches():
    assert array_batches().steps_per_epoch == 3
    short, long = array_batches(steps_per_epoch=2), array_batches(steps_per_epoch=7)
    assert_same(taken(short.dataset(epoch=3), 4), taken(long.dataset(step=6), 4))


def test_evaluation_goes_through_all_examples_in_order():
    batches = taken(array_batches().evaluation_dataset(), 99)
    assert [len(x) for x, _ in batches] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), np.arange(10))
    assert int(array_batches().evaluation_dataset().cardinality()) == 4


def test_the_transform_sees_inputs_only():
    batches = array_batches(transform=lambda x: 10 * x)
    for dataset in (batches.dataset(), batches.evaluation_dataset()):
        for x, y in taken(dataset, 4):
            np.testing.assert_array_equal(x, -10 * y)


@pytest.mark.parametrize(("targets", "batch_size"), [(9, 3), (10, 11), (10, 0)])
def test_what_cannot_be_batched_raises(targets, batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        ArrayBatches(np.arange(10), np.arange(targets), batch_size)
