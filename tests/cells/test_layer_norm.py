import keras
import numpy as np
import pytest

from seqkeras.cells.layer_norm import (
    LayerNormGRU,
    LayerNormGRUCell,
    LayerNormLSTM,
    LayerNormLSTMCell,
    normalized,
)
from seqkeras.layers import RNN, AttentionCell, BahdanauAttention, DotAttention
from tests.cells.cell_checks import CHECKS
from tests.cells.numpy_cells import randomized, run, sigmoid
from tests.contract import check_layer_contract, with_and_without_xla

N, M = 4, 3  # units, features
EPSILON = 1e-5
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0, C0 = RNG.normal(size=(2, 3, N)).astype("float32")
SEQUENCES = {"return_sequences": True, "return_state": True}
LAYERS = pytest.mark.parametrize("layer_class", [LayerNormLSTM, LayerNormGRU])
CELLS = [LayerNormLSTMCell, LayerNormGRUCell]
LSTM_COUNT = 4 * (N * (N + M) + N) + 2 * 4 * N + 2 * N
GRU_COUNT = 3 * N * (N + M + 2) + 2 * 3 * N


def norm(a, gain):
    mean, variance = a.mean(axis=-1, keepdims=True), a.var(axis=-1, keepdims=True)
    return (a - mean) / np.sqrt(variance + EPSILON) * gain


def layer_norm_lstm(x_t, states, weights):
    """Ba et al. 2016, (20)-(22), in NumPy."""
    W, U, b, gain_x, gain_h, gain_c, shift_c = weights
    h, c = states
    a = norm(x_t @ W, gain_x) + norm(h @ U, gain_h) + b
    i, f, g, o = np.split(a, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(norm(c, gain_c) + shift_c)
    return h, [h, c]


def layer_norm_gru(x_t, states, weights):
    """The paper's GRU in NumPy, with z on the old state."""
    (W_zr, W_c), (U_zr, U_c) = (np.split(w, [2 * N], axis=1) for w in weights[:2])
    (b_zr, b_c), (d_zr, d_c) = (np.split(b, [2 * N]) for b in weights[2])
    (gx_zr, gx_c), (gh_zr, gh_c) = (np.split(g, [2 * N]) for g in weights[3:])
    h = states[0]
    zr = norm(x_t @ W_zr, gx_zr) + norm(h @ U_zr, gh_zr) + b_zr + d_zr
    z, r = np.split(sigmoid(zr), 2, axis=-1)
    c = np.tanh(norm(x_t @ W_c, gx_c) + b_c + r * (norm(h @ U_c, gh_c) + d_c))
    h = z * h + (1 - z) * c
    return h, [h]


def random_layer(layer_class, **options):
    return randomized(layer_class(N, **SEQUENCES, **options), X)


def initial_states(layer):
    return [H0, C0][: len(layer.state_size)]


def outputs_of(layer, x=X):
    return [np.asarray(y) for y in layer(x, initial_state=initial_states(layer))]


def assert_equal_outputs(ours, expected, **tolerance):
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 1e-4, "atol": 1e-5}))


