import keras
import numpy as np
import pytest

from seqkeras.blocks.pyramid import PAIRINGS, HalveTime, PyramidalStack
from seqkeras.layers import GRU, LSTM, Bidirectional
from tests.cells.numpy_cells import gru_reset_after, randomized, run
from tests.contract import (
    MaskProbe,
    check_fully_masked_row,
    check_layer_contract,
    check_padding_changes_nothing,
    with_and_without_xla,
)

N, M = 3, 2  # units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(4, 7, M)).astype("float32")
LENGTHS = (7, 4, 3, 0)
MASK = np.arange(7) < np.array(LENGTHS)[:, None]
MASKS = {"sequences": "mask"}


def layers(depth=3, **options):
    return [GRU(N, return_sequences=True, **options) for _ in range(depth)]


def assert_equal(ours, expected):
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(expected), strict=True):
        # Against float64: every layer adds to the rounding of the one below.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def halve_row(x, pairing):
    """`(T, D)` to its pairs, by a loop."""
    pairs = []
    for t in range(0, len(x), 2):
        pair = x[t : t + 2]
        if pairing == "average":
            pairs.append(pair.mean(axis=0))
        else:
            blank = [np.zeros_like(x[0])] * (2 - len(pair))
            pairs.append(np.concatenate([*pair, *blank]))
    return np.stack(pairs)


def halved_row_by_row(x, lengths, pairing):
    """The real steps of every row halved alone, then padded with zeros."""
    steps = (x.shape[1] + 1) // 2
    out = np.zeros((len(x), steps, x.shape[2] * (2 if pairing == "concat" else 1)))
    for row, length in enumerate(lengths):
        if length:
            half = halve_row(x[row, :length], pairing)
            out[row, : len(half)] = half
    return out


# One halving.


