import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from seqkeras.constants import END, PAD, START
from seqkeras.decoding import beam_search, greedy_search
from tests.decoding.table_model import TableModel, arrays, repeats, unpad


def assert_result(model, result, row, expected, alpha=0.0, beta=0.0):
    """Compares one example's hypotheses with `expected`, a list of sequences, best first."""
    tokens, scores, log_probs, lengths = (field[row] for field in arrays(result))
    n = len(expected)
    assert unpad(tokens)[:n] == expected
    np.testing.assert_allclose(
        scores[:n], [model.score(row, y, alpha, beta) for y in expected], rtol=1e-5
    )
    np.testing.assert_allclose(log_probs[:n], [model.log_prob(row, y) for y in expected], rtol=1e-5)
    assert lengths[:n].tolist() == [len(y) for y in expected]
    assert np.all(scores[n:] == -np.inf)
    assert np.all(log_probs[n:] == -np.inf)
    assert not np.any(lengths[n:])
    assert np.all(tokens[n:] == PAD)


def naive_beam(model, row, beam_size, limit, alpha, beta, ngram):
    """The rules of the module docstring, one example, in plain Python."""
    alive, finished = [((), 0.0)], []
    for t in range(limit):
        options = []
        for place, (tokens, log_prob) in enumerate(alive):
            for v, gain in enumerate(model.after(row, tokens)[0]):
                barred = v in (PAD, START) or (ngram and repeats((*tokens, v), ngram))
                if not barred and (v == END or t < limit - 1):
                    options.append((-(log_prob + gain), place, v))
        kept = sorted(options)[: beam_size - len(finished)]
        kept = [((*alive[place][0], v), -cost) for cost, place, v in kept]
        finished += [y for y, _ in kept if y[-1] == END]
        alive = [(y, log_prob) for y, log_prob in kept if y[-1] != END]
    return sorted(finished, key=lambda y: -model.score(row, y, alpha, beta))


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.4])
def test_wide_beam_is_exhaustive_search(alpha, beta):
    model = TableModel(batch_size=3, vocabulary=5, depth=4, seed=1)
    result = beam_search(
        model.step, model.state(), 3, 17, 4,
        length_penalty=alpha, coverage_penalty=beta, source_mask=model.source_mask,
    )  # fmt: skip
    for row in range(3):
        score = functools.partial(model.score, row, alpha=alpha, beta=beta)
        expected = sorted(model.all_sequences(4), key=score, reverse=True)
        assert len(expected) == 15  # fewer than the beam's places
        assert_result(model, result, row, expected, alpha, beta)


@pytest.mark.parametrize("beam_size", [2, 3, 4])
@pytest.mark.parametrize(
    ("alpha", "beta", "ngram"), [(0.0, 0.0, 0), (0.8, 0.0, 2), (0.0, 0.5, 0), (1.0, 0.3, 1)]
)
def test_equals_naive_beam(beam_size, alpha, beta, ngram):
    limits = [5, 3, 1, 4]
    model = TableModel(batch_size=4, vocabulary=6, depth=5, seed=beam_size)
    result = beam_search(
        model.step, model.state(), 4, beam_size, np.array(limits),
        length_penalty=alpha, coverage_penalty=beta, source_mask=model.source_mask,
        no_repeat_ngram=ngram,
    )  # fmt: skip
    for row, limit in enumerate(limits):
        expected = naive_beam(model, row, beam_size, limit, alpha, beta, ngram)
        assert_result(model, result, row, expected, alpha, beta)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_beam_of_one_is_greedy(alpha):
    model = TableModel(batch_size=16, vocabulary=6, depth=5, seed=2)
    greedy = greedy_search(model.step, model.state(), 16, 5)
    beam = beam_search(model.step, model.state(), 16, 1, 5, length_penalty=alpha)
    np.testing.assert_array_equal(beam.tokens[:, 0], greedy.tokens)
    np.testing.assert_allclose(beam.log_probs[:, 0], greedy.log_probs, rtol=1e-6)
    np.testing.assert_array_equal(beam.lengths[:, 0], greedy.lengths)


def test_result_does_not_depend_on_the_batch():
    limits = np.array([5, 1, 3, 5, 2])
    model = TableModel(batch_size=5, vocabulary=7, depth=5, seed=3)
    options = {"length_penalty": 0.7, "coverage_penalty": 0.2, "no_repeat_ngram": 2}
    together = arrays(
        beam_search(
            model.step, model.state(), 5, 3, limits, source_mask=model.source_mask, **options
        )
    )
    for row, limit in enumerate(limits):
        alone = beam_search(
            model.step, model.state([row]), 1, 3, int(limit),
            source_mask=model.source_mask[[row]], **options,
        )  # fmt: skip
        alone = arrays(alone)
        np.testing.assert_array_equal(together[0][row, :, :limit], alone[0][0])
        assert np.all(together[0][row, :, limit:] == PAD)
        for all_rows, one_row in zip(together[1:], alone[1:], strict=True):
            np.testing.assert_array_equal(all_rows[row], one_row[0])


