import pathlib

import numpy as np
import pytest

from seqkeras.cells.converters import (
    keras_to_notes,
    keras_to_torch,
    notes_to_keras,
    torch_to_keras,
)
from seqkeras.cells.lstmp import ProjectedLSTM
from seqkeras.layers import GRU, LSTM, Bidirectional, SimpleRNN
from tests.cells.numpy_cells import randomized, run, sigmoid

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens" / "torch_recurrent.npz"
N, R, M = 4, 3, 2  # units, projected units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
H0 = RNG.normal(size=(3, N)).astype("float32")
SEQUENCES = {"return_sequences": True, "return_state": True}
LAYERS = {
    "simple_rnn": ("simple_rnn", lambda: SimpleRNN(N, **SEQUENCES)),
    "lstm": ("lstm", lambda: LSTM(N, **SEQUENCES)),
    "lstm_without_bias": ("lstm", lambda: LSTM(N, use_bias=False, **SEQUENCES)),
    "lstm_projected": ("lstm", lambda: ProjectedLSTM(N, R, **SEQUENCES)),
    "gru": ("gru", lambda: GRU(N, **SEQUENCES)),
    "gru_without_bias": ("gru", lambda: GRU(N, use_bias=False, **SEQUENCES)),
}
EVERY_LAYER = pytest.mark.parametrize("case", LAYERS)
BOTH_DIRECTIONS = pytest.mark.parametrize("directions", [1, 2])


def golden(case, directions):
    """Returns `(arrays by name, list of PyTorch's weights)` of a case."""
    prefix = case + ("_bidirectional/" if directions == 2 else "/")
    with np.load(GOLDENS) as file:
        arrays = {k.removeprefix(prefix): file[k] for k in file.files if k.startswith(prefix)}
    count = sum(name.startswith("weight_") for name in arrays)
    return arrays, [arrays[f"weight_{k}"] for k in range(count)]


def states_in_order(arrays, when, directions):
    """PyTorch's states `(directions, B, H)` in the order of Keras: direction by direction."""
    kinds = [arrays[f"{when}_{k}"] for k in (0, 1) if f"{when}_{k}" in arrays]
    return [s[d] for d in range(directions) for s in kinds]


