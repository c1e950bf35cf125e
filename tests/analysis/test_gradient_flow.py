"""Norms and Jacobians through time; errata X03 (non-normal W), X04 (a bound), X27 (|w| > 1)."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras import layers
from seqkeras.analysis.gradient_flow import (
    gradient_norms,
    lag_jacobians,
    spectral_norm,
    step_jacobians,
)
from seqkeras.ops.vjp import vjp
from tests.analysis.finite_differences import jacobian
from tests.cells import numpy_cells

RNG = np.random.default_rng(0)
B, T, D, H = 3, 6, 2, 4
X = RNG.normal(size=(B, T, D))

CELLS = {
    "elman": (layers.SimpleRNN, numpy_cells.elman, 1, {}),
    "lstm": (layers.LSTM, numpy_cells.lstm, 2, {}),
    "gru": (layers.GRU, numpy_cells.gru_reset_before, 1, {"reset_after": False}),
}

RECURRENT = [name for name, value in vars(layers).items() if getattr(value, "cell_class", None)]
OPTIONS = {"ProjectedLSTM": {"projection_units": 3}}  # what a layer cannot do without


def linear(kernel, activation="linear", **options):
    """Returns an Elman layer with given recurrent weights, in float64."""
    layer = layers.SimpleRNN(len(kernel), activation, dtype="float64", **options)
    layer.build((None, None, D))
    layer.set_weights([RNG.normal(size=(D, len(kernel))), kernel, RNG.normal(size=len(kernel))])
    return layer


def orthogonal(size):
    return np.linalg.qr(RNG.normal(size=(size, size)))[0]


@pytest.mark.parametrize("name", CELLS)
def test_jacobians_of_states_are_those_of_finite_differences(name):
    layer_class, step, states, options = CELLS[name]
    layer = numpy_cells.randomized(layer_class(H, dtype="float64", **options), X)
    weights = layer.get_weights()

    def run(s, x):
        for t in range(x.shape[1]):
            _, new = step(x[:, t], np.split(s, states, axis=1), weights)
            s = np.concatenate(new, axis=1)
        return s

    start = RNG.normal(size=(B, states * H), scale=0.5)
    measured = lag_jacobians(layer, X, initial_state=np.split(start, states, axis=1))
    per_step = step_jacobians(layer, X, initial_state=np.split(start, states, axis=1))
    for lag in (0, 1, 3, T):
        s = run(start, X[:, : T - lag])
        expected = jacobian(lambda s, lag=lag: run(s, X[:, T - lag :]), s)
        np.testing.assert_allclose(measured[lag], expected, rtol=1e-6, atol=1e-8)
        if lag:
            one = jacobian(lambda s, lag=lag: run(s, X[:, T - lag : T - lag + 1]), s)
            np.testing.assert_allclose(per_step[T - lag], one, rtol=1e-6, atol=1e-8)


def test_they_are_those_of_differentiating_the_whole_layer():
    layer = numpy_cells.randomized(layers.GRU(H, dtype="float64"), X)
    start = RNG.normal(size=(B, H), scale=0.5)
    expected = jacobian(lambda h: ops.convert_to_numpy(layer(X, initial_state=[h])), start)
    measured = lag_jacobians(layer, X, initial_state=[start])[T]
    np.testing.assert_allclose(measured, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", RECURRENT)
def test_every_recurrent_layer_by_the_gradient_of_its_own_loop(name):
    layer = vars(layers)[name](H, return_state=True, **OPTIONS.get(name, {}))
    x = X.astype("float32")
    _, *states = layer(x)
    start = [RNG.normal(size=s.shape, scale=0.5).astype("float32") for s in states]
    cotangents = [RNG.normal(size=s.shape).astype("float32") for s in states]
    expected, _ = vjp(lambda *s: layer(x, initial_state=list(s))[1:], start, cotangents)
    product = lag_jacobians(layer, x, initial_state=start)[T]
    measured = np.einsum("bi,bij->bj", np.concatenate(cotangents, axis=1), product)
    np.testing.assert_allclose(measured, np.concatenate(expected, axis=1), rtol=1e-3, atol=1e-4)


def test_norms_are_singular_values_of_the_jacobians():
    layer = numpy_cells.randomized(layers.LSTM(H), X)
    norms, jacobians = gradient_norms(layer, X), lag_jacobians(layer, X)
    singular = np.linalg.svd(jacobians, compute_uv=False)
    np.testing.assert_allclose(norms.spectral, singular[..., 0], rtol=1e-5)
    np.testing.assert_allclose(norms.frobenius, np.sqrt((singular**2).sum(-1)), rtol=1e-5)
    assert norms.lags.tolist() == list(range(T + 1))
    for state, part in enumerate((slice(0, H), slice(H, 2 * H))):
        block = np.linalg.svd(jacobians[:, :, part, part], compute_uv=False)[..., 0]
        one = gradient_norms(layer, X, lags=[5, 2, 99], state=state)
        assert one.lags.tolist() == [2, 5]
        np.testing.assert_allclose(one.spectral, block[[2, 5]], rtol=1e-5)


def test_a_linear_network_has_the_powers_of_its_matrix():
    kernel = RNG.normal(size=(H, H), scale=0.6)
    norms = gradient_norms(linear(kernel), X)
    for lag in range(T + 1):
        power = np.linalg.svd(np.linalg.matrix_power(kernel, lag), compute_uv=False)[0]
        np.testing.assert_allclose(norms.spectral[lag], power, rtol=1e-10)
    sigma = np.linalg.svd(kernel, compute_uv=False)[0]
    assert norms.sigma_max == pytest.approx(sigma, rel=1e-12)
    np.testing.assert_allclose(norms.bound[:, 0], sigma ** np.arange(T + 1), rtol=1e-10)


def test_x04_the_bound_is_an_equality_for_orthogonal_weights_and_no_nonlinearity():
    norms = gradient_norms(linear(1.3 * orthogonal(H)), X)
    np.testing.assert_allclose(norms.spectral, norms.bound, rtol=1e-10)
    np.testing.assert_allclose(norms.spectral[:, 0], 1.3 ** np.arange(T + 1), rtol=1e-10)


@pytest.mark.parametrize(("activation", "steepest"), [("tanh", 1.0), ("sigmoid", 0.25)])
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_x04_the_bound_holds(activation, steepest, scale):
    layer = linear(scale * RNG.normal(size=(H, H)), activation, return_sequences=True)
    norms = gradient_norms(layer, X)
    assert np.all(norms.spectral <= norms.bound * (1 + 1e-9))
    worst = (steepest * norms.sigma_max) ** norms.lags[:, None]
    assert np.all(norms.bound <= worst * (1 + 1e-9))
    # The bound in NumPy, from the outputs: phi' is 1 - h^2 or h (1 - h).
    h = ops.convert_to_numpy(layer(X))
    slopes = 1 - h**2 if activation == "tanh" else h * (1 - h)
    sigma = np.linalg.svd(layer.get_weights()[1], compute_uv=False)[0]
    backwards = np.cumprod((sigma * slopes.max(-1))[:, ::-1], axis=1).T
    np.testing.assert_allclose(norms.bound[1:], backwards, rtol=1e-9)


def test_a_10_weights_below_one_make_gradients_vanish():
    kernel = RNG.normal(size=(H, H))
    kernel *= 0.5 / np.linalg.svd(kernel, compute_uv=False)[0]
    x = RNG.normal(size=(2, 60, D))
    norms = gradient_norms(linear(kernel, "tanh"), x)
    assert np.all(norms.spectral <= 0.5 ** norms.lags[:, None] * (1 + 1e-9))
    assert np.all(norms.spectral[60] < 1e-17)


def test_x03_a_matrix_that_is_not_normal_grows_before_it_vanishes():
    kernel = np.array([[0.9, 1.0], [0.0, 0.9]])
    spectral_radius = np.abs(np.linalg.eigvals(kernel)).max()
    norms = gradient_norms(linear(kernel), RNG.normal(size=(1, 200, D)))
    assert spectral_radius < 1 < norms.sigma_max
    assert not np.isclose(norms.sigma_max, spectral_radius)
    # [[a, 1], [0, a]]^k = [[a^k, k a^(k-1)], [0, a^k]] peaks at k = -1 / log a, about 9.5.
    k = norms.lags
    peak = np.argmax(norms.spectral[:, 0])
    assert peak in (9, 10)
    assert norms.spectral[peak, 0] > 3.8
    frobenius = np.sqrt(2 * 0.9 ** (2.0 * k) + (k * 0.9 ** (k - 1.0)) ** 2)
    np.testing.assert_allclose(norms.frobenius[:, 0], frobenius, rtol=1e-10)
    assert norms.spectral[-1, 0] < 1e-6
    assert norms.bound[-1, 0] > 1e20  # an upper bound only: above 1 it proves nothing


@pytest.mark.parametrize(("w", "explodes"), [(-1.1, True), (-0.9, False), (1.1, True)])
def test_x27_it_is_the_size_of_a_scalar_weight_that_counts(w, explodes):
    products = lag_jacobians(linear(np.array([[w]])), RNG.normal(size=(1, 50, D)))[:, 0, 0, 0]
    np.testing.assert_allclose(products, w ** np.arange(51), rtol=1e-10)
    assert bool(abs(products[-1]) > 100) is explodes
    signs = np.sign(products[1:])
    expected = np.ones(50) if w > 0 else np.resize([-1.0, 1.0], 50)
    np.testing.assert_array_equal(signs, expected)


def test_gates_that_keep_everything_keep_the_gradient():
    layer = layers.LSTM(H, dtype="float64")
    layer.build((None, None, D))
    kernel, recurrent, bias = (np.zeros_like(w) for w in layer.get_weights())
    bias[:H], bias[H : 2 * H] = -1e3, 1e3  # i = 0, f = 1
    layer.set_weights([kernel, recurrent, bias])
    jacobians = lag_jacobians(layer, X)[:, :, H:, H:]
    np.testing.assert_allclose(jacobians, np.broadcast_to(np.eye(H), (T + 1, B, H, H)), atol=1e-12)


def test_only_networks_of_elmans_form_have_the_bound():
    for layer in (layers.LSTM(H), layers.GRU(H)):
        norms = gradient_norms(layer, X)
        assert norms.bound is None
        assert norms.sigma_max is None


@keras.saving.register_keras_serializable(package="tests")
class LeakyCell(layers.SimpleRNNCell):
    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h, _ = super().advance(z_t, states, weights, noise, dot)
        return h + states[0], [h + states[0]]


def test_a_cell_with_elmans_weights_but_another_step_has_no_bound():
    assert gradient_norms(layers.RNN(LeakyCell(H)), X).bound is None


def test_lags_count_back_from_the_last_real_step():
    layer = numpy_cells.randomized(layers.LSTM(H, dtype="float64"), X)
    mask = np.arange(T) < np.array([[T], [4], [0]])
    norms = gradient_norms(layer, np.where(mask[:, :, None], X, np.nan), mask)
    np.testing.assert_allclose(norms.spectral[:, 0], gradient_norms(layer, X[:1]).spectral[:, 0])
    short = gradient_norms(layer, X[1:2, :4]).spectral[:, 0]
    np.testing.assert_allclose(norms.spectral[:5, 1], short)
    assert np.isnan(norms.spectral[5:, 1]).all()
    np.testing.assert_allclose(norms.spectral[0], 1.0)
    assert np.isnan(norms.spectral[1:, 2]).all()
    np.testing.assert_allclose(norms.typical()[T], norms.spectral[T, 0])
    padded = step_jacobians(layer, X, mask)[4:, 1]
    np.testing.assert_array_equal(padded, np.broadcast_to(np.eye(2 * H), padded.shape))


def test_the_direction_of_time_is_the_layers():
    forwards = numpy_cells.randomized(layers.GRU(H, dtype="float64"), X)
    backwards = layers.GRU(H, go_backwards=True, dtype="float64")
    backwards.build(X.shape)
    backwards.set_weights(forwards.get_weights())
    np.testing.assert_allclose(
        gradient_norms(backwards, X).spectral, gradient_norms(forwards, X[:, ::-1]).spectral
    )


def test_norms_beyond_the_range_of_floats():
    x = np.zeros((1, 400, D))
    tiny = gradient_norms(linear(0.1 * np.eye(2)), x).spectral[:, 0]
    huge = gradient_norms(linear(10.0 * np.eye(2)), x)
    assert tiny[300] == pytest.approx(1e-300, rel=1e-9)
    assert tiny[400] == 0.0
    assert huge.spectral[300, 0] == pytest.approx(1e300, rel=1e-9)
    assert np.isinf(huge.spectral[400, 0])
    assert np.isinf(huge.bound[400, 0])


def test_chunks_change_nothing(monkeypatch):
    layer = numpy_cells.randomized(layers.LSTM(H, dtype="float64"), X)
    mask = np.arange(T) < np.array([[T], [4], [1]])
    whole = lag_jacobians(layer, X, mask), step_jacobians(layer, X, mask)
    monkeypatch.setattr("seqkeras.analysis.gradient_flow.ENTRIES", 1)
    np.testing.assert_allclose(lag_jacobians(layer, X, mask), whole[0], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(step_jacobians(layer, X, mask), whole[1], rtol=1e-12, atol=1e-15)


def test_dropout_is_for_training():
    layer = numpy_cells.randomized(layers.LSTM(H, dropout=0.5, recurrent_dropout=0.5), X)
    np.testing.assert_array_equal(step_jacobians(layer, X), step_jacobians(layer, X))


def test_spectral_norms():
    matrices = RNG.normal(size=(2, 3, 5, 4))
    expected = np.linalg.svd(matrices, compute_uv=False)[..., 0]
    np.testing.assert_allclose(spectral_norm(matrices), expected, rtol=1e-12)
    matrices[0, 1, 2, 3] = np.nan
    expected[0, 1] = np.nan
    np.testing.assert_allclose(spectral_norm(matrices), expected, rtol=1e-12)


def test_no_lag_is_left():
    with pytest.raises(ValueError, match=r"lags: expected at least one in 0..6, got \[7\]"):
        gradient_norms(layers.GRU(2), X, lags=[7])
