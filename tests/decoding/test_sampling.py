import keras
import numpy as np
import pytest
from scipy import stats

from seqkeras.constants import END
from seqkeras.decoding import greedy_search, sample
from tests.decoding.table_model import TableModel, unpad

DRAWS = 4000


def test_samples_follow_the_distribution_over_sequences():
    """χ² against the exact probability of every sequence of a history-dependent model."""
    model = TableModel(batch_size=1, vocabulary=5, depth=3, seed=1, concentration=3.0)
    model.table[..., :END] = -50.0
    # the last position forces END: give it the whole mass
    model.table[:, model.vocabulary + 1 :] = np.where(np.arange(5) == END, 0.0, -50.0)
    sequences = list(model.all_sequences(3))
    expected = np.exp([model.log_prob(0, y) for y in sequences])
    np.testing.assert_allclose(expected.sum(), 1, rtol=1e-5)
    result = sample(model.step, model.state([0] * DRAWS), DRAWS, 3, seed=2)
    counts = [unpad(result.tokens).count(y) for y in sequences]
    assert sum(counts) == DRAWS
    assert stats.chisquare(counts, DRAWS * expected / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": 0.5}, [0.25, 0.01, 0.04, 0.0625]),
        ({"temperature": 2.0}, np.sqrt([0.5, 0.1, 0.2, 0.25])),
        ({"top_k": 2}, [0.5, 0, 0, 0.25]),
        ({"top_k": 99}, [0.5, 0.1, 0.2, 0.25]),
        ({"top_p": 0.47}, [1, 0, 0, 0]),  # 0.5 / 1.05 reaches it
        ({"top_p": 0.48}, [0.5, 0, 0, 0.25]),
        ({"top_p": 0.8}, [0.5, 0, 0.2, 0.25]),
        ({"top_p": 1.0}, [0.5, 0.1, 0.2, 0.25]),
        ({"top_k": 2, "top_p": 0.6}, [1, 0, 0, 0]),  # of the two, 0.5 / 0.75 alone reaches it
        ({"temperature": 0.5, "top_p": 0.68}, [0.25, 0, 0, 0]),  # 0.25 / 0.3625 reaches it
    ],
)
def test_truncation_and_temperature(options, expected):
    model = TableModel(batch_size=1, vocabulary=6, depth=1, seed=0)
    model.table[:] = np.log([0.2, 0.1, 0.5, 0.1, 0.2, 0.25])  # PAD and START lose theirs
    result = sample(model.step, model.state([0] * DRAWS), DRAWS, 2, seed=3, **options)
    counts = np.bincount(np.asarray(result.tokens)[:, 0], minlength=6)
    assert not counts[:END].any()
    expected = np.asarray(expected) / np.sum(expected)
    assert not counts[END:][expected == 0].any()
    kept = expected > 0
    if kept.sum() > 1:
        assert stats.chisquare(counts[END:][kept], DRAWS * expected[kept]).pvalue > 1e-3


@pytest.mark.parametrize(
    "options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-3}, {"top_k": 3, "top_p": 1e-6}]
)
def test_the_narrowest_truncation_is_greedy(options):
    model = TableModel(batch_size=8, vocabulary=6, depth=5, seed=4)
    limits = np.array([5, 4, 3, 2, 1, 5, 5, 5])
    greedy = greedy_search(model.step, model.state(), 8, limits)
    result = sample(model.step, model.state(), 8, limits, seed=5, **options)
    for field, value in zip(result, greedy, strict=True):
        np.testing.assert_array_equal(field, value)


def test_log_probs_are_the_model_s():
    model = TableModel(batch_size=20, vocabulary=6, depth=4, seed=6)
    result = sample(model.step, model.state(), 20, 4, seed=7, temperature=0.7, top_k=2)
    sequences = unpad(result.tokens)
    assert len(set(sequences)) > 5
    assert np.asarray(result.lengths).tolist() == [len(y) for y in sequences]
    np.testing.assert_allclose(
        result.log_probs, [model.log_prob(row, y) for row, y in enumerate(sequences)], rtol=1e-5
    )


def test_seed():
    model = TableModel(batch_size=20, vocabulary=6, depth=4, seed=8)

    def draw(seed):
        return unpad(sample(model.step, model.state(), 20, 4, seed=seed).tokens)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    generator = keras.random.SeedGenerator(1)
    first, second = draw(generator), draw(generator)
    assert first != second
    generator = keras.random.SeedGenerator(1)
    assert [draw(generator), draw(generator)] == [first, second]


@pytest.mark.tensorflow
def test_graph_equals_eager_and_a_generator_goes_on():
    import tensorflow as tf

    model = TableModel(batch_size=20, vocabulary=6, depth=4, seed=9)
    generator = keras.random.SeedGenerator(3)

    def draw(limits, seed):
        return sample(model.step, model.state(), 20, limits, seed=seed, top_p=0.9)

    limits = tf.constant([4] * 20)
    fixed = tf.function(lambda limits: draw(limits, 3), autograph=False)
    np.testing.assert_array_equal(fixed(limits).tokens, draw(limits, 3).tokens)
    moving = tf.function(lambda limits: draw(limits, generator), autograph=False)
    assert unpad(moving(limits).tokens) != unpad(moving(limits).tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0. Its limit .* greedy_search"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"top_k": 0}, "top_k must be an int of at least 1"),
        ({"top_k": 1.5}, "top_k must be"),
        ({"top_p": 0.0}, r"top_p must lie in \(0, 1\]"),
        ({"top_p": 1.1}, "top_p must lie"),
        ({"seed": None}, "seed must be an int, .*SeedGenerator, got None"),
        ({"max_length": 0}, "max_length must be at least 1"),
    ],
)
def test_wrong_arguments_raise(options, message):
    model = TableModel(batch_size=2, vocabulary=5, depth=2, seed=0)
    arguments = {"max_length": 2, "seed": 0} | options
    with pytest.raises(ValueError, match=message):
        sample(model.step, model.state(), 2, **arguments)
