import numpy as np
import pytest

from seqkeras.data.sequence_batches import SequenceBatches, join_sequences

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(3)
SERIES = [RNG.normal(size=(n, 2)).astype("float32") for n in RNG.integers(1, 30, 50)]


def make(budget=100, seed=1):
    return SequenceBatches(join_sequences(SERIES, np.arange(50) % 3), budget, seed)


def rows_of(dataset):
    """Every row of the batches as `(values without padding, class)`, after checking the padding."""
    rows = []
    for x, y in dataset:
        sequence, length = x["sequence"].numpy(), x["length"].numpy()
        assert sequence.shape[1] == length.max()
        for values, steps, label in zip(sequence, length, y.numpy(), strict=True):
            assert not values[steps:].any()
            rows.append((values[:steps].tobytes(), int(label)))
    return rows


WANTED = sorted((values.tobytes(), i % 3) for i, values in enumerate(SERIES))


def test_every_sequence_once_an_epoch_with_its_class():
    batches = make()
    for epoch in range(3):
        dataset = batches.dataset(epoch).take(batches.steps_per_epoch)
        assert sorted(rows_of(dataset)) == WANTED
    assert sorted(rows_of(batches.evaluation_dataset())) == WANTED


def test_no_batch_exceeds_the_budget():
    for x, _ in make(60).evaluation_dataset():
        assert np.prod(x["sequence"].shape[:2]) <= 60


def test_goes_on_in_the_middle_of_an_epoch():
    batches = make()
    steps = batches.steps_per_epoch
    whole = rows_of(batches.dataset().take(2 * steps))
    head = rows_of(batches.dataset().take(steps + 2))
    assert head + rows_of(batches.dataset(1, 2).take(steps - 2)) == whole


def test_ids_are_padded_too():
    ids = join_sequences([np.array([5, 2], "int32"), np.array([2], "int32")], [1, 0])
    ((x, y),) = SequenceBatches(ids, 10, 1).evaluation_dataset()
    assert sorted(x["sequence"].numpy().tolist()) == [[2, 0], [5, 2]]
    assert x["sequence"].dtype == "int32"
    assert dict(zip(x["length"].numpy(), y.numpy(), strict=True)) == {1: 0, 2: 1}


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([np.ones((11, 2), "float32")], "less than the 11 steps of sequence 1. Raise"),
        ([np.ones((2, 2)), np.ones((0, 2))], "sequence 2 is empty"),
    ],
)
def test_what_cannot_be_batched_is_named(sequences, message):
    with pytest.raises(ValueError, match=message):
        SequenceBatches(join_sequences(sequences, [0] * len(sequences)), 10, 1)
