import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.ops.vjp import vjp

RNG = np.random.default_rng(0)


def test_cotangents_times_the_jacobian():
    a, x = RNG.normal(size=(2, 3)), RNG.normal(size=(4, 2))
    v, w = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 2))
    a, x, v, w = (z.astype("float32") for z in (a, x, v, w))
    (by_a, by_x), by_variables = vjp(lambda a, x: [ops.matmul(x, a), ops.square(x)], [a, x], [v, w])
    np.testing.assert_allclose(by_a, x.T @ v, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_x, v @ a.T + 2 * x * w, rtol=1e-5, atol=1e-6)
    assert list(by_variables) == []


def test_variables_that_the_function_reads():
    kernel = keras.Variable(RNG.normal(size=(2, 3)).astype("float32"))
    unused = keras.Variable(np.ones(2, "float32"))
    x, v = (RNG.normal(size=s).astype("float32") for s in ((4, 2), (4, 3)))
    (by_x,), (by_kernel, by_unused) = vjp(
        lambda x: [ops.matmul(x, kernel)], [x], [v], [kernel, unused]
    )
    np.testing.assert_allclose(by_x, v @ ops.convert_to_numpy(kernel).T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_kernel, x.T @ v, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(by_unused, np.zeros(2))


def test_a_backend_without_gradients_is_named(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(NotImplementedError, match="tensorflow or jax backend, got 'numpy'"):
        vjp(lambda x: [x], [np.ones(1)], [np.ones(1)])
