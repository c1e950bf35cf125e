"""Token batches against padding done in NumPy, and inside a real `fit`."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqkeras.constants import END, PAD, START
from seqkeras.data.batching import TokenBatches
from seqkeras.data.examples import EncodedPairs, encode_pairs
from seqkeras.data.plans import Planner
from seqkeras.data.readers import read_parallel


def encoded_pairs(count=60, seed=0):
    """Random rows; the first source token of pair i is 100 + i, so that it can be told again."""
    rng = np.random.default_rng(seed)
    sources = [[100 + i, *rng.integers(3, 50, rng.integers(0, 12)), END] for i in range(count)]
    targets = [[*rng.integers(3, 50, rng.integers(1, 12)), END] for _ in range(count)]
    return from_rows(sources, targets)


def from_rows(sources, targets):
    def flat(rows):
        splits = np.cumsum([0, *map(len, rows)])
        return np.concatenate(rows).astype(np.int32), splits.astype(np.int64)

    return EncodedPairs(*flat(sources), *flat(targets), np.arange(len(sources)))


def row(values, splits, i):
    return values[splits[i] : splits[i + 1]].tolist()


def padded(rows):
    width = max(map(len, rows))
    return np.array([[*r, *[PAD] * (width - len(r))] for r in rows], np.int32)


def ids(batch):
    """Returns the numbers of the pairs in a batch of `encoded_pairs`."""
    return (batch[0]["source"][:, 0].numpy() - 100).tolist()


def take(dataset, count):
    return list(itertools.islice(dataset, count))


def assert_same_batches(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_targets_are_fed_if_asked():
    batches = TokenBatches(encoded_pairs(), 80, seed=1, feed_targets=True)
    for x, y in batches.evaluation_dataset():
        np.testing.assert_array_equal(x["targets"], y)


def test_batches_are_the_rows_padded_and_shifted():
    encoded = encoded_pairs()
    batches = TokenBatches(encoded, 80, seed=1)
    for batch in take(batches.dataset(), batches.steps_per_epoch):
        sources = [row(encoded.source_values, encoded.source_splits, i) for i in ids(batch)]
        targets = [row(encoded.target_values, encoded.target_splits, i) for i in ids(batch)]
        x, y = batch
        np.testing.assert_array_equal(x["source"], padded(sources))
        np.testing.assert_array_equal(x["target_in"], padded([[START, *t[:-1]] for t in targets]))
        np.testing.assert_array_equal(y, padded(targets))
        assert max(x["source"].shape.num_elements(), y.shape.num_elements()) <= 80


def test_element_spec():
    batches = TokenBatches(encoded_pairs(), 80, seed=1)
    ragged = tf.TensorSpec((None, None), tf.int32)
    for dataset in (batches.dataset(), batches.evaluation_dataset()):
        assert dataset.element_spec == ({"source": ragged, "target_in": ragged}, ragged)


def test_every_epoch_has_every_example_once_in_the_same_number_of_steps():
    batches = TokenBatches(encoded_pairs(), 80, seed=1)
    dataset = batches.dataset()
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    steps = batches.steps_per_epoch
    assert steps > 5
    seen = [ids(batch) for batch in take(dataset, 4 * steps)]
    epochs = [seen[i * steps : (i + 1) * steps] for i in range(4)]
    for epoch in epochs:
        assert sorted(itertools.chain(*epoch)) == list(range(60))
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(("epoch", "step"), [(0, 0), (0, 3), (1, 0), (2, 5)])
def test_a_position_is_enough_to_go_on(epoch, step):
    steps = TokenBatches(encoded_pairs(), 80, seed=1).steps_per_epoch
    whole = take(TokenBatches(encoded_pairs(), 80, seed=1).dataset(), 4 * steps)
    resumed = TokenBatches(encoded_pairs(), 80, seed=1).dataset(epoch, step)
    position = epoch * steps + step
    assert_same_batches(take(resumed, 4 * steps - position), whole[position:])


def test_steps_past_the_end_of_an_epoch_count_into_the_next():
    batches = TokenBatches(encoded_pairs(), 80, seed=1)
    steps = batches.steps_per_epoch
    assert_same_batches(
        take(batches.dataset(step=2 * steps + 1), steps), take(batches.dataset(2, 1), steps)
    )


@pytest.mark.parametrize("position", [{"epoch": -1}, {"step": -1}])
def test_positions_before_the_beginning_are_refused(position):
    with pytest.raises(ValueError, match="count from 0"):
        TokenBatches(encoded_pairs(), 80, seed=1).dataset(**position)


def test_the_seed_decides_the_order():
    orders = [
        [ids(batch) for batch in take(TokenBatches(encoded_pairs(), 80, seed).dataset(), 5)]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_evaluation_has_every_example_once_in_a_fixed_order():
    batches = TokenBatches(encoded_pairs(), 80, seed=1)
    dataset = batches.evaluation_dataset()
    first, second = list(dataset), list(dataset)
    assert dataset.cardinality() == len(first) <= batches.steps_per_epoch
    assert_same_batches(first, second)
    assert_same_batches(first, list(TokenBatches(encoded_pairs(), 80, 9).evaluation_dataset()))
    assert sorted(itertools.chain(*map(ids, first))) == list(range(60))


def test_padding_share_is_that_of_the_batches():
    batches = TokenBatches(encoded_pairs(), 80, seed=1)
    for epoch in range(2):
        arrays = [
            array.numpy()
            for x, y in take(batches.dataset(epoch), batches.steps_per_epoch)
            for array in (x["source"], y)
        ]
        share = sum((a == PAD).sum() for a in arrays) / sum(a.size for a in arrays)
        assert batches.padding_share(epoch) == pytest.approx(share)


def test_python_runs_once_an_epoch_and_not_once_a_batch(monkeypatch):
    planned = []
    shuffled = Planner.shuffled
    monkeypatch.setattr(
        Planner, "shuffled", lambda self, epoch: planned.append(epoch) or shuffled(self, epoch)
    )
    batches = TokenBatches(encoded_pairs(400), 80, seed=1)
    take(batches.dataset(), 2 * batches.steps_per_epoch)
    assert planned[:2] == [0, 1]
    assert len(planned) <= 4  # two that were asked for, and what was planned ahead
    assert batches.steps_per_epoch > 40


def test_the_longest_pair_may_fill_a_batch_alone():
    long = from_rows([[5] * 19 + [END], [5, END]], [[5, END], [5, END]])
    (alone,) = [
        y for x, y in TokenBatches(long, 20, 0).evaluation_dataset() if x["source"][0, 1] == 5
    ]
    np.testing.assert_array_equal(alone, [[5, END]])


def test_a_pair_beyond_the_budget_is_named():
    long = from_rows([[5, END]] * 3, [[5, END], [5] * 20 + [END], [5, END]])
    with pytest.raises(
        ValueError, match=r"tokens_per_batch=20 is less than the 21 tokens of pair 2"
    ):
        TokenBatches(long, 20, seed=0)


def test_nothing_to_batch_is_refused():
    with pytest.raises(ValueError, match="no pair to batch"):
        TokenBatches(from_rows([[]], [[]])._replace(pair_index=np.array([])), 20, seed=0)


class SeenTokens(keras.metrics.Metric):
    """Counts how often each id was a target."""

    def __init__(self, size):
        super().__init__(name="seen")
        self.counts = self.add_weight(shape=(size,), name="counts", initializer="zeros")

    def update_state(self, y_true, *_, **__):
        one_hot = keras.ops.one_hot(y_true, self.counts.shape[0])
        self.counts.assign_add(keras.ops.sum(one_hot, axis=(0, 1)))

    def result(self):
        return keras.ops.sum(self.counts)


def test_fit_sees_every_example_once_per_epoch():
    count, first_id = 40, 4
    rng = np.random.default_rng(0)
    sources = [[3] * rng.integers(1, 12) + [END] for _ in range(count)]
    targets = [[first_id + i] + [3] * rng.integers(0, 12) + [END] for i in range(count)]
    batches = TokenBatches(from_rows(sources, targets), 60, seed=0)

    inputs = {
        name: keras.Input((None,), dtype="int32", name=name) for name in ("source", "target_in")
    }
    vocabulary_size = first_id + count
    logits = keras.layers.Embedding(vocabulary_size, vocabulary_size)(inputs["target_in"])
    model = keras.Model(inputs, logits)
    seen = SeenTokens(vocabulary_size)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=[seen])

    epochs = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: epochs.append(seen.counts.numpy()[first_id:])
    )
    steps = batches.steps_per_epoch
    assert steps > 5
    model.fit(
        batches.dataset(),
        steps_per_epoch=steps,
        epochs=3,
        shuffle=False,
        callbacks=[record],
        verbose=0,
    )
    np.testing.assert_array_equal(epochs, np.ones((3, count)))
    assert model.optimizer.iterations == 3 * steps


class Words:
    """The simplest tokenizer that real sentences can be batched with."""

    def __init__(self, texts):
        self.ids = {}
        for word in itertools.chain.from_iterable(text.split() for text in texts):
            self.ids.setdefault(word, len(self.ids) + 4)

    def encode(self, texts):
        rows = [[self.ids[word] for word in text.split()] for text in texts]
        return tf.ragged.constant(rows, dtype=tf.int32, ragged_rank=1)


@pytest.mark.realdata
def test_padding_on_multi30k_is_under_a_tenth(data_dir):
    pairs = read_parallel(data_dir / "multi30k", "train", "en", "de")
    tokenizers = [Words(texts) for texts in zip(*pairs, strict=True)]
    encoded, report = encode_pairs(pairs, *tokenizers, max_length=100)
    assert report.kept == 29_000
    batches = TokenBatches(encoded, tokens_per_batch=2048, seed=0)
    assert all(batches.padding_share(epoch) < 0.1 for epoch in range(5))
    # No plan needs fewer batches than the tokens, unpadded, would fill.
    fewest = np.maximum(encoded.source_lengths, encoded.target_lengths).sum() / 2048
    assert fewest < batches.steps_per_epoch < 1.15 * fewest
