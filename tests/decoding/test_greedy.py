import numpy as np
import pytest
from keras import ops

from seqkeras.constants import END, PAD
from seqkeras.decoding import greedy_search
from tests.decoding.table_model import REGULAR, TableModel, unpad


def naive_greedy(model, row, limit):
    tokens = []
    while not tokens or tokens[-1] != END:
        log_probs = model.after(row, tokens)[0]
        best = END + int(np.argmax(log_probs[END:]))
        tokens.append(best if len(tokens) < limit - 1 else END)
    return tuple(tokens)


@pytest.mark.parametrize("limits", [5, [4, 1, 5, 2, 3, 5]])
def test_equals_a_python_loop(limits):
    model = TableModel(batch_size=6, vocabulary=6, depth=5, seed=1)
    result = greedy_search(model.step, model.state(), 6, np.array(limits))
    expected = [
        naive_greedy(model, row, limit) for row, limit in enumerate(np.broadcast_to(limits, 6))
    ]
    assert len({len(y) for y in expected}) > 2  # some rows wait for others
    assert unpad(result.tokens) == expected
    assert np.asarray(result.lengths).tolist() == [len(y) for y in expected]
    np.testing.assert_allclose(
        result.log_probs, [model.log_prob(row, y) for row, y in enumerate(expected)], rtol=1e-5
    )


def test_ties_go_to_the_lower_id_and_special_tokens_never_win():
    model = TableModel(batch_size=1, vocabulary=6, depth=3, seed=2)
    model.table[:] = np.log([0.3, 0.3, 0.05, 0.1, 0.15, 0.15])[[0, 1, 2, 3, 4, 5]]
    result = greedy_search(model.step, model.state(), 1, 3)
    assert unpad(result.tokens) == [(REGULAR + 1, REGULAR + 1, END)]


def test_finished_rows_are_frozen():
    """What the step returns for a row after its END changes nothing."""
    model = TableModel(batch_size=6, vocabulary=5, depth=5, seed=3)
    expected = greedy_search(model.step, model.state(), 6, 5)
    assert len(set(np.asarray(expected.lengths).tolist())) > 1

    def poisoned(tokens, state):
        log_probs, state = model.step(tokens, state)
        return ops.where(ops.equal(tokens, END)[:, None], float("nan"), log_probs), state

    for field, value in zip(greedy_search(poisoned, model.state(), 6, 5), expected, strict=True):
        np.testing.assert_array_equal(field, value)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_row_without_possible_token_has_no_hypothesis(value):
    model = TableModel(batch_size=2, vocabulary=5, depth=3, seed=4)
    model.table[0, :, END] = -9.0  # goes on past the first step
    model.table[0, 1:] = value
    result = greedy_search(model.step, model.state(), 2, 3)
    assert np.all(np.asarray(result.tokens[0]) == PAD)
    assert np.asarray(result.lengths[0]) == 0
    assert np.asarray(result.log_probs[0]) == -np.inf
    assert unpad(result.tokens)[1] == naive_greedy(model, 1, 3)


@pytest.mark.tensorflow
def test_graph_with_dynamic_batch_equals_eager():
    import tensorflow as tf

    model = TableModel(batch_size=4, vocabulary=5, depth=4, seed=5)

    def search(rows, limits):
        state = {
            "row": rows,
            "trie": {"node": tf.zeros_like(rows)},
            "attention": tf.zeros((tf.size(rows), 3)),
        }
        return greedy_search(model.step, state, tf.size(rows), limits)

    spec = tf.TensorSpec([None], tf.int32)
    graph = tf.function(search, input_signature=[spec, spec], autograph=False)
    for rows, limits in (([0, 1, 2, 3], [4, 1, 3, 2]), ([2], [3]), ([], [])):
        arguments = (tf.constant(rows, tf.int32), tf.constant(limits, tf.int32))
        for field, value in zip(graph(*arguments), search(*arguments), strict=True):
            np.testing.assert_array_equal(field, value)
