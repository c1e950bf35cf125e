import keras
import numpy as np
import pytest

from seqkeras.layers import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from tests.cells.numpy_cells import gru_reset_after, lstm, randomized, run
from tests.contract import check_layer_contract

M = 2  # features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H3, C3 = RNG.normal(size=(2, 3, 3)).astype("float32")
H4 = RNG.normal(size=(3, 4)).astype("float32")
STATES = [[H3, C3], H4]


def stack(**options):
    return StackedRNNCells([LSTMCell(3), GRUCell(4)], **options)


def random_stack(**options):
    return randomized(RNN(stack(), return_sequences=True, **options), X)


def assert_equal(ours, expected):
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.covers("StackedRNNCells", kind="contract")
def test_contract():
    parameters = 4 * 3 * (3 + M + 1) + 3 * 4 * (4 + 3 + 2)
    check_layer_contract(stack, {"inputs": X[:, 0], "states": STATES}, parameters=parameters)
    check_layer_contract(
        lambda: RNN(stack(), return_sequences=True, return_state=True, learn_initial_state=True),
        {"sequences": X},
        parameters=parameters + 3 + 3 + 4,
        masks={"sequences": "mask"},
    )


@pytest.mark.covers("StackedRNNCells", kind="oracle")
def test_equals_two_loops_in_numpy():
    """Erratum X05: the second layer reads the first one's output, not x."""
    layer = random_stack(return_state=True)
    weights = layer.get_weights()
    below, last_below = run(lstm, weights[:3], X, STATES[0])
    above, (last_above,) = run(gru_reset_after, weights[3:], below, [STATES[1]])
    assert_equal(layer(X, initial_state=STATES), [above, last_below, last_above])


def test_equals_the_stack_of_keras_with_its_weights():
    cells = [keras.layers.LSTMCell(3), keras.layers.GRUCell(4)]
    theirs = keras.layers.RNN(keras.layers.StackedRNNCells(cells), return_sequences=True)
    ours = random_stack()
    theirs.build(X.shape)
    theirs.set_weights(ours.get_weights())
    assert_equal(ours(X), theirs(X))


def test_our_stack_runs_in_keras():
    ours = random_stack()
    assert_equal(keras.layers.RNN(ours.cell, return_sequences=True)(X), ours(X))


def test_equals_a_stack_of_layers():
    layer = random_stack()
    below, above = LSTM(3, return_sequences=True), GRU(4, return_sequences=True)
    below.build(X.shape)
    above.build((*X.shape[:2], 3))
    below.set_weights(layer.get_weights()[:3])
    above.set_weights(layer.get_weights()[3:])
    assert_equal(layer(X), above(below(X)))


def test_the_second_layer_sees_x_only_through_the_first():
    """Erratum X05: with a first layer that ignores x, nothing of x arrives."""
    layer = random_stack()
    kernel, *rest = layer.get_weights()
    layer.set_weights([np.zeros_like(kernel), *rest])
    np.testing.assert_array_equal(layer(X), layer(X + 1.0))


def test_a_stack_of_one_is_its_cell():
    cell = randomized(LSTMCell(3), X[:, 0], [H3, C3])
    alone, stacked = RNN(cell, return_sequences=True), RNN([cell], return_sequences=True)
    np.testing.assert_array_equal(
        stacked(X, initial_state=[[H3, C3]]), alone(X, initial_state=[H3, C3])
    )


def test_states_are_nested_like_the_cells():
    cell = stack()
    assert cell.state_size == [[3, 3], 4]
    (h, c), h_top = cell.get_initial_state(batch_size=2)
    assert [tuple(s.shape) for s in (h, c, h_top)] == [(2, 3), (2, 3), (2, 4)]
    learned = RNN(stack(), learn_initial_state=True)
    learned.build(X.shape)
    assert [w.shape for w in keras.tree.flatten(learned.initial_state_weights)] == [
        (3,),
        (3,),
        (4,),
    ]


def test_foreign_cells_among_ours():
    """A stack that holds a cell without `project` runs whole in the loop, to the same result."""
    ours = random_stack()
    mixed = RNN([LSTMCell(3), keras.layers.GRUCell(4)], return_sequences=True)
    mixed.build(X.shape)
    mixed.set_weights(ours.get_weights())
    assert not hasattr(mixed.cell, "project")
    assert_equal(mixed(X), ours(X))


def copying_stack(**options):
    """Two linear cells with the identity as kernel; the recurrent kernels are zero."""
    cells = [SimpleRNNCell(4, "linear", use_bias=False, **cell) for cell in options.pop("cells")]
    layer = RNN(StackedRNNCells(cells, **options), return_sequences=True)
    layer.build((8, 5, 4))
    layer.set_weights([np.eye(4), np.zeros((4, 4))] * 2)
    return layer


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"cells": [{}, {}], "dropout": 0.5}, {0.0, 2.0}),
        ({"cells": [{}, {"dropout": 0.5, "seed": 2}]}, {0.0, 2.0}),
        (
            {"cells": [{"dropout": 0.5, "seed": 3}, {"dropout": 0.5, "seed": 4}], "dropout": 0.5},
            {0.0, 8.0},
        ),
    ],
)
def test_dropout_between_cells_draws_one_mask_for_all_steps(options, values):
    layer = copying_stack(**options, seed=1)
    outputs = np.asarray(layer(np.ones((8, 5, 4)), training=True))
    assert set(np.unique(outputs)) == values
    np.testing.assert_array_equal(outputs, np.broadcast_to(outputs[:, :1], outputs.shape))
    np.testing.assert_array_equal(layer(np.ones((8, 5, 4))), np.ones((8, 5, 4)))


def test_dropout_between_cells_leaves_the_recurrent_paths_alone():
    layer = copying_stack(cells=[{}, {}], dropout=0.5, seed=1)
    layer.set_weights([np.zeros((4, 4)), np.eye(4)] * 2)
    states = [np.ones((8, 4)), np.ones((8, 4))]
    outputs = layer(np.ones((8, 5, 4)), initial_state=states, training=True)
    np.testing.assert_array_equal(outputs, np.ones((8, 5, 4)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StackedRNNCells([]), "at least one cell"),
        (lambda: StackedRNNCells([GRU(3)]), "not a layer such as GRU"),
        (lambda: StackedRNNCells([GRUCell(3)], dropout=1.0), "rate in .0, 1."),
        (lambda: StackedRNNCells([keras.layers.GRUCell(3)], dropout=0.5), "expected dropout=0"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
