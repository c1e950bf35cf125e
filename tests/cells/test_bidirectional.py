import keras
import numpy as np
import pytest

from seqkeras.layers import GRU, LSTM, RNN, Bidirectional, GRUCell
from tests.cells.numpy_cells import lstm, randomized, run
from tests.contract import check_layer_contract, with_and_without_xla

N, M = 4, 2  # units of each direction, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
MASK = np.arange(5) < np.array([5, 3, 0])[:, None]
STATES = list(RNG.normal(size=(4, 3, N)).astype("float32"))


def random_layer(layer=None, **options):
    layer = layer or LSTM(N, return_sequences=True)
    return randomized(Bidirectional(layer, **options), X)


def reversed_rows(x, mask):
    """Every row's real steps in reverse, by a loop over the rows."""
    x = np.array(x)
    for row, length in enumerate(mask.sum(axis=1)):
        x[row, :length] = x[row, :length][::-1]
    return x


def assert_equal(ours, expected):
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.covers("Bidirectional", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("merge_mode", ["concat", None])
def test_contract(merge_mode, jit_compile):
    check_layer_contract(
        lambda: Bidirectional(
            LSTM(N, return_sequences=True, return_state=True), merge_mode=merge_mode
        ),
        {"sequences": X, "initial_state": STATES},
        parameters=2 * 4 * N * (N + M + 1),
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("Bidirectional", kind="oracle")
def test_equals_two_loops_in_numpy():
    layer = random_layer()
    weights = layer.get_weights()
    zeros = [np.zeros((3, N))] * 2
    h, _ = run(lstm, weights[:3], X, zeros, MASK)
    g, _ = run(lstm, weights[3:], reversed_rows(X, MASK), zeros, MASK)
    expected = np.concatenate([h, reversed_rows(g, MASK)], axis=-1) * MASK[..., None]
    assert_equal(layer(X, mask=MASK), expected)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "ave", "mul", None])
@pytest.mark.parametrize("return_sequences", [True, False])
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])
def test_equals_keras_with_its_weights(merge_mode, return_sequences, mask):
    options = {"return_sequences": return_sequences, "return_state": True}
    theirs = keras.layers.Bidirectional(keras.layers.GRU(N, **options), merge_mode=merge_mode)
    randomized(theirs, X)
    ours = Bidirectional(GRU(N, **options), merge_mode=merge_mode)
    ours.build(X.shape)
    ours.set_weights(theirs.get_weights())
    keras_mask = None if mask is None else keras.ops.convert_to_tensor(mask)
    assert_equal(ours(X, mask=mask), theirs(X, mask=keras_mask))


def test_reversing_x_and_exchanging_the_directions_reverses_the_output():
    layer = random_layer()
    weights = layer.get_weights()
    h, g = np.split(np.asarray(layer(X)), 2, axis=-1)
    layer.set_weights(weights[3:] + weights[:3])
    assert_equal(layer(X[:, ::-1]), np.concatenate([g, h], axis=-1)[:, ::-1])


def test_more_padding_changes_nothing():
    layer = random_layer()
    wider = np.concatenate([X, np.full((3, 2, M), np.nan, "float32")], axis=1)
    wider_mask = np.pad(MASK, ((0, 0), (0, 2)))
    outputs = np.asarray(layer(wider, mask=wider_mask))
    assert_equal(outputs[:, :5], layer(X, mask=MASK))
    assert not outputs[:, 5:].any()


def test_initial_states_are_forward_then_backward():
    layer = random_layer(GRU(N, return_sequences=True))
    forward, backward = layer.forward_layer, layer.backward_layer
    h = forward(X, initial_state=[STATES[0]])
    g = backward(X, initial_state=[STATES[1]])
    expected = np.concatenate([h, np.asarray(g)[:, ::-1]], axis=-1)
    assert_equal(layer(X, initial_state=STATES[:2]), expected)


def test_a_layer_that_runs_backwards_comes_second():
    """Given a layer with go_backwards, its copy runs forwards: the pair keeps its order."""
    layer = random_layer(GRU(N, return_sequences=True, go_backwards=True))
    plain = Bidirectional(GRU(N, return_sequences=True))
    plain.build(X.shape)
    weights = layer.get_weights()
    plain.set_weights(weights[3:] + weights[:3])
    h, g = np.split(np.asarray(plain(X)), 2, axis=-1)
    assert_equal(layer(X), np.concatenate([g, h], axis=-1))


def test_the_directions_may_differ():
    backward = GRU(5, return_state=True, go_backwards=True)
    layer = Bidirectional(LSTM(3, return_state=True), backward_layer=backward)
    shapes = [(3, 8), (3, 3), (3, 3), (3, 5)]
    output, *states = layer(X)
    assert [tuple(y.shape) for y in (output, *states)] == shapes
    assert list(layer.compute_output_shape(X.shape)) == shapes
    assert layer(X, initial_state=states)[0].shape == (3, 8)


def test_any_rnn_can_be_bidirectional():
    layer = Bidirectional(RNN([GRUCell(3), GRUCell(N)], return_sequences=True))
    assert layer(X).shape == (3, 5, 2 * N)


def test_the_states_of_both_directions_are_carried_and_reset():
    layer = random_layer(GRU(N, stateful=True))
    layer.reset_state()
    first = np.asarray(layer(X))
    assert np.abs(np.asarray(layer(X)) - first).max() > 1e-3
    layer.reset_state()
    np.testing.assert_array_equal(layer(X), first)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bidirectional(keras.layers.Dense(3)), "expected a recurrent layer"),
        (lambda: Bidirectional(GRU(3), merge_mode="max"), "merge_mode: expected one of"),
        (lambda: Bidirectional(GRU(3), backward_layer=GRU(3)), "different go_backwards"),
        (
            lambda: Bidirectional(
                GRU(3), backward_layer=GRU(3, go_backwards=True, return_sequences=True)
            ),
            "same return_sequences",
        ),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
