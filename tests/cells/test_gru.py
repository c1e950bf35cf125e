import keras
import numpy as np
import pytest

from seqkeras.layers import GRU, GRUCell
from tests.cells.numpy_cells import gru_reset_after, gru_reset_before, randomized, run, sigmoid
from tests.contract import check_layer_contract, with_and_without_xla

N, M = 4, 2  # units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0 = RNG.normal(size=(3, N)).astype("float32")
STEPS = {True: gru_reset_after, False: gru_reset_before}
BOTH_FORMS = pytest.mark.parametrize("reset_after", [True, False])


def parameter_count(n, m, biases):
    return 3 * (n * (n + m) + biases * n)


def gru(**options):
    return randomized(GRU(N, return_sequences=True, **options), X)


def with_update_gate(layer, bias):
    """Sets b_z, the first third of the input bias."""
    kernel, recurrent, biases = layer.get_weights()
    (biases[0] if biases.ndim == 2 else biases)[:N] = bias
    layer.set_weights([kernel, recurrent, biases])
    return layer


@pytest.mark.covers("GRU", kind="contract")
@BOTH_FORMS
@with_and_without_xla
def test_contract(reset_after, jit_compile):
    check_layer_contract(
        lambda: GRU(N, reset_after=reset_after, return_sequences=True, return_state=True),
        {"sequences": X, "initial_state": [H0]},
        parameters=parameter_count(N, M, biases=2 if reset_after else 1),
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("GRUCell", kind="contract")
def test_cell_contract():
    check_layer_contract(
        lambda: GRUCell(N, reset_after=False, recurrent_activation="hard_sigmoid"),
        {"inputs": X[:, 0], "states": [H0]},
        parameters=parameter_count(N, M, biases=1),
    )


@pytest.mark.covers("GRU", "GRUCell", kind="oracle")
@BOTH_FORMS
def test_equals_a_loop_in_numpy(reset_after):
    layer = gru(reset_after=reset_after)
    expected, _ = run(STEPS[reset_after], layer.get_weights(), X, [H0])
    np.testing.assert_allclose(layer(X, initial_state=[H0]), expected, rtol=1e-5, atol=1e-6)


@BOTH_FORMS
@pytest.mark.parametrize("use_bias", [True, False])
def test_equals_keras_with_its_weights(reset_after, use_bias):
    options = {"reset_after": reset_after, "use_bias": use_bias}
    theirs = randomized(keras.layers.GRU(N, return_sequences=True, **options), X)
    ours = GRU(N, return_sequences=True, **options)
    ours.build(X.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(X), theirs(X), rtol=1e-5, atol=1e-6)


def test_the_two_places_of_the_reset_gate_are_different_functions():
    before, after = gru(reset_after=False), gru(reset_after=True)
    kernel, recurrent, bias = before.get_weights()
    after.set_weights([kernel, recurrent, np.stack([bias, np.zeros_like(bias)])])
    assert np.abs(np.asarray(before(X)) - np.asarray(after(X))).max() > 1e-2


@BOTH_FORMS
def test_update_gate_at_one_keeps_the_state(reset_after):
    layer = with_update_gate(gru(reset_after=reset_after), 100.0)
    outputs = np.asarray(layer(X, initial_state=[H0]))
    np.testing.assert_array_equal(outputs, np.broadcast_to(H0[:, None], outputs.shape))


def test_update_gate_at_zero_gives_the_candidate():
    layer = with_update_gate(gru(reset_after=False), -100.0)
    kernel, recurrent, bias = layer.get_weights()
    x, h = X[:, 0], H0
    r = sigmoid(x @ kernel[:, N : 2 * N] + h @ recurrent[:, N : 2 * N] + bias[N : 2 * N])
    c = np.tanh(x @ kernel[:, 2 * N :] + (r * h) @ recurrent[:, 2 * N :] + bias[2 * N :])
    np.testing.assert_allclose(layer(X, initial_state=[H0])[:, 0], c, rtol=1e-5, atol=1e-6)


def test_negating_the_update_gate_converts_to_the_notes_convention():
    """Erratum X07: h' = (1 - z) h + z c is the same cell with W_z, U_z and b_z negated."""

    def notes_step(x_t, states, weights):
        W, U, b = weights
        h = states[0]
        z = sigmoid(x_t @ W[:, :N] + h @ U[:, :N] + b[:N])
        r = sigmoid(x_t @ W[:, N : 2 * N] + h @ U[:, N : 2 * N] + b[N : 2 * N])
        c = np.tanh(x_t @ W[:, 2 * N :] + (r * h) @ U[:, 2 * N :] + b[2 * N :])
        h = (1 - z) * h + z * c
        return h, [h]

    layer = gru(reset_after=False)
    notes_weights = [w.copy() for w in layer.get_weights()]
    for w in notes_weights:
        w[..., :N] *= -1
    expected, _ = run(notes_step, notes_weights, X, [H0])
    np.testing.assert_allclose(layer(X, initial_state=[H0]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("use_bias", "biases"), [(False, 0), (True, 1)])
def test_parameter_counts_of_the_notes(use_bias, biases):
    """Erratum X29: 3n(n+m) without biases (notes A), 3(n(n+m)+n) with them (notes B)."""
    layer = GRU(N, use_bias=use_bias, reset_after=False)
    layer.build((None, None, M))
    assert layer.count_params() == parameter_count(N, M, biases)


@pytest.mark.parametrize(("options", "count"), [({}, 63), ({"reset_after": False}, 54)])
def test_keras_counts_with_two_biases_by_default(options, count):
    """At n = 3 and m = 2, in both libraries."""
    for layer in (keras.layers.GRU(3, **options), GRU(3, **options)):
        layer.build((None, None, 2))
        assert layer.count_params() == count
