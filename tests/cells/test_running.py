"""Running recurrent layers: carried, given and learned states, segments, directions, constants.

What is the same for every way to run a cell, with stacks, both directions and attention among them.
"""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import (
    GRU,
    LSTM,
    RNN,
    AttentionCell,
    BahdanauAttention,
    Bidirectional,
    GRUCell,
    LSTMCell,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
)
from tests.cells.numpy_cells import RNG, lstm, randomized, run, sigmoid
from tests.gradients import value_and_gradients

B, T, M, N = 3, 7, 2, 4  # rows, steps, features, units
X = RNG.normal(size=(B, T, M)).astype("float32")
UPSTREAM = RNG.normal(size=(B, T, N)).astype("float32")
MASK = np.arange(T) < np.array([T, 4, 2])[:, None]

FORWARD = {
    "SimpleRNN": lambda **options: SimpleRNN(N, **options),
    "LSTM": lambda **options: LSTM(N, **options),
    "GRU": lambda **options: GRU(N, **options),
    "stack": lambda **options: RNN(StackedRNNCells([LSTMCell(3), GRUCell(N)]), **options),
}
EVERY = {**FORWARD, "both directions": lambda **options: Bidirectional(LSTM(2, **options))}
every_forward_layer = pytest.mark.parametrize("make", FORWARD.values(), ids=FORWARD)
every_layer = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


def random_layer(make, **options):
    return randomized(make(return_sequences=True, **options), X)


def twin(make, layer, **options):
    """A layer with the cell's weights of another and other options."""
    other = make(return_sequences=True, **options)
    other.build(X.shape)
    for ours, value in zip(trained(other), trained(layer), strict=True):
        ours.assign(value)
    return other


def trained(layer):
    """The weights of the cells, without learned initial states."""
    return [w for w in layer.trainable_weights if w.name != "initial_state"]


def segments(length):
    return [slice(t, t + length) for t in range(0, T, length)]


def assert_equal(ours, expected, **tolerance):
    tolerance = {"rtol": 1e-4, "atol": 1e-5, **tolerance}
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


# Truncated backpropagation through time: states carried between segments (A03).


def loss(layer, pieces):
    """The loss over a sequence that the layer gets in pieces."""
    return sum(ops.sum(layer(X[:, piece]) * UPSTREAM[:, piece]) for piece in pieces)


@every_forward_layer
@pytest.mark.parametrize("length", [1, 3])
def test_the_loss_over_segments_is_that_of_the_whole(make, length):
    layer = random_layer(make)
    carried = twin(make, layer, stateful=True)
    assert_equal(loss(carried, segments(length)), loss(layer, [slice(T)]))
    ends = [np.asarray(s) for s in keras.tree.flatten(carried.states)]
    _, *states = twin(make, layer, return_state=True)(X)
    assert_equal(ends, states)


def elman_gradients(weights, length):
    """Gradients of the kernels and the bias by hand, the error dropped where a segment begins."""
    kernel, recurrent, bias = weights
    h = [np.zeros((B, N))]
    for t in range(T):
        h.append(np.tanh(X[:, t] @ kernel + h[-1] @ recurrent + bias))
    gradients = [np.zeros_like(w, "float64") for w in weights]
    error = np.zeros((B, N))
    for t in reversed(range(T)):
        if (t + 1) % length == 0:
            error = np.zeros((B, N))
        delta = (UPSTREAM[:, t] + error) * (1 - h[t + 1] ** 2)
        for total, term in zip(
            gradients, (X[:, t].T @ delta, h[t].T @ delta, delta.sum(axis=0)), strict=True
        ):
            total += term
        error = delta @ recurrent.T
    return gradients


@pytest.mark.parametrize("length", [1, 2, 3, T, T + 5])
def test_the_gradient_ends_where_a_segment_begins(length):
    """All segments under one gradient: what crosses a border is a constant (a stop-gradient)."""
    layer = random_layer(FORWARD["SimpleRNN"], stateful=True)
    layer.reset_state()
    weights = [np.asarray(w) for w in layer.trainable_weights]
    _, _, gradients = value_and_gradients(
        lambda: loss(layer, segments(length)), [], layer.trainable_weights
    )
    assert_equal(gradients, elman_gradients(weights, length))


@every_forward_layer
def test_the_carry_is_a_constant_for_every_layer(make):
    """The same gradients as with the states of the segment before given as numbers."""
    carried = random_layer(make, stateful=True)
    given = twin(make, carried, return_state=True)
    carried.reset_state()
    cut = segments(3)

    def loss_with_given_states():
        total, states = 0.0, None
        for piece in cut:
            y, *states = given(X[:, piece], initial_state=states)
            states = keras.tree.map_structure(ops.stop_gradient, states)
            total += ops.sum(y * UPSTREAM[:, piece])
        return total

    expected = value_and_gradients(loss_with_given_states, [], trained(given))
    result = value_and_gradients(lambda: loss(carried, cut), [], trained(carried))
    assert_equal(result, expected)