@pytest.mark.covers("HalveTime", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_contract_of_halving(pairing, jit_compile):
    # The contract's test of the mask expects it as it came; a halved one is tested below.
    check_layer_contract(
        lambda: HalveTime(pairing), {"sequences": X}, parameters=0, jit_compile=jit_compile
    )
    check_padding_changes_nothing(HalveTime(pairing), {"sequences": X}, MASKS)
    check_fully_masked_row(HalveTime(pairing), {"sequences": X}, MASKS, zero_when_masked=True)


@pytest.mark.covers("HalveTime", kind="oracle")
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("length", range(1, 8))
def test_halving_equals_a_loop(length, pairing):
    x = X[:, :length]
    assert_equal(HalveTime(pairing)(x), halved_row_by_row(x, [length] * 4, pairing))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_halving_padded_rows_halves_each_alone(pairing):
    garbage = np.where(MASK[..., None], X, np.nan)
    assert_equal(HalveTime(pairing)(garbage, mask=MASK), halved_row_by_row(X, LENGTHS, pairing))


def test_a_pair_is_real_if_one_of_its_steps_is():
    holes = np.array([[1, 1, 0, 1, 0, 0, 1], [1, 0, 1, 1, 0, 0, 0]], bool)
    expected = [[True, True, False, True], [True, True, False, False]]
    np.testing.assert_array_equal(HalveTime().compute_mask(None, holes), expected)


@pytest.mark.parametrize("length", [1, 2, 6, 7, None])
def test_the_halved_mask_reaches_the_next_layer(length):
    inputs = keras.Input((length, M))
    halved = HalveTime()(keras.layers.Masking()(inputs))
    assert halved.shape == (None, None if length is None else (length + 1) // 2, 2 * M)
    model = keras.Model(inputs, MaskProbe()(halved))
    length = length or 5
    x = np.where(MASK[..., None], X, 0.0)[:, :length]
    expected = (
        np.arange((length + 1) // 2)
        < np.array([(min(real, length) + 1) // 2 for real in LENGTHS])[:, None]
    )
    np.testing.assert_array_equal(model.predict_on_batch(x), expected)


# The stack.


@pytest.mark.covers("PyramidalStack", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_contract(pairing, jit_compile):
    def make():
        return PyramidalStack(
            layers(2, return_state=True), pairing, residual_from=1 if pairing == "average" else None
        )

    below = 2 * N if pairing == "concat" else N
    check_layer_contract(
        make,
        {"sequences": X},
        parameters=3 * N * (N + M + 2) + 3 * N * (N + below + 2),
        jit_compile=jit_compile,
    )
    layer = make()
    layer.build(X.shape)
    check_padding_changes_nothing(layer, {"sequences": X}, MASKS)
    check_fully_masked_row(layer, {"sequences": X}, MASKS, zero_when_masked=True)


@pytest.mark.covers("PyramidalStack", kind="oracle")
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_equals_loops_in_numpy(pairing):
    """Each row alone, cut to its length: what padding there is has no part in it."""
    stack = randomized(PyramidalStack(layers(return_state=True), pairing), X)
    weights = stack.get_weights()
    output, *states = (np.asarray(y) for y in stack(X, mask=MASK))
    assert output.shape == (4, 2, N)
    for row, length in enumerate(LENGTHS[:3]):
        x = X[row : row + 1, :length]
        for index in range(3):
            x = halve_row(x[0], pairing)[None] if index else x
            x, (last,) = run(
                gru_reset_after, weights[3 * index : 3 * index + 3], x, [np.zeros((1, N))]
            )
            assert_equal(states[index][row], last[0])
        assert x.shape[1] == -(-length // 4)
        assert_equal(output[row, : x.shape[1]], x[0])
    assert not output[3].any()


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 16, 17])
def test_the_time_is_halved_at_every_layer_but_the_first(length):
    x = RNG.normal(size=(2, length, M)).astype("float32")
    for depth in (1, 2, 4):
        stack = PyramidalStack(layers(depth))
        expected = (2, -(-length // 2 ** (depth - 1)), N)
        assert stack(x).shape == expected == stack.compute_output_shape(x.shape)


def test_the_listener_of_listen_attend_and_spell():
    """Bidirectional LSTMs, put together by hand from the layers."""
    bidirectional = [Bidirectional(LSTM(N, return_sequences=True)) for _ in range(3)]
    stack = randomized(PyramidalStack(bidirectional), X)
    inputs = keras.Input((None, M))
    x = bidirectional[0](keras.layers.Masking()(inputs))
    for layer in bidirectional[1:]:
        x = layer(HalveTime()(x))
    by_hand = keras.Model(inputs, x)
    x = np.where(MASK[..., None], X, 0.0)
    assert_equal(stack(X, mask=MASK), by_hand(x))


def test_a_stack_of_one_is_its_layer():
    layer = randomized(GRU(N, return_sequences=True), X)
    assert_equal(PyramidalStack([layer])(X, mask=MASK), layer(X, mask=MASK))


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("more", [1, 2, 5])
def test_more_padding_changes_nothing(more, pairing):
    stack = randomized(PyramidalStack(layers(), pairing), X)
    wider = np.concatenate([X, np.full((4, more, M), np.nan, "float32")], axis=1)
    wide = np.asarray(stack(wider, mask=np.pad(MASK, ((0, 0), (0, more)))))
    output = np.asarray(stack(X, mask=MASK))
    assert_equal(wide[:, : output.shape[1]], output)


@pytest.mark.parametrize("return_state", [False, True])
def test_the_mask_behind_the_stack(return_state):
    inputs = keras.Input((7, M))
    outputs = PyramidalStack(layers(return_state=return_state))(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, MaskProbe()(outputs[0] if return_state else outputs))
    x = np.where(MASK[..., None], X, 0.0)
    expected = [[1, 1], [1, 0], [1, 0], [0, 0]]
    np.testing.assert_array_equal(model.predict_on_batch(x), expected)


def test_without_sequences_the_last_output_is_returned():
    whole = randomized(PyramidalStack(layers(2)), X)
    short = PyramidalStack([GRU(N, return_sequences=True), GRU(N)])
    short.build(X.shape)
    short.set_weights(whole.get_weights())
    assert_equal(short(X, mask=MASK), np.asarray(whole(X, mask=MASK))[:, -1])


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="pairing: expected one of"):
        HalveTime("maximum")
    with pytest.raises(ValueError, match="pairing: expected one of"):
        PyramidalStack(layers(), pairing="maximum")
    with pytest.raises(ValueError, match="PyramidalStack: expected at least one layer"):
        PyramidalStack([])
    with pytest.raises(ValueError, match="got 6 into and 3 out of layer 1"):
        PyramidalStack(layers(), residual_from=1)(X)
