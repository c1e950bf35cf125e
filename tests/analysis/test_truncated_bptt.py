"""The terms of BPTT; erratum X10 (a window of L has L terms)."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras import layers
from seqkeras.analysis.truncated_bptt import bptt_sums, segment_gradient, truncated_gradient
from tests.cells import numpy_cells
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(0)
B, T, D, H = 2, 6, 3, 4
X = RNG.normal(size=(B, T, D))
WEIGHTS = RNG.normal(size=(B, T, H))
NAMES = ("kernel", "recurrent_kernel", "bias")

LAYERS = {
    "elman": lambda: layers.SimpleRNN(H, return_sequences=True, dtype="float64"),
    "lstm": lambda: layers.LSTM(H, return_sequences=True, dtype="float64"),
    "gru": lambda: layers.GRU(H, return_sequences=True, dtype="float64"),
    "keras": lambda: keras.layers.LSTM(H, return_sequences=True, dtype="float64"),
}


def loss(outputs):
    """A loss of every step: sum_t sum w_t h_t^2."""
    return ops.sum(WEIGHTS * ops.square(outputs))


def random(kind):
    return numpy_cells.randomized(LAYERS[kind](), X)


def full_gradient(layer, inputs=X, states=None):
    variables = layer.trainable_variables
    function = lambda x: loss(layer(x, initial_state=states))  # noqa: E731
    _, _, gradients = value_and_gradients(function, [inputs], variables)
    return dict(zip((v.path.rpartition("/")[2] for v in variables), gradients, strict=True))


def assert_same(measured, expected):
    assert set(measured) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-8, atol=1e-11, err_msg=name)


def elman_terms(layer):
    """e_t (prod dh/dh) d+h_tau/dU in NumPy, notes B (5): `{(t, tau): (H, H)}`."""
    kernel, recurrent, bias = layer.get_weights()
    h = [np.zeros((B, H))]
    for t in range(T):
        h.append(np.tanh(X[:, t] @ kernel + h[-1] @ recurrent + bias))
    terms = {}
    for t in range(1, T + 1):
        back = 2 * WEIGHTS[:, t - 1] * h[t]  # e_t
        for tau in range(t, 0, -1):
            by_a = back * (1 - h[tau] ** 2)
            terms[t, tau] = h[tau - 1].T @ by_a
            back = by_a @ recurrent.T
    return terms


@pytest.mark.parametrize("kind", LAYERS)
def test_a_5_the_terms_of_the_steps_sum_to_the_gradient(kind):
    layer = random(kind)
    sums = bptt_sums(layer, X, loss)
    assert set(sums) == set(NAMES)
    assert all(len(terms) == T for terms in sums.values())
    assert_same({name: terms.sum(0) for name, terms in sums.items()}, full_gradient(layer))


def test_a_5_each_term_is_that_of_its_step():
    layer = random("elman")
    terms, sums = elman_terms(layer), bptt_sums(layer, X, loss)["recurrent_kernel"]
    for tau in range(1, T + 1):
        expected = sum(terms[t, tau] for t in range(tau, T + 1))
        np.testing.assert_allclose(sums[tau - 1], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(sums[0], 0.0)  # h_0 = 0


def test_a_loss_of_the_last_step_only_reaches_all_steps():
    layer = random("gru")
    sums = bptt_sums(layer, X, lambda y: ops.sum(y[:, 2]))
    assert np.all([np.any(term != 0) for term in sums["kernel"][:3]])
    np.testing.assert_array_equal(sums["kernel"][3:], 0.0)


@pytest.mark.parametrize("window", range(1, T + 1))
def test_x10_a_window_of_l_has_l_terms(window):
    layer = random("elman")
    terms = elman_terms(layer)
    inside = {(t, tau): x for (t, tau), x in terms.items() if t - window < tau}
    # Of the notes' formula there would be one more for each t > window.
    assert [sum(t == s for s, _ in inside) for t in range(1, T + 1)] == [
        min(t, window) for t in range(1, T + 1)
    ]
    measured = truncated_gradient(layer, X, loss, window)["recurrent_kernel"]
    np.testing.assert_allclose(measured, sum(inside.values()), rtol=1e-9, atol=1e-12)


def test_x10_the_terms_that_are_not_zero_are_counted():
    # h_t = h_{t-1} + b with a loss of the last step: every term of the gradient by b is 1.
    layer = layers.SimpleRNN(1, "linear", dtype="float64")
    layer.build((None, None, 1))
    layer.set_weights([np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1)])
    x = np.zeros((1, T, 1))
    for window in range(1, T + 3):
        bias = truncated_gradient(layer, x, lambda y: ops.sum(y[:, -1]), window)["bias"]
        assert bias.item() == min(window, T)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("window", [T, 10 * T])
def test_a_window_of_the_whole_sequence_is_the_full_gradient(kind, window):
    layer = random(kind)
    assert_same(truncated_gradient(layer, X, loss, window), full_gradient(layer))


def test_a_window_of_one_step_is_no_recurrence_at_all():
    layer = random("lstm")
    expected = dict.fromkeys(NAMES, 0.0)
    states = [np.zeros((B, H))] * 2
    for t in range(T):
        step_loss = lambda y, t=t: ops.sum(WEIGHTS[:, t : t + 1] * ops.square(y))  # noqa: E731
        one = truncated_gradient(layer, X[:, t : t + 1], step_loss, 1, initial_state=states)
        expected = {name: expected[name] + one[name] for name in NAMES}
        _, states = numpy_cells.run(numpy_cells.lstm, layer.get_weights(), X[:, t : t + 1], states)
    assert_same(truncated_gradient(layer, X, loss, 1), expected)


@pytest.mark.parametrize("segment", [1, 2, 4, T])
def test_segments_are_what_training_with_carried_states_gives(segment):
    layer = numpy_cells.randomized(
        layers.GRU(H, return_sequences=True, return_state=True, dtype="float64"), X
    )

    def carried(x):
        outputs, states = [], [ops.zeros((B, H), dtype="float64")]
        for start in range(0, T, segment):
            y, *states = layer(x[:, start : start + segment], initial_state=states)
            states = [ops.stop_gradient(s) for s in states]
            outputs.append(y)
        return loss(ops.concatenate(outputs, axis=1))

    value, _, gradients = value_and_gradients(carried, [X], layer.trainable_variables)
    assert_same(segment_gradient(layer, X, loss, segment), dict(zip(NAMES, gradients, strict=True)))
    # The loss over segments is that of the whole; only the gradient is cut.
    assert value == pytest.approx(float(loss(layer(X)[0])), rel=1e-12)


def test_segments_are_not_windows():
    layer = random("elman")
    terms = elman_terms(layer)
    counts = [(t - 1) % 3 + 1 for t in range(1, T + 1)]  # 1 2 3 1 2 3, and not 1 2 3 3 3 3
    kept = [x for (t, tau), x in terms.items() if tau > t - counts[t - 1]]
    segments = segment_gradient(layer, X, loss, 3)["recurrent_kernel"]
    np.testing.assert_allclose(segments, sum(kept), rtol=1e-9, atol=1e-12)
    windows = truncated_gradient(layer, X, loss, 3)["recurrent_kernel"]
    assert np.abs(segments - windows).max() > 0.01
    assert_same(segment_gradient(layer, X, loss, T), full_gradient(layer))


def test_longer_windows_come_closer_where_gradients_vanish():
    layer = LAYERS["elman"]()
    layer.build((None, None, D))
    layer.set_weights([RNG.normal(size=(D, H)), 0.3 * np.eye(H), np.zeros(H)])
    full = full_gradient(layer)["recurrent_kernel"]
    errors = [
        np.abs(truncated_gradient(layer, X, loss, window)["recurrent_kernel"] - full).max()
        for window in range(1, T + 1)
    ]
    assert all(b < 0.5 * a for a, b in itertools.pairwise(errors[:-1]))
    assert max(errors[-2:]) < 1e-12  # the longest path ends in h_0 = 0


@pytest.mark.parametrize("function", [truncated_gradient, segment_gradient])
def test_at_least_one_step(function):
    with pytest.raises(ValueError, match="expected at least 1 step, got 0"):
        function(layers.GRU(H), X, loss, 0)
