"""The paths through an LSTM; errata X02 (h_{t-1} has a tanh) and X21 (the matrices of (21))."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras import layers
from seqkeras.analysis.lstm_paths import PATHS, lstm_paths
from seqkeras.ops.vjp import vjp
from tests.analysis.finite_differences import jacobian
from tests.cells import numpy_cells

RNG = np.random.default_rng(0)
B, T, D, H = 2, 5, 3, 4
X = RNG.normal(size=(B, T, D))
START = [RNG.normal(size=(B, H), scale=0.5) for _ in range(2)]


def random_lstm(**options):
    return numpy_cells.randomized(layers.LSTM(H, dtype="float64", **options), X)


def run_gates(layer, x, states):
    """The LSTM in NumPy: lists over t of h_t, c_t (from t = 0) and i, f, g, o (from t = 1)."""
    kernel, recurrent, bias = layer.get_weights()
    h, c = [states[0]], [states[1]]
    gates = []
    for t in range(x.shape[1]):
        a_i, a_f, a_c, a_o = np.split(x[:, t] @ kernel + h[-1] @ recurrent + bias, 4, axis=-1)
        i, f, o = (numpy_cells.sigmoid(a) for a in (a_i, a_f, a_o))
        g = np.tanh(a_c)
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
        gates.append({"i": i, "f": f, "g": g, "o": o})
    return h, c, gates


def candidates(c, o, x_t, weights):
    """c_t as a function of four copies of c_{t-1}, one for each path, with o_{t-1} given."""
    kernel, recurrent, bias = weights

    def c_t(direct, forget_gate, input_gate, candidate):
        def block(index, path):
            h = o * np.tanh(path)  # erratum X02: not o * c
            a = x_t @ kernel + h @ recurrent + bias
            return np.split(a, 4, axis=-1)[index]

        f = numpy_cells.sigmoid(block(1, forget_gate))
        i = numpy_cells.sigmoid(block(0, input_gate))
        return f * direct + i * np.tanh(block(2, candidate))

    # The factor beside each gate is held fixed: it is another path.
    return {
        name: lambda s, name=name: c_t(**{p: s if p == name else c for p in PATHS})
        for name in PATHS
    }


def test_x21_each_path_is_the_derivative_along_it():
    layer = random_lstm()
    h, c, gates = run_gates(layer, X, START)
    paths = lstm_paths(layer, X, START)
    for t in range(2, T + 1):
        o = gates[t - 2]["o"]
        np.testing.assert_allclose(h[t - 1], o * np.tanh(c[t - 1]), rtol=1e-12)  # X02
        alone = candidates(c[t - 1], o, X[:, t - 1], layer.get_weights())
        for name in PATHS:
            expected = jacobian(alone[name], c[t - 1])
            measured = getattr(paths, name)[t - 2]
            np.testing.assert_allclose(measured, expected, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("activations", [("tanh", "sigmoid"), ("softsign", "hard_sigmoid")])
def test_x21_their_sum_is_what_autodiff_gives_with_the_output_gate_held_fixed(activations):
    activation, gate = activations
    layer = random_lstm(activation=activation, recurrent_activation=gate)
    total = lstm_paths(layer, X, START).total
    phi = keras.activations.get(activation)
    states = START
    for t in range(1, T + 1):
        z = layer.cell.project(X[:, t - 1])
        if t > 1:
            c = ops.convert_to_tensor(states[1])
            o = states[0] / phi(c)

            def c_t(c, z=z, o=o):
                return [layer.cell.step(z, [o * phi(c), c])[1][1]]

            for row in range(H):
                unit = np.zeros((B, H))
                unit[:, row] = 1.0
                (expected,), _ = vjp(c_t, [c], [unit])
                np.testing.assert_allclose(total[t - 2][:, row], expected, rtol=1e-9, atol=1e-12)
        states = layer.cell.step(z, states)[1]


def test_the_recursion_13_to_22_gives_the_gradient_by_the_candidates_weights():
    """Forward accumulation of dh_T/dW_c in NumPy from dc_t/dc_{t-1}, against autodiff."""
    layer = random_lstm()
    start = [np.zeros((B, H))] * 2
    total = lstm_paths(layer, X).total
    h, c, gates = run_gates(layer, X, start)
    recurrent = layer.get_weights()[1]
    u_i, u_f, u_c, u_o = (u.T for u in np.split(recurrent, 4, axis=1))
    count = H * H  # of W_c, the block that g reads h_{t-1} through
    dc, do, dh = (np.zeros((B, H, count)) for _ in range(3))
    for t in range(1, T + 1):
        i, f, g, o = (gates[t - 1][name][..., None] for name in "ifgo")
        # d+g_t/dW_c: entry [n, (m, n)] is (1 - g_n^2) h_m
        direct = np.einsum("bn,bm,nk->bnmk", 1 - g[..., 0] ** 2, h[t - 1], np.eye(H))
        new_dc = i * direct.reshape(B, H, count)
        if t > 1:
            c_old = c[t - 1][..., None]
            J_h = c_old * f * (1 - f) * u_f + g * i * (1 - i) * u_i + i * (1 - g**2) * u_c  # (22)
            new_dc += total[t - 2] @ dc + J_h @ (np.tanh(c_old) * do)  # (21)
            do = (o * (1 - o) * u_o) @ dh  # (15), (20)
        dc = new_dc
        tanh_c = np.tanh(c[t])[..., None]
        dh = o * (1 - tanh_c**2) * dc + tanh_c * do  # (14)
    by_h = RNG.normal(size=(B, H))
    _, (_, expected, _) = vjp(lambda x: [layer(x)], [X], [by_h], layer.trainable_variables)
    measured = np.einsum("bn,bnw->w", by_h, dh).reshape(H, H)  # (13)
    expected = np.split(ops.convert_to_numpy(expected), 4, axis=1)[2]
    np.testing.assert_allclose(measured, expected, rtol=1e-8, atol=1e-12)


def test_gates_clamped_open_leave_the_direct_path_alone():
    layer = layers.LSTM(H, dtype="float64")
    layer.build((None, None, D))
    kernel, recurrent, bias = (RNG.normal(size=w.shape) for w in layer.get_weights())
    bias[:H], bias[H : 2 * H] = -1e4, 1e4  # i = 0, f = 1
    layer.set_weights([kernel, recurrent, bias])
    paths = lstm_paths(layer, X, START)
    np.testing.assert_array_equal(paths.total, np.broadcast_to(np.eye(H), paths.total.shape))
    for norms in paths.lag_norms().values():
        np.testing.assert_allclose(norms, 1.0)


def test_norms_of_the_paths_and_of_their_products():
    paths = lstm_paths(random_lstm(), X, START)
    norms, lag_norms = paths.norms(), paths.lag_norms()
    assert list(norms) == [*PATHS, "total"]
    for name, values in norms.items():
        expected = np.linalg.svd(getattr(paths, name), compute_uv=False)[..., 0]
        np.testing.assert_allclose(values, expected, rtol=1e-10)
    for name, values in lag_norms.items():
        product = np.broadcast_to(np.eye(H), (B, H, H))
        for lag in range(T):
            expected = np.linalg.svd(product, compute_uv=False)[..., 0]
            np.testing.assert_allclose(values[lag], expected, rtol=1e-8, err_msg=f"{name} {lag}")
            if lag < T - 1:
                product = product @ getattr(paths, name)[T - 2 - lag]


@pytest.mark.parametrize(
    ("layer", "inputs", "message"),
    [
        (layers.GRU(H), X, "expected an LSTM, got a GRUCell"),
        (layers.LSTM(H), X[:, :1], "at least 2 steps"),
    ],
    ids=["gru", "one step"],
)
def test_what_has_no_such_paths(layer, inputs, message):
    with pytest.raises(ValueError, match=message):
        lstm_paths(layer, inputs)


@keras.saving.register_keras_serializable(package="tests")
class ClippedCell(layers.LSTMCell):
    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h, (_, c) = super().advance(z_t, states, weights, noise, dot)
        return h, [h, ops.clip(c, -0.1, 0.1)]


def test_an_lstm_with_other_equations_is_refused():
    layer = numpy_cells.randomized(layers.RNN(ClippedCell(H)), X)
    with pytest.raises(ValueError, match="this ClippedCell computes something else"):
        lstm_paths(layer, X)
