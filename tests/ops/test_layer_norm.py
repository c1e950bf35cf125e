"""Row D08 of docs/systems.md and erratum X15: epsilon, gain and bias, and their places."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.ops.layer_norm import layer_norm, plain_layer_norm
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(0)
X = RNG.normal(2.0, 3.0, size=(3, 4, 6)).astype("float32")
GAIN, BIAS = RNG.normal(size=(2, 6)).astype("float32")
PROBE = RNG.normal(size=X.shape).astype("float32")
WEIGHTS = pytest.mark.parametrize(
    ("gain", "bias"), [(GAIN, BIAS), (GAIN, None), (None, BIAS), (None, None)]
)


def numpy_layer_norm(x, gain, bias, epsilon):
    """One row after the other, in float64."""
    rows = []
    for row in x.reshape(-1, x.shape[-1]).astype("float64"):
        mu = sum(row) / len(row)
        variance = sum((row - mu) ** 2) / len(row)
        rows.append((row - mu) / np.sqrt(variance + epsilon))
    y = np.array(rows).reshape(x.shape)
    return y * (1.0 if gain is None else gain) + (0.0 if bias is None else bias)


@WEIGHTS
@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_equals_the_equations_in_numpy(gain, bias, epsilon):
    found = ops.convert_to_numpy(layer_norm(X, gain, bias, epsilon))
    np.testing.assert_allclose(
        found, numpy_layer_norm(X, gain, bias, epsilon), rtol=1e-5, atol=1e-5
    )


@WEIGHTS
@pytest.mark.parametrize("shape", [(3, 4, 6), (12, 6), (1, 6), (0, 6)])
def test_values_and_gradients_equal_the_naive_twin(gain, bias, shape):
    x, probe = (np.resize(a, shape) for a in (X, PROBE))
    given = [w for w in (gain, bias) if w is not None]

    def of(function):
        def projection(x, *weights):
            left = list(weights)
            named = [None if w is None else left.pop(0) for w in (gain, bias)]
            return ops.sum(function(x, *named, 1e-3) * probe)

        return value_and_gradients(projection, [x, *given])

    (ours, by_ours, _), (naive, by_naive, _) = of(layer_norm), of(plain_layer_norm)
    np.testing.assert_allclose(ours, naive, rtol=1e-5, atol=1e-5)
    for a, b in zip(by_ours, by_naive, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_gradients_equal_finite_differences():
    x, step = X[0, :2].astype("float64"), 1e-4
    probe = PROBE[0, :2]
    _, (by_x,), _ = value_and_gradients(
        lambda x: ops.sum(layer_norm(x, GAIN, BIAS) * probe), [x.astype("float32")]
    )
    for place in np.ndindex(x.shape):
        ends = []
        for sign in (1.0, -1.0):
            moved = x.copy()
            moved[place] += sign * step
            ends.append((numpy_layer_norm(moved, GAIN, BIAS, 1e-5) * probe).sum())
        np.testing.assert_allclose(by_x[place], (ends[0] - ends[1]) / (2 * step), atol=1e-4)


@pytest.mark.tensorflow
@pytest.mark.parametrize("in_a_graph", [False, True])
def test_the_second_derivative_is_that_of_the_naive_twin(in_a_graph):
    import tensorflow as tf

    def second(function):
        def run(x):
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    y = tf.reduce_sum(function(x, GAIN, BIAS, 1e-3) * PROBE)
                loss = tf.reduce_sum(inner.gradient(y, x) ** 2)
            return outer.gradient(loss, x)

        return (tf.function(run) if in_a_graph else run)(tf.constant(X))

    ours, naive = second(layer_norm), second(plain_layer_norm)
    np.testing.assert_allclose(ours, naive, rtol=1e-3, atol=1e-5)


def test_rows_have_mean_0_and_variance_1_before_gain_and_bias():
    y = ops.convert_to_numpy(layer_norm(X, epsilon=1e-12))
    np.testing.assert_allclose(y.mean(axis=-1), np.zeros(X.shape[:-1]), atol=1e-6)
    np.testing.assert_allclose(y.var(axis=-1), np.ones(X.shape[:-1]), rtol=1e-5)


def test_scaling_and_shifting_a_row_changes_nothing():
    """LN(a x + b 1) = LN(x), a > 0, as epsilon goes to 0."""
    a, b = np.exp(RNG.normal(size=(2, 3, 4, 1))).astype("float32")
    expected = ops.convert_to_numpy(layer_norm(X, GAIN, BIAS, 1e-12))
    found = ops.convert_to_numpy(layer_norm(a * X - b, GAIN, BIAS, 1e-12))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_constant_row_gives_the_bias_with_finite_gradients():
    """X15: without epsilon, as the notes print (17), this is 0 / 0."""
    constant = np.full((2, 6), 7.0, "float32")
    found = ops.convert_to_numpy(layer_norm(constant, GAIN, BIAS))
    np.testing.assert_array_equal(found, np.tile(BIAS, (2, 1)))
    _, gradients, _ = value_and_gradients(
        lambda *x: ops.sum(layer_norm(*x) * PROBE[0, :2]), [constant, GAIN, BIAS]
    )
    assert all(np.isfinite(g).all() for g in gradients)


def test_a_large_mean_does_not_drown_the_variance():
    """E[x^2] - mu^2 would lose all digits here."""
    x = (X.astype("float64") + 1e4).astype("float32")
    found = ops.convert_to_numpy(layer_norm(x, epsilon=1e-5))
    np.testing.assert_allclose(found, numpy_layer_norm(x, None, None, 1e-5), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_computed_in_float32(dtype):
    x = ops.cast(300.0 * X, dtype)  # its squares are too large for float16
    y = layer_norm(x, GAIN, BIAS)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    wide = ops.convert_to_numpy(ops.cast(x, "float32"))
    expected = numpy_layer_norm(wide, GAIN, BIAS, 1e-5)
    found = ops.convert_to_numpy(ops.cast(y, "float32"))
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.tensorflow
def test_the_static_shape_is_kept_where_sizes_are_unknown():
    import tensorflow as tf

    shapes = []

    @tf.function(input_signature=[tf.TensorSpec((None, None, 6))])
    def run(x):
        y = layer_norm(x, GAIN, BIAS)
        shapes.append(y.shape.as_list())
        return y

    np.testing.assert_allclose(run(X), layer_norm(X, GAIN, BIAS), rtol=1e-5, atol=1e-6)
    assert shapes == [[None, None, 6]]
