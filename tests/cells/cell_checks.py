"""What every cell must do, whatever it computes, beside the layer contract."""

import keras
import numpy as np
from keras import ops

from seqkeras.layers import RNN
from tests.cells.numpy_cells import randomized
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 5, 2)).astype("float32")
MASK = np.arange(5) < np.array([5, 3, 1])[:, None]


def over_time(cell, layer_class=RNN, **options):
    """Returns a layer that runs the cell, with weights that are all random."""
    return randomized(layer_class(cell, return_sequences=True, return_state=True, **options), X)


def check_runs_in_keras(make_cell):
    """`keras.layers.RNN` gets the same from the cell, with and without a mask."""
    ours = over_time(make_cell())
    theirs = keras.layers.RNN(make_cell(), return_sequences=True, return_state=True)
    theirs.build(X.shape)
    theirs.set_weights(ours.get_weights())
    for mask in (None, MASK):
        for a, b in zip(ours(X, mask=mask), theirs(X, mask=mask), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def check_unrolled_equals_looped(make_cell):
    """Values and gradients, with a mask; in training too, which draws from the same seed."""
    direction = RNG.normal(size=(3, 5, 1)).astype("float32")
    looped, unrolled = over_time(make_cell()), over_time(make_cell(), unroll=True)
    unrolled.set_weights(looped.get_weights())

    def differentiated(layer):
        def projection(x):
            outputs, *last = layer(x, mask=MASK, training=True)
            return ops.sum(outputs * direction) + sum(ops.sum(s) for s in last)

        return value_and_gradients(projection, [X], layer.trainable_weights)

    results = (keras.tree.flatten(differentiated(layer)) for layer in (looped, unrolled))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def check_one_step_at_a_time(make_cell):
    """The cell, called for each step, does what the layer does with the whole sequence."""
    layer = over_time(make_cell())
    outputs, *last = layer(X)
    states = layer.cell.get_initial_state(batch_size=len(X))
    for t in range(X.shape[1]):
        output, states = layer.cell(X[:, t], states)
        np.testing.assert_allclose(output, outputs[:, t], rtol=1e-5, atol=1e-6)
    for a, b in zip(states, last, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def check_dropout(make_cell):
    """Dropout of inputs and of states: one mask for all steps, and none without training.

    `make_cell` takes the options `dropout`, `recurrent_dropout` and `seed`.
    """
    for name in ("dropout", "recurrent_dropout"):
        options = {name: 0.4, "seed": 1}
        plain, layer, by_hand = (over_time(make_cell(**o)) for o in ({}, options, options))
        for other in (layer, by_hand):
            other.set_weights(plain.get_weights())
        np.testing.assert_array_equal(layer(X)[0], plain(X)[0])
        dropped = np.asarray(layer(X, training=True)[0])
        assert np.abs(dropped - np.asarray(plain(X)[0])).max() > 1e-2, name

        cell = by_hand.cell
        noise = cell.draw_noise(len(X), training=True)
        z = cell.project(X.swapaxes(0, 1), training=True)
        states, outputs = cell.get_initial_state(batch_size=len(X)), []
        for t in range(X.shape[1]):
            output, states = cell.step(z[t], states, noise)
            outputs.append(output)
        expected = np.stack(outputs, axis=1)
        np.testing.assert_allclose(dropped, expected, rtol=1e-5, atol=1e-6, err_msg=name)


def check_input_dropout_leaves_the_state_path_alone(make_cell):
    """As the rate goes to 1 the inputs vanish, and the states go on as without inputs."""
    plain, dropped = over_time(make_cell()), over_time(make_cell(dropout=1 - 1e-9, seed=1))
    dropped.set_weights(plain.get_weights())
    initial = [np.ones((len(X), size), "float32") for size in plain.state_size]
    expected = plain(np.zeros_like(X), initial_state=initial)
    outputs = dropped(X, initial_state=initial, training=True)
    for a, b in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


CHECKS = [
    check_runs_in_keras,
    check_unrolled_equals_looped,
    check_one_step_at_a_time,
    check_dropout,
    check_input_dropout_leaves_the_state_path_alone,
]
