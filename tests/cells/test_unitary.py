import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.cells.unitary import UnitaryParameters, UnitaryRNN, UnitaryRNNCell
from tests.contract import check_layer_contract, with_and_without_xla

N, M = 4, 2  # complex units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0 = RNG.normal(size=(3, 2 * N)).astype("float32")
PARAMETERS = 2 * N * M + 7 * N + N


def random_layer():
    """A layer whose biases cut some units off and not others."""
    layer = UnitaryRNN(N, return_sequences=True)
    layer.build(X.shape)
    rng = np.random.default_rng(2)
    kernel, parameters = rng.normal(size=(M, 2 * N)), rng.normal(size=(7, N))
    layer.set_weights([kernel, parameters, np.array([-2.0, -0.5, 0.0, 0.5]), rng.permutation(N)])
    return layer


def oracle(weights, x, h):
    """The paper's equations, in complex numbers: h' = modReLU(V x + W h)."""
    kernel, p, b, permutation = weights
    V = (kernel[:, :N] + 1j * kernel[:, N:]).T
    F = np.fft.fft(np.eye(N), norm="ortho")
    D1, D2, D3 = (np.diag(np.exp(1j * w)) for w in p[:3])
    v1, v2 = p[3] + 1j * p[4], p[5] + 1j * p[6]
    R1, R2 = (np.eye(N) - 2 * np.outer(v, v.conj()) / np.vdot(v, v) for v in (v1, v2))
    W = D3 @ R2 @ F.conj().T @ D2 @ np.eye(N)[permutation] @ R1 @ F @ D1
    h, outputs = h[:, :N] + 1j * h[:, N:], []
    for t in range(x.shape[1]):
        z = x[:, t] @ V.T + h @ W.T
        h = np.where(np.abs(z) + b >= 0, (np.abs(z) + b) * z / np.abs(z), 0)
        outputs.append(np.concatenate([h.real, h.imag], axis=-1))
    return np.stack(outputs, axis=1)


@pytest.mark.covers("UnitaryRNN", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: UnitaryRNN(N, recurrent_initializer=UnitaryParameters(3), return_sequences=True),
        {"sequences": X},
        parameters=PARAMETERS,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("UnitaryRNNCell", kind="contract")
def test_cell_contract():
    check_layer_contract(
        lambda: UnitaryRNNCell(N, activation="tanh", seed=3),
        {"inputs": X[:, 0], "states": [H0]},
        parameters=PARAMETERS + N,
    )


@pytest.mark.covers("UnitaryRNN", "UnitaryRNNCell", kind="oracle")
def test_equals_complex_numbers():
    layer = random_layer()
    expected = oracle(layer.get_weights(), X, H0)
    assert (expected == 0).any()
    assert (expected != 0).any()
    np.testing.assert_allclose(layer(X, initial_state=[H0]), expected, rtol=1e-4, atol=1e-5)


def test_starts_as_in_the_paper():
    layer = UnitaryRNN(500)
    layer.build((None, None, M))
    _, parameters, bias, permutation = layer.get_weights()
    np.testing.assert_array_equal(bias, np.zeros(500))
    np.testing.assert_array_equal(np.sort(permutation), np.arange(500))
    assert not np.array_equal(permutation, np.arange(500))
    for rows, limit in ((parameters[:3], np.pi), (parameters[3:], 1.0)):
        assert np.abs(rows).max() == pytest.approx(limit, rel=0.02)
        assert rows.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_a_seed_fixes_the_permutation():
    layers = [UnitaryRNN(50, seed=seed) for seed in (1, 1, 2)]
    for layer in layers:
        layer.build((None, None, M))
    one, same, other = (ops.convert_to_numpy(layer.permutation) for layer in layers)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_permutation_does_not_train_and_is_saved(tmp_path):
    model = keras.Sequential([keras.Input((5, M)), UnitaryRNN(N)])
    before = ops.convert_to_numpy(model.layers[0].permutation)
    model.compile("adam", loss="mse")
    model.fit(X, np.zeros((3, 2 * N)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[0].permutation, before)
    np.testing.assert_allclose(loaded(X), model(X), rtol=1e-6)


def test_dropout_drops_complex_units_whole():
    cell = UnitaryRNNCell(N, recurrent_dropout=0.5, seed=1)
    noise = ops.convert_to_numpy(cell.draw_noise(8, training=True))
    np.testing.assert_array_equal(noise[:, :N], noise[:, N:])
    assert cell.draw_noise(8, training=False) is None


def test_the_same_seed_of_an_initializer_gives_the_same_start():
    one, same = (ops.convert_to_numpy(UnitaryParameters(5)((7, 3))) for _ in range(2))
    np.testing.assert_array_equal(one, same)