def test_finished_hypotheses_are_frozen_while_others_go_on():
    model = TableModel(batch_size=2, vocabulary=5, depth=6, seed=4)
    model.table[0] = np.log([0.01, 0.01, 0.96, 0.01, 0.01])  # ends at once
    model.table[1, :, END] = -20.0  # ends as late as it can
    result = beam_search(model.step, model.state(), 2, 2, 6)
    assert unpad(result.tokens[0])[0] == (END,)
    np.testing.assert_allclose(result.scores[0, 0], np.log(0.96), atol=1e-6)
    assert np.all(np.asarray(result.lengths[1]) == 6)


def test_what_follows_end_never_counts():
    """The rows of finished hypotheses go on through the step; NaN there changes nothing."""
    model = TableModel(batch_size=4, vocabulary=5, depth=5, seed=5)
    expected = arrays(beam_search(model.step, model.state(), 4, 3, 5))

    def poisoned(tokens, state):
        log_probs, state = model.step(tokens, state)
        ended = ops.equal(tokens, END)[:, None]
        return ops.where(ended, float("nan"), log_probs), state

    for field, value in zip(beam_search(poisoned, model.state(), 4, 3, 5), expected, strict=True):
        np.testing.assert_array_equal(field, value)


@pytest.mark.tensorflow  # counts the steps that run: eagerly
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_n_best_are_the_first_of_all_and_save_steps(alpha):
    model = TableModel(batch_size=8, vocabulary=6, depth=5, seed=6, concentration=0.3)
    calls = []

    def counted(tokens, state):
        calls[-1] += 1
        return model.step(tokens, state)

    def search(n_best):
        calls.append(0)
        return arrays(
            beam_search(counted, model.state(), 8, 5, 5, n_best=n_best, length_penalty=alpha)
        )

    everything = search(None)
    for n_best in (1, 3, 5):
        for field, first in zip(everything, search(n_best), strict=True):
            np.testing.assert_array_equal(field[:, :n_best], first)
    assert calls[0] == calls[3] == 5

    model.table[:] = np.log([0.01, 0.01, 0.9, 0.03, 0.03, 0.02])
    search(1)
    assert calls[-1] == 1  # nothing alive can beat END at once


def test_long_hypothesis_may_still_win_by_the_length_penalty():
    """Stopping at the best finished *log-probability* would return END alone."""
    model = TableModel(batch_size=1, vocabulary=4, depth=6, seed=0)
    model.table[0] = np.log([1e-9, 1e-9, 0.5, 0.5])
    model.table[0, 1:] = np.log([1e-9, 1e-9, 0.03, 0.97])
    for alpha, expected in ((0.0, (END,)), (4.0, (3, 3, 3, 3, 3, END))):
        result = beam_search(model.step, model.state(), 1, 3, 6, n_best=1, length_penalty=alpha)
        best = max(model.all_sequences(6), key=lambda y, a=alpha: model.score(0, y, a))
        assert unpad(result.tokens[0]) == [expected] == [best]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    vocabulary=st.integers(3, 6),
    beam_size=st.integers(1, 9),
    limits=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    alpha=st.sampled_from([0.0, 0.5, 1.3]),
)
def test_every_hypothesis_is_sound(seed, vocabulary, beam_size, limits, alpha):
    model = TableModel(len(limits), vocabulary, 4, seed)
    result = beam_search(
        model.step, model.state(), len(limits), beam_size, np.array(limits), length_penalty=alpha
    )
    tokens, scores, log_probs, _ = arrays(result)
    if alpha == 0:
        np.testing.assert_array_equal(scores, log_probs)
    for row, limit in enumerate(limits):
        found = [y for y in unpad(tokens[row]) if y]
        assert len(found) == len(set(found)) > 0
        assert np.all(np.diff(scores[row][: len(found)]) <= 0)
        assert set(found) <= set(model.all_sequences(limit))  # END last, no PAD, no START
        assert_result(model, result, row, found, alpha)


def test_ties_go_to_the_better_parent_then_the_lower_id():
    model = TableModel(batch_size=1, vocabulary=6, depth=3, seed=0)
    model.table[:] = -1.0
    result = beam_search(model.step, model.state(), 1, 5, 3)
    # First END, 3, 4, 5; then END, 3, 4, 5 after 3 are four of the four places that are left.
    expected = [(END,), (3, END), (3, 3, END), (3, 4, END), (3, 5, END)]
    assert_result(model, result, 0, expected)


def test_beam_wider_than_the_vocabulary_and_than_what_exists():
    model = TableModel(batch_size=2, vocabulary=4, depth=2, seed=1)
    result = beam_search(model.step, model.state(), 2, 9, 2)
    for row in range(2):
        expected = sorted([(END,), (3, END)], key=lambda y, r=row: -model.log_prob(r, y))
        assert_result(model, result, row, expected)  # seven places stay empty