@pytest.mark.covers("LayerNormLSTM", "LayerNormGRU", kind="contract")
@pytest.mark.parametrize(
    ("layer_class", "parameters"), [(LayerNormLSTM, LSTM_COUNT), (LayerNormGRU, GRU_COUNT)]
)
@with_and_without_xla
def test_contract(layer_class, parameters, jit_compile):
    states = [H0, C0] if layer_class is LayerNormLSTM else [H0]
    # Of random weights 2 in 100 make a sum so small that bfloat16's rounding shows once normalised.
    keras.utils.set_random_seed(0)
    check_layer_contract(
        lambda: layer_class(N, epsilon=1e-3, gain_initializer="ones", **SEQUENCES),
        {"sequences": X, "initial_state": states},
        parameters=parameters,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("LayerNormLSTMCell", "LayerNormGRUCell", kind="contract")
@pytest.mark.parametrize(
    ("cell_class", "parameters"), [(LayerNormLSTMCell, LSTM_COUNT), (LayerNormGRUCell, GRU_COUNT)]
)
def test_cell_contract(cell_class, parameters):
    states = [H0, C0] if cell_class is LayerNormLSTMCell else [H0]
    check_layer_contract(
        lambda: cell_class(N, epsilon=1e-3, kernel_regularizer="l2"),
        {"inputs": X[:, 0], "states": states},
        parameters=parameters,
    )


@pytest.mark.covers(
    "LayerNormLSTM", "LayerNormLSTMCell", "LayerNormGRU", "LayerNormGRUCell", kind="oracle"
)
@pytest.mark.parametrize(
    ("layer_class", "step"), [(LayerNormLSTM, layer_norm_lstm), (LayerNormGRU, layer_norm_gru)]
)
def test_equals_a_loop_in_numpy(layer_class, step):
    layer = random_layer(layer_class)
    expected, states = run(step, layer.get_weights(), X, initial_states(layer))
    assert_equal_outputs(outputs_of(layer), (expected, *states))


@LAYERS
def test_without_bias_there_are_gains_only(layer_class):
    layer = random_layer(layer_class, use_bias=False)
    names = {w.name for w in layer.weights}
    gains = {"kernel_gain", "recurrent_gain"} | ({"state_gain"} & names)
    assert names == {"kernel", "recurrent_kernel"} | gains
    with_bias = layer_class(N, bias_initializer="zeros", **SEQUENCES)
    with_bias.build(X.shape)
    values = {w.name: w.numpy() for w in layer.weights}
    with_bias.set_weights([values.get(w.name, np.zeros(w.shape)) for w in with_bias.weights])
    assert_equal_outputs(outputs_of(layer), outputs_of(with_bias))


@pytest.mark.parametrize("cell_class", CELLS)
@pytest.mark.parametrize("check", CHECKS)
def test_does_what_every_cell_does(cell_class, check):
    check(lambda **options: cell_class(N, **options))


# What the normalisation is for: row D08's invariants, where they stand in these cells.


@pytest.mark.parametrize("sections", [[], [2], [2, 5]])
def test_sections_have_mean_0_and_variance_1(sections):
    a = RNG.normal(3.0, 10.0, size=(2, 3, 8)).astype("float32")
    for part in np.split(np.asarray(normalized(a, sections, 1e-12)), sections, axis=-1):
        np.testing.assert_allclose(part.mean(axis=-1), np.zeros((2, 3)), atol=1e-5)
        np.testing.assert_allclose(part.var(axis=-1), np.ones((2, 3)), rtol=1e-4)


@LAYERS
@pytest.mark.parametrize("name", ["kernel", "recurrent_kernel"])
def test_scaling_and_shifting_a_kernel_changes_nothing(layer_class, name):
    """LN(a x W + (x v) 1) = LN(x W), a > 0, as epsilon goes to 0."""
    layer = random_layer(layer_class, epsilon=1e-12)
    expected = outputs_of(layer)
    kernel = next(w for w in layer.weights if w.name == name)
    rows = RNG.normal(size=(kernel.shape[0], 1))
    kernel.assign(7.0 * kernel.numpy() + rows)
    assert_equal_outputs(outputs_of(layer), expected)


@LAYERS
def test_scaling_one_example_changes_nothing(layer_class):
    """Each example by itself, and each step: no statistics of the batch."""
    layer = random_layer(layer_class, epsilon=1e-12)
    scales = np.exp(RNG.normal(size=(3, 5, 1))).astype("float32")
    assert_equal_outputs(outputs_of(layer, X * scales), outputs_of(layer))


def test_gates_of_a_gru_are_normalised_apart_from_the_candidate():
    layer = random_layer(LayerNormGRU, epsilon=1e-12)
    expected = outputs_of(layer)
    kernel, *others = layer.get_weights()
    kernel[:, : 2 * N] *= 5.0
    kernel[:, 2 * N :] *= 0.1
    layer.set_weights([kernel, *others])
    assert_equal_outputs(outputs_of(layer), expected)


def test_the_gates_of_an_lstm_are_normalised_together():
    """(20) has one LN for all four: scaling one block alone does change the rest."""
    layer = random_layer(LayerNormLSTM, epsilon=1e-12)
    before = outputs_of(layer)[0]
    kernel, *others = layer.get_weights()
    kernel[:, :N] *= 5.0
    layer.set_weights([kernel, *others])
    assert np.abs(outputs_of(layer)[0] - before).max() > 1e-2


def test_the_output_does_not_depend_on_the_scale_of_the_cell_state():
    """(22): with f = 1 and i = 0, c' = c, and h' = o * tanh(LN(c))."""
    cell = randomized(LayerNormLSTMCell(N, epsilon=1e-12), X[:, 0], [H0, C0])
    kernel, recurrent, bias, *others = cell.get_weights()
    bias[:N], bias[N : 2 * N] = -200.0, 200.0
    cell.set_weights([kernel, recurrent, bias, *others])
    h, (_, c) = cell(X[:, 0], [H0, C0])
    np.testing.assert_array_equal(c, C0)
    scaled, _ = cell(X[:, 0], [H0, 9.0 * C0 + 4.0])
    np.testing.assert_allclose(scaled, h, rtol=1e-4, atol=1e-5)


def test_gains_start_at_one_and_the_forget_bias_too():
    layer = LayerNormLSTM(N, gain_initializer="ones")
    layer.build(X.shape)
    for name in ("kernel_gain", "recurrent_gain", "state_gain"):
        gain = getattr(layer, name)
        np.testing.assert_array_equal(gain, np.ones(gain.shape))
    np.testing.assert_array_equal(layer.bias, np.repeat([0.0, 1.0, 0.0, 0.0], N))


# An attention cell may ask for the projection of its inputs alone.


def attending(query, attention, **options):
    cell = AttentionCell(LayerNormGRUCell(N), attention, query=query, **options)
    return RNN(cell, return_sequences=True)


def test_an_attention_cell_that_feeds_the_inputs_alone_runs():
    memory = RNG.normal(size=(3, 4, N)).astype("float32")
    layer = attending("current", DotAttention(), input_feeding=False)
    layer(X, constants=memory)
    inner = RNN(layer.cell.cell, return_sequences=True)
    h = np.asarray(inner(X))
    scores = np.einsum("bth,bsh->bts", h, memory)
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    mixed = np.concatenate([weights @ memory, h], axis=-1)
    expected = np.tanh(mixed @ np.asarray(layer.cell.output_kernel))
    np.testing.assert_allclose(layer(X, constants=memory), expected, rtol=1e-4, atol=1e-5)


def test_an_attention_cell_that_feeds_more_is_refused():
    with pytest.raises(ValueError, match="is not the sum of the projections of parts"):
        attending("previous", BahdanauAttention(4))(X, constants=X)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayerNormLSTMCell(N, epsilon=0.0), "epsilon: expected a positive number"),
        (lambda: LayerNormGRUCell(N, reset_after=False), "expected reset_after=True"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