@EVERY_LAYER
@BOTH_DIRECTIONS
def test_pytorch_weights_give_pytorch_results(case, directions):
    arrays, weights = golden(case, directions)
    cell, make = LAYERS[case]
    layer = make() if directions == 1 else Bidirectional(make())
    layer.build(arrays["x"].shape)
    layer.set_weights(torch_to_keras(weights, cell, directions))
    first = states_in_order(arrays, "first", directions)
    expected = [arrays["outputs"], *states_in_order(arrays, "last", directions)]
    for ours, theirs in zip(layer(arrays["x"], initial_state=first), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@EVERY_LAYER
@BOTH_DIRECTIONS
def test_there_and_back(case, directions):
    """PyTorch's two biases of an LSTM come back as their sum and zero."""
    _, weights = golden(case, directions)
    cell, _ = LAYERS[case]
    ours = torch_to_keras(weights, cell, directions)
    back = keras_to_torch(ours, cell, directions)
    count = len(weights) // directions
    for start in range(0, len(weights), count):
        expected, came = weights[start : start + count], back[start : start + count]
        if cell != "gru" and count > 3:
            expected[2:4] = [expected[2] + expected[3], np.zeros_like(expected[3])]
        for a, b in zip(came, expected, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
    for a, b in zip(torch_to_keras(back, cell, directions), ours, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pytorch_gates_are_where_its_documentation_says():
    """keras_to_torch by PyTorch's equations: r, z, n; n = tanh(.. + r * (U_n h + b_hn))."""
    layer = randomized(GRU(N, **SEQUENCES), X)
    w_ih, w_hh, b_ih, b_hh = (
        w.astype("float64") for w in keras_to_torch(layer.get_weights(), "gru")
    )
    h = H0
    for x_t in X.swapaxes(0, 1):
        x_r, x_z, x_n = np.split(x_t @ w_ih.T + b_ih, 3, axis=-1)
        h_r, h_z, h_n = np.split(h @ w_hh.T + b_hh, 3, axis=-1)
        z = sigmoid(x_z + h_z)
        h = (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h
    np.testing.assert_allclose(layer(X, initial_state=[H0])[1], h, rtol=1e-5, atol=1e-6)


# The notes' GRU, erratum X07.


def notes_gru(x_t, states, weights):
    """Notes A (19), notes B (23)-(26)."""
    W, U, *b = weights
    b_z, b_r, b_c = np.split(b[0], 3) if b else (0.0, 0.0, 0.0)
    (W_z, W_r, W_c), (U_z, U_r, U_c) = np.split(W, 3, axis=1), np.split(U, 3, axis=1)
    h = states[0]
    z = sigmoid(x_t @ W_z + h @ U_z + b_z)
    r = sigmoid(x_t @ W_r + h @ U_r + b_r)
    h = (1 - z) * h + z * np.tanh(x_t @ W_c + (r * h) @ U_c + b_c)
    return h, [h]


@pytest.mark.parametrize("use_bias", [True, False])
def test_the_notes_gru_in_both_directions(use_bias):
    layer = GRU(N, reset_after=False, use_bias=use_bias, **SEQUENCES)
    layer.build(X.shape)
    notes = [RNG.normal(size=w.shape).astype("float32") for w in layer.get_weights()]
    layer.set_weights(notes_to_keras(notes))
    expected, _ = run(notes_gru, notes, X, [H0])
    np.testing.assert_allclose(layer(X, initial_state=[H0])[0], expected, rtol=1e-5, atol=1e-6)
    for back, weight in zip(keras_to_notes(layer.get_weights()), notes, strict=True):
        np.testing.assert_array_equal(back, weight)


def test_with_the_notes_update_gate_at_zero_the_state_stays():
    """Row A09: z = 0 is the identity in the notes' convention."""
    notes = [RNG.normal(size=shape) for shape in ((M, 3 * N), (N, 3 * N), (3 * N,))]
    notes[2][:N] = -200.0
    layer = GRU(N, reset_after=False)
    layer.build(X.shape)
    layer.set_weights(notes_to_keras(notes))
    np.testing.assert_array_equal(layer(X, initial_state=[H0]), H0)


@pytest.mark.parametrize("convert", [keras_to_torch, torch_to_keras])
def test_the_arguments_are_left_as_they_are(convert):
    arrays = [RNG.normal(size=(4, 12)), RNG.normal(size=(4, 12)), RNG.normal(size=(2, 12))]
    if convert is torch_to_keras:
        arrays = keras_to_torch(arrays, "gru")
    before = [a.copy() for a in arrays]
    for converted in convert(arrays, "gru"):
        converted[:] = 0
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def shapes(*all_shapes):
    return [np.ones(shape) for shape in all_shapes]


RESET_BEFORE = shapes((2, 12), (4, 12), (12,))
RESET_AFTER = shapes((2, 12), (4, 12), (2, 12))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras_to_torch(RESET_BEFORE, "gru"), "different functions"),
        (lambda: notes_to_keras(RESET_AFTER), "different functions"),
        (lambda: keras_to_notes(RESET_AFTER), "different functions"),
        (lambda: notes_to_keras(RESET_BEFORE, reset_after=True), "different functions"),
        (lambda: keras_to_torch(RESET_AFTER, "qrnn"), "cell: expected one of"),
        (lambda: keras_to_torch(RESET_AFTER, "gru", directions=2), "for each of 2 directions"),
        (lambda: torch_to_keras(RESET_AFTER, "gru"), "the gates along axis 0"),
        (lambda: torch_to_keras(shapes((12, 2), (12, 4), (12,)), "lstm"), "2 or no bias"),
        (lambda: keras_to_torch([], "lstm"), "two kernels"),
        (lambda: keras_to_torch(shapes((2, 4)), "simple_rnn"), "two kernels"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