@every_forward_layer
def test_a_segment_as_long_as_the_sequence_gives_the_full_gradient(make):
    layer = random_layer(make)
    carried = twin(make, layer, stateful=True)
    whole = [slice(T)]
    full = value_and_gradients(lambda: loss(layer, whole), [], trained(layer))
    assert_equal(value_and_gradients(lambda: loss(carried, whole), [], trained(carried)), full)
    carried.reset_state()
    *_, cut = value_and_gradients(lambda: loss(carried, segments(1)), [], trained(carried))
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(cut, full[2], strict=True))


@every_forward_layer
def test_states_handed_on_are_states_carried(make):
    handing = random_layer(make, return_state=True)
    carrying = twin(make, handing, stateful=True)
    states = None
    for piece in segments(2):
        y, *states = handing(X[:, piece], initial_state=states)
        assert_equal(carrying(X[:, piece]), y)


@every_forward_layer
def test_a_row_that_has_ended_keeps_its_carry(make):
    """Streams may end at different steps; what is real is as in one long padded sequence."""
    whole = random_layer(make, return_state=True)
    carried = twin(make, whole, stateful=True)
    pieces = [np.asarray(carried(X[:, piece], mask=MASK[:, piece])) for piece in segments(3)]
    expected, *states = whole(X, mask=MASK)
    assert_equal(np.concatenate(pieces, axis=1)[MASK], np.asarray(expected)[MASK])
    assert_equal([np.asarray(s) for s in keras.tree.flatten(carried.states)], states)


@every_forward_layer
def test_states_given_to_a_stateful_layer_are_carried_on(make):
    whole = random_layer(make)
    carried = twin(make, whole, stateful=True)
    states = random_states(whole)
    first = carried(X[:, :3], initial_state=states)
    second = carried(X[:, 3:])
    assert_equal(ops.concatenate([first, second], axis=1), whole(X, initial_state=states))


@every_layer
def test_every_stateful_layer_refuses_another_batch_size(make):
    layer = make(stateful=True)
    layer(X)
    with pytest.raises(ValueError, match="expected batch size 3.*got 2"):
        layer(X[:2])


# Initial states, given and learned (A02).


def state_sizes(layer):
    if isinstance(layer, Bidirectional):
        return [*layer.forward_layer.state_size, *layer.backward_layer.state_size]
    return layer.state_size


def random_states(layer, scale=1.0):
    return keras.tree.map_structure(
        lambda size: (scale * RNG.normal(size=(B, size))).astype("float32"), state_sizes(layer)
    )


@every_layer
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])
def test_zeros_are_the_default(make, mask):
    layer = random_layer(make)
    zeros = random_states(layer, scale=0.0)
    np.testing.assert_array_equal(layer(X, initial_state=zeros, mask=mask), layer(X, mask=mask))
    learning = twin(make, layer, learn_initial_state=True)
    assert_equal(learning(X, mask=mask), layer(X, mask=mask), rtol=1e-6, atol=0)


