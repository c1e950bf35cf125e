import keras
import numpy as np
import pytest

from seqkeras import layers
from seqkeras.analysis.recurrence import Recurrence, real_steps

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 6, 2)).astype("float32")
MASK = np.arange(6) < np.array([[6], [4], [1]])


def stack():
    return layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True)


@pytest.mark.parametrize(
    "layer",
    [
        layers.SimpleRNN(4, return_sequences=True),
        layers.LSTM(4, return_sequences=True, learn_initial_state=True),
        layers.GRU(4, return_sequences=True, go_backwards=True),
        layers.RNN(keras.layers.LSTMCell(4), return_sequences=True),
        keras.layers.GRU(4, return_sequences=True),
        stack(),
    ],
    ids=["elman", "lstm", "backwards", "cell of Keras", "layer of Keras", "stack"],
)
def test_its_steps_are_those_of_the_layer(layer):
    expected = np.asarray(layer(X))
    run = Recurrence(layer, X)
    np.testing.assert_allclose(np.swapaxes(run.outputs, 0, 1), expected, rtol=1e-4, atol=1e-6)
    for t in range(6):
        y, s = run.step(run.inputs[t], run.states[t])
        np.testing.assert_allclose(y, run.outputs[t], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(s, run.states[t + 1], rtol=1e-4, atol=1e-6)


def test_a_state_vector_holds_every_state():
    run = Recurrence(stack(), X)
    assert run.sizes == [4, 4, 3]
    parts = [np.asarray(run.states)[:, :, run.part(state)] for state in range(3)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=-1), run.states)
    np.testing.assert_array_equal(run.to_vector(run.from_vector(run.states[2])), run.states[2])
    with pytest.raises(ValueError, match="index below 3"):
        run.part(3)


def test_the_last_real_state_is_that_of_the_masked_layer():
    layer = layers.LSTM(4, return_state=True)
    poisoned = np.where(MASK[:, :, None], X, np.nan)
    _, *states = layer(poisoned, mask=MASK)
    run = Recurrence(layer, poisoned, MASK)
    last = np.asarray(run.states)[run.lengths, np.arange(3)]
    np.testing.assert_allclose(last, np.concatenate(states, axis=-1), rtol=1e-4, atol=1e-6)


def test_initial_states_are_the_first():
    start = [RNG.normal(size=(3, 4)).astype("float32")]
    run = Recurrence(layers.GRU(4), X, initial_state=start)
    np.testing.assert_array_equal(run.states[0], start[0])


def test_real_steps_come_first_in_the_order_of_processing():
    x = np.arange(5.0).reshape(1, 5, 1)
    mask = np.array([[True, False, True, True, False]])
    there, lengths = real_steps(x, mask)
    back, _ = real_steps(x, mask, go_backwards=True)
    assert lengths.tolist() == [3]
    assert there.ravel().tolist() == [0, 2, 3, 0, 0]
    assert back.ravel().tolist() == [3, 2, 0, 0, 0]


def attention_layer():
    cell = layers.AttentionCell(layers.GRUCell(4), layers.BahdanauAttention(3))
    return layers.RNN(cell)


@pytest.mark.parametrize(
    ("layer", "inputs", "mask", "message"),
    [
        (keras.layers.Dense(2), X, None, "a recurrent layer with a cell"),
        (layers.Bidirectional(layers.GRU(2)), X, None, "forward_layer"),
        (attention_layer(), X, None, "reads a memory"),
        (layers.GRU(2), X[:, :, 0], None, "batch, time, features"),
        (layers.GRU(2), X, MASK[:, :3], "the shape \\(3, 6\\) of the inputs, got \\(3, 3\\)"),
    ],
    ids=["no cell", "both directions", "memory", "token ids", "mask"],
)
def test_what_it_cannot_take_apart(layer, inputs, mask, message):
    with pytest.raises(ValueError, match=message):
        Recurrence(layer, inputs, mask)