@pytest.mark.parametrize(("vocabulary", "limit"), [(6, 1), (3, 4)])
def test_only_end_is_possible(vocabulary, limit):
    model = TableModel(batch_size=2, vocabulary=vocabulary, depth=4, seed=2)
    result = beam_search(model.step, model.state(), 2, 3, limit)
    for row in range(2):
        assert_result(model, result, row, [(END,)])


def test_nan_drops_the_hypothesis():
    model = TableModel(batch_size=2, vocabulary=5, depth=3, seed=3)
    model.table[0, 4, 3] = np.nan  # one NaN in the row after the prefix (3,)
    model.table[1] = np.nan
    result = beam_search(model.step, model.state(), 2, 8, 3)
    left = [y for y in model.all_sequences(3) if y[0] != 3]
    assert_result(model, result, 0, sorted(left, key=lambda y: -model.log_prob(0, y)))
    assert_result(model, result, 1, [])


@pytest.mark.tensorflow  # looks at the rows: eagerly
def test_rows_are_example_major_and_those_of_done_examples_leave():
    model = TableModel(batch_size=3, vocabulary=5, depth=4, seed=6)
    model.table[0, :, END] = -20.0  # ends as late as it can
    model.table[1] = np.log([0.01, 0.01, 0.96, 0.01, 0.01])  # done after one step
    names = np.array([[10], [11], [12]])
    seen = []

    def step(tokens, state, memory, rows):
        asked = rows.collect(ops.repeat(memory["names"], 2, axis=1))
        np.testing.assert_array_equal(asked, state["row"] + 10)
        seen.append(np.asarray(state["row"]).tolist())
        return model.step(tokens, state)

    memory = {"names": ops.convert_to_tensor(names)}
    limits = np.array([4, 4, 2])
    found = beam_search(step, model.state(), 3, 2, limits, memory=memory, n_best=1)
    # One hypothesis each and what fills a unit of two; then the example in the middle is done.
    assert seen == [[0, 0, 1, 2], [0, 0, 2, 2], [0, 0], [0, 0]]
    for row, limit in enumerate(limits):
        expected = naive_beam(model, row, 2, limit, 0.0, 0.0, 0)
        assert_result(model, found, row, expected[:1])


@pytest.mark.tensorflow
def test_graph_with_dynamic_batch_equals_eager():
    import tensorflow as tf

    model = TableModel(batch_size=4, vocabulary=6, depth=5, seed=7)
    options = {"length_penalty": 0.6, "coverage_penalty": 0.2, "no_repeat_ngram": 2, "n_best": 2}

    def search(rows, source_mask, limits):
        state = {
            "row": rows,
            "trie": {"node": tf.zeros_like(rows)},
            "attention": tf.zeros_like(source_mask, dtype="float32"),
        }
        batch_size = tf.shape(rows)[0]
        return beam_search(
            model.step, state, batch_size, 3, limits, source_mask=source_mask, **options
        )

    graph = tf.function(
        search,
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, None], tf.bool),
            tf.TensorSpec([None], tf.int32),
        ],
        autograph=False,
    )
    for rows, limits in (([0, 1, 2, 3], [5, 1, 3, 4]), ([2], [3]), ([], [])):
        rows, limits = np.array(rows, "int32"), np.array(limits, "int32")
        arguments = [tf.constant(x) for x in (rows, model.source_mask[rows], limits)]
        result, expected = graph(*arguments), search(*arguments)
        np.testing.assert_array_equal(result.tokens, expected.tokens)
        np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-5)
        np.testing.assert_array_equal(result.lengths, expected.lengths)


@pytest.mark.tensorflow
def test_graph_of_a_fixed_batch_equals_eager():
    """Examples that are done leave, although the graph knew the size of the batch at first."""
    import tensorflow as tf

    model = TableModel(batch_size=4, vocabulary=6, depth=5, seed=8)
    limits = np.array([5, 1, 3, 4])
    names = np.arange(4.0, dtype="float32")[:, None]

    def search():
        return beam_search(step, model.state(), 4, 3, limits, memory=names, length_penalty=1.0)

    def step(tokens, state, memory, rows):
        log_probs, state = model.step(tokens, state)
        asked = rows.collect(ops.repeat(memory, 3, axis=1))
        wrong = ops.not_equal(asked, ops.cast(state["row"], "float32"))
        return ops.where(wrong[:, None], float("nan"), log_probs), state

    found, expected = tf.function(search, autograph=False)(), search()
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    for row, limit in enumerate(limits):
        assert_result(model, search(), row, naive_beam(model, row, 3, limit, 1.0, 0.0, 0), 1.0)


def test_none_in_the_memory_raises():
    model = TableModel(batch_size=1, vocabulary=5, depth=3, seed=0)
    with pytest.raises(ValueError, match="tensors only in state and memory, got None"):
        beam_search(model.step, model.state(), 1, 2, 3, memory={"mask": None})
