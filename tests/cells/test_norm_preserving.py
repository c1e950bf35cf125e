"""What `OrthogonalRNN` and `UnitaryRNN` promise alike."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.cells.orthogonal import OrthogonalRNN
from seqkeras.cells.unitary import UnitaryRNN
from tests.contract import dtype_policy
from tests.gradients import value_and_gradients

N, M, T = 6, 2, 6  # units, features, steps
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, T, M)).astype("float32")
BOTH = pytest.mark.parametrize("layer_class", [OrthogonalRNN, UnitaryRNN])


def matrix_of(layer):
    return ops.convert_to_numpy(layer.recurrent_matrix()).astype("float64")


def distance_from_orthogonal(layer):
    Q = matrix_of(layer)
    return np.linalg.norm(Q.T @ Q - np.eye(len(Q)), 2)


def state_of(layer, scale=1.0):
    return (scale * RNG.normal(size=(3, layer.state_size[0]))).astype("float32")


@BOTH
def test_stays_orthogonal_while_it_trains(layer_class):
    """Rows A06 of docs/systems.md: |Q'Q - I| <= 1e-5, and |h Q| = |h|, after steps of Adam."""
    keras.utils.set_random_seed(0)
    layer = layer_class(16, return_sequences=True)
    model = keras.Sequential([keras.Input((T, M)), layer, keras.layers.Dense(1)])
    jit = keras.backend.backend() == "jax"  # TensorFlow would take longer to compile than to train
    model.compile(keras.optimizers.Adam(0.2), loss="mse", jit_compile=jit)
    before = matrix_of(layer)
    model.fit(X, RNG.normal(size=(3, T, 1)), epochs=15, verbose=0)
    assert np.linalg.norm(matrix_of(layer) - before, 2) > 0.5
    assert distance_from_orthogonal(layer) <= 1e-5
    h = state_of(layer)
    norms = np.linalg.norm(h @ matrix_of(layer), axis=-1)
    np.testing.assert_allclose(norms, np.linalg.norm(h, axis=-1), rtol=1e-5)


@BOTH
def test_without_inputs_the_norm_of_the_state_is_kept(layer_class):
    """At the start, where b = 0, and so is that of every gradient, over any number of steps."""
    layer = layer_class(N)
    x = np.zeros((3, 20, M), "float32")
    layer(x)
    h, random = state_of(layer), state_of(layer)

    def projection(h):
        return ops.sum(layer(x, initial_state=[h]) * random)

    norms = np.linalg.norm(layer(x, initial_state=[h]), axis=-1)
    np.testing.assert_allclose(norms, np.linalg.norm(h, axis=-1), rtol=1e-4)
    gradient = value_and_gradients(projection, [h])[1][0]
    expected = np.linalg.norm(random, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(gradient, axis=-1), expected, rtol=1e-4)


@BOTH
def test_leading_zeros_neither_lose_nor_blow_up_a_gradient(layer_class):
    """From h = 0 a picture's black rows leave h = 0, where modReLU has a corner."""
    layer = layer_class(N, learn_initial_state=True, bias_initializer="ones")
    x = np.zeros((3, 20, M), "float32")
    layer(x)
    random = state_of(layer)
    weights = layer.trainable_weights
    value, _, gradients = value_and_gradients(lambda: ops.sum(layer(x) * random), [], weights)
    assert value == 0.0
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    of_initial_state = gradients[[v.name for v in weights].index("initial_state")]
    expected = np.linalg.norm(random.sum(axis=0))
    assert np.linalg.norm(of_initial_state) == pytest.approx(expected, rel=1e-3)


@BOTH
def test_runs_in_the_rnn_of_keras(layer_class):
    ours = layer_class(N, return_sequences=True, bias_initializer="uniform")
    theirs = keras.layers.RNN(ours.cell, return_sequences=True)
    np.testing.assert_allclose(ours(X), theirs(X), rtol=1e-4, atol=1e-5)


@BOTH
def test_another_activation_gets_the_bias_in_its_argument(layer_class):
    layer = layer_class(N, activation="tanh", bias_initializer="ones", return_sequences=True)
    layer(X)
    kernel, Q = layer.get_weights()[0], matrix_of(layer)
    h, expected = np.zeros((3, len(Q))), []
    for t in range(T):
        h = np.tanh(X[:, t] @ kernel + h @ Q + 1.0)
        expected.append(h)
    np.testing.assert_allclose(layer(X), np.stack(expected, axis=1), rtol=1e-4, atol=1e-5)
    assert layer.get_config()["activation"] == "tanh"


@BOTH
def test_without_a_bias_modrelu_is_the_identity(layer_class):
    layer = layer_class(N, use_bias=False)
    linear = layer_class(N, activation="linear", use_bias=False)
    layer(X)
    linear(X)
    linear.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(X), linear(X))


@BOTH
def test_noise_falls_on_the_state_before_the_matrix(layer_class):
    cell = layer_class(N, recurrent_dropout=0.5, seed=1).cell
    cell.build((None, M))
    h = RNG.normal(size=(3, cell.state_size)).astype("float32")
    noise = ops.convert_to_numpy(cell.draw_noise(3, training=True))
    assert set(np.unique(noise)) == {0.0, 2.0}
    z_t = cell.project(X[:, 0])
    for a, b in zip(cell.step(z_t, [h], noise)[0], cell.step(z_t, [h * noise])[0], strict=True):
        np.testing.assert_array_equal(a, b)


@BOTH
def test_the_matrix_is_worked_out_in_float32_under_mixed_precision(layer_class):
    class Probe(keras.Layer):
        def __init__(self, cell):
            super().__init__()
            self.cell = cell

        def build(self, inputs_shape):
            self.cell.build(inputs_shape)

        def call(self, inputs):
            return self.cell.recurrent_matrix() + 0.0 * ops.cast(inputs[0, 0], "float32")

    with dtype_policy("mixed_bfloat16"):
        probe = Probe(layer_class(N).cell)
    Q = ops.convert_to_numpy(probe(X[:, 0]))
    assert Q.dtype == "float32"
    assert np.linalg.norm(Q.T @ Q - np.eye(len(Q)), 2) <= 1e-5