def lstm_tail(weights, states):
    """dL/dh_0 and dL/dc_0 of sum(h * UPSTREAM): what is left after the error has passed step 1."""
    kernel, recurrent, bias = (np.asarray(w, "float64") for w in weights)
    h, c = states
    steps = []
    for t in range(T):
        i, f, g, o = np.split(X[:, t] @ kernel + h @ recurrent + bias, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c_old, c = c, f * c + i * g
        h = o * np.tanh(c)
        steps.append((i, f, g, o, c_old, c))
    of_h, of_c = np.zeros((B, N)), np.zeros((B, N))
    for t, (i, f, g, o, c_old, c) in reversed(list(enumerate(steps))):
        of_h = of_h + UPSTREAM[:, t]
        of_c = of_c + of_h * o * (1 - np.tanh(c) ** 2)
        of_gates = [
            of_c * g * i * (1 - i),
            of_c * c_old * f * (1 - f),
            of_c * i * (1 - g**2),
            of_h * np.tanh(c) * o * (1 - o),
        ]
        of_h = np.concatenate(of_gates, axis=-1) @ recurrent.T
        of_c = of_c * f
    return [of_h, of_c]


def test_the_gradient_of_given_states_is_the_tail_of_bptt():
    layer = random_layer(FORWARD["LSTM"])
    states = random_states(layer)
    _, gradients, _ = value_and_gradients(
        lambda h, c: ops.sum(layer(X, initial_state=[h, c]) * UPSTREAM), states
    )
    assert_equal(gradients, lstm_tail(layer.get_weights(), states))
    expected, _ = run(lstm, layer.get_weights(), X, states)
    assert_equal(layer(X, initial_state=states), expected)


@every_layer
def test_the_gradient_of_learned_states_is_that_of_given_ones_summed_over_rows(make):
    layer = random_layer(make, learn_initial_state=True)
    learned = [w for w in layer.trainable_weights if w.name == "initial_state"]
    given = [np.tile(np.asarray(w), (B, 1)) for w in learned]
    structure = state_sizes(layer)
    assert len(learned) == len(keras.tree.flatten(structure))
    assert all(np.abs(w).max() > 0 for w in given)

    def result(*states):
        states = keras.tree.pack_sequence_as(structure, states) if states else None
        return ops.sum(layer(X, initial_state=states, mask=MASK) * UPSTREAM)

    value, by_row, _ = value_and_gradients(result, given)
    learned_value, _, gradients = value_and_gradients(result, [], learned)
    assert_equal([learned_value, *gradients], [value, *(g.sum(axis=0) for g in by_row)])


@every_forward_layer
def test_a_row_without_a_step_returns_its_initial_state(make):
    layer = random_layer(make, return_state=True, learn_initial_state=True)
    nothing = np.zeros((B, T), bool)
    output, *states = layer(X, mask=nothing)
    learned = [
        np.tile(np.asarray(w), (B, 1)) for w in keras.tree.flatten(layer.initial_state_weights)
    ]
    assert not np.asarray(output).any()
    assert_equal(states, learned)
    states = random_states(layer)
    _, *returned = layer(X, initial_state=states, mask=nothing)
    assert_equal(returned, states)


# Directions and loops.


@every_forward_layer
def test_backwards_over_a_padded_row_is_forwards_over_its_reverse(make):
    layer = random_layer(make, return_state=True)
    backwards = twin(make, layer, return_state=True, go_backwards=True, zero_output_for_mask=True)
    y, *states = backwards(X, mask=MASK)
    y = np.asarray(y)[:, ::-1]  # in the order of time
    for row, length in enumerate(MASK.sum(axis=1)):
        alone, *last = layer(X[row : row + 1, :length][:, ::-1])
        assert_equal(y[row, :length], np.asarray(alone)[0, ::-1])
        ends = [np.asarray(s)[row : row + 1] for s in keras.tree.flatten(states)]
        assert_equal(ends, last)


@every_layer
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])
def test_unrolled_equals_looped(make, mask):
    looped = random_layer(make)
    unrolled = twin(make, looped, unroll=True)
    states = keras.tree.flatten(random_states(looped))

    def results(layer):
        def function(x, *given):
            given = keras.tree.pack_sequence_as(state_sizes(layer), given)
            return ops.sum(layer(x, initial_state=given, mask=mask) * UPSTREAM)

        return value_and_gradients(function, [X, *states], layer.trainable_weights)

    assert_equal(results(unrolled), results(looped))


@every_forward_layer
def test_returned_states_are_those_after_the_last_real_step(make):
    layer = random_layer(make, return_state=True)
    _, *states = layer(X, mask=MASK)
    for row, length in enumerate(MASK.sum(axis=1)):
        _, *alone = layer(X[row : row + 1, :length])
        ends = [np.asarray(s)[row : row + 1] for s in keras.tree.flatten(states)]
        assert_equal(ends, alone)


# Constants.


def attending(**options):
    return RNN(
        AttentionCell(SimpleRNNCell(N), BahdanauAttention(5)), return_sequences=True, **options
    )


@pytest.fixture
def memory():
    """A memory `(B, S, D)` and its mask."""
    return RNG.normal(size=(B, 4, 3)).astype("float32"), np.arange(4) < np.array([[4], [2], [1]])


def random_attending(memory, **options):
    return randomized(attending(**options), X, constants=memory[0], constants_mask=memory[1])


def attending_twin(layer, memory, **options):
    other = random_attending(memory, **options)
    for ours, value in zip(other.trainable_weights, layer.trainable_weights, strict=True):
        ours.assign(value)
    return other


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])
def test_unrolled_equals_looped_with_constants(memory, mask):
    looped = random_attending(memory)

    def results(layer):
        def function(x, constants):
            y = layer(x, mask=mask, constants=constants, constants_mask=memory[1])
            return ops.sum(y * UPSTREAM)

        return value_and_gradients(function, [X, memory[0]], layer.trainable_weights)

    assert_equal(results(attending_twin(looped, memory, unroll=True)), results(looped))


def test_backwards_with_constants_is_forwards_on_the_reversed_sequence(memory):
    constants = {"constants": memory[0], "constants_mask": memory[1]}
    layer = random_attending(memory)
    backwards = attending_twin(layer, memory, go_backwards=True)
    assert_equal(backwards(X, **constants), layer(X[:, ::-1], **constants))


def test_states_are_carried_beside_constants(memory):
    """The memory is the same for all segments, and no part of what is carried."""
    constants = {"constants": memory[0], "constants_mask": memory[1]}
    layer = random_attending(memory)
    carried = attending_twin(layer, memory, stateful=True)
    carried.reset_state()
    pieces = [carried(X[:, piece], **constants) for piece in segments(3)]
    assert_equal(ops.concatenate(pieces, axis=1), layer(X, **constants))
    assert [tuple(s.shape) for s in keras.tree.flatten(carried.states)] == [(B, N)]
