import keras
import numpy as np
import pytest

from seqkeras.blocks.deep_bidirectional import WIRINGS, DeepBidirectional
from seqkeras.layers import GRU, LSTM, Bidirectional, GRUCell
from tests.cells.numpy_cells import gru_reset_after, lstm, randomized, run
from tests.contract import check_layer_contract, with_and_without_xla

N, M = 4, 2  # units of each direction, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
MASK = np.arange(5) < np.array([5, 3, 0])[:, None]
EVERY_WIRING = pytest.mark.parametrize("wiring", WIRINGS)


def two_layers(return_sequences=True, **options):
    return [
        LSTM(N, return_sequences=True, **options),
        GRU(N, return_sequences=return_sequences, **options),
    ]


def random_layer(wiring, **options):
    return randomized(DeepBidirectional(two_layers(), wiring=wiring, **options), X)


def assert_equal(ours, expected):
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def by_rows(function, x, mask):
    """Applies `function` to the real steps of each row alone; zeros elsewhere."""
    out = np.zeros((*mask.shape, function(x[:1]).shape[-1]))
    for row, real in enumerate(mask):
        if real.any():
            out[row, real] = function(x[row : row + 1, real])[0]
    return out


def direction(cell, weights, backwards):
    """A function of x `(1, T, D)`: the outputs of a cell of NumPy in the order of time."""
    states = [np.zeros((1, N))] * (2 if cell is lstm else 1)

    def apply(x):
        if backwards:
            return run(cell, weights, x[:, ::-1], states)[0][:, ::-1]
        return run(cell, weights, x, states)[0]

    return apply


def oracle(wiring, weights, merge):
    """A function of x `(1, T, D)`: the module's equations for `two_layers()`."""

    def interwoven(x):
        x = merge(direction(lstm, weights[0:3], False)(x), direction(lstm, weights[3:6], True)(x))
        return merge(
            direction(gru_reset_after, weights[6:9], False)(x),
            direction(gru_reset_after, weights[9:12], True)(x),
        )

    def columns(x):
        turn = wiring == "alternating"
        h = direction(lstm, weights[0:3], False)(x)
        h = direction(gru_reset_after, weights[3:6], turn)(h)
        g = direction(lstm, weights[6:9], True)(x)
        g = direction(gru_reset_after, weights[9:12], not turn)(g)
        return merge(h, g)

    return interwoven if wiring == "interwoven" else columns


def concat(h, g):
    return np.concatenate([h, g], axis=-1)


PARAMETERS = {
    "interwoven": 2 * (4 * N * (N + M + 1) + 3 * N * (N + 2 * N + 2)),
    "separate": 2 * (4 * N * (N + M + 1) + 3 * N * (N + N + 2)),
    "alternating": 2 * (4 * N * (N + M + 1) + 3 * N * (N + N + 2)),
}


@pytest.mark.covers("DeepBidirectional", kind="contract")
@with_and_without_xla
@EVERY_WIRING
def test_contract(wiring, jit_compile):
    check_layer_contract(
        lambda: DeepBidirectional(
            two_layers(return_state=True),
            wiring=wiring,
            residual_from=None if wiring == "interwoven" else 1,
        ),
        {"sequences": X},
        parameters=PARAMETERS[wiring],
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@EVERY_WIRING
def test_contract_with_given_states_and_without_sequences(wiring):
    states = list(RNG.normal(size=(6, 3, N)).astype("float32"))
    check_layer_contract(
        lambda: DeepBidirectional(
            two_layers(return_sequences=False, return_state=True),
            wiring=wiring,
            merge_mode="sum",
        ),
        {"sequences": X, "initial_state": states},
        parameters=PARAMETERS["separate"],  # with a sum no input is wider than H
        masks={"sequences": "mask"},
    )


@pytest.mark.covers("DeepBidirectional", kind="oracle")
@EVERY_WIRING
@pytest.mark.parametrize("merge_mode", ["concat", "ave"])
def test_equals_loops_in_numpy(wiring, merge_mode):
    layer = random_layer(wiring, merge_mode=merge_mode)
    merge = concat if merge_mode == "concat" else lambda h, g: (h + g) / 2
    expected = by_rows(oracle(wiring, layer.get_weights(), merge), X, MASK)
    assert_equal(layer(X, mask=MASK), expected)


@EVERY_WIRING
def test_one_layer_is_a_bidirectional_one(wiring):
    plain = randomized(Bidirectional(LSTM(N, return_sequences=True, return_state=True)), X)
    deep = DeepBidirectional([LSTM(N, return_sequences=True, return_state=True)], wiring=wiring)
    deep.build(X.shape)
    deep.set_weights(plain.get_weights())
    assert_equal(deep(X, mask=MASK), plain(X, mask=MASK))


def test_interwoven_is_a_chain_of_bidirectional_layers():
    deep = random_layer("interwoven")
    x, weights = X, deep.get_weights()
    for layer, own in zip(two_layers(), (weights[:6], weights[6:]), strict=True):
        bidirectional = Bidirectional(layer)
        bidirectional.build((*X.shape[:2], x.shape[-1]))
        bidirectional.set_weights(own)
        x = bidirectional(x, mask=MASK)
    assert_equal(deep(X, mask=MASK), x)


@EVERY_WIRING
def test_reversing_x_and_exchanging_the_directions_reverses_the_output(wiring):
    """A11 for a deep network: also the halves of what upper layers read change places."""
    deep = random_layer(wiring)
    h, g = np.split(np.asarray(deep(X)), 2, axis=-1)
    weights = deep.get_weights()
    if wiring == "interwoven":
        swapped = [*weights[3:6], *weights[:3], *weights[9:], *weights[6:9]]
        for index in (6, 9):
            swapped[index] = np.concatenate([swapped[index][N:], swapped[index][:N]])
    else:
        swapped = weights[6:] + weights[:6]
    deep.set_weights(swapped)
    assert_equal(deep(X[:, ::-1]), concat(g, h)[:, ::-1])


@EVERY_WIRING
def test_only_separate_columns_have_a_half_that_knows_no_future(wiring):
    deep = random_layer(wiring)
    later = X.copy()
    later[:, 3:] += 1.0
    change = np.abs(np.asarray(deep(later)) - np.asarray(deep(X)))[:, :3]
    assert (change[..., :N].max() > 1e-4) == (wiring != "separate")
    assert change[..., N:].max() > 1e-4


@EVERY_WIRING
def test_more_padding_changes_nothing(wiring):
    deep = random_layer(wiring)
    wider = np.concatenate([X, np.full((3, 2, M), np.nan, "float32")], axis=1)
    outputs = np.asarray(deep(wider, mask=np.pad(MASK, ((0, 0), (0, 2)))))
    assert_equal(outputs[:, :5], deep(X, mask=MASK))
    assert not outputs[:, 5:].any()


@EVERY_WIRING
def test_states_returned_are_states_taken(wiring):
    """Given back after one half, the states of forward layers go on where they were."""
    deep = randomized(DeepBidirectional(two_layers(return_state=True), wiring=wiring), X)
    _, *states = deep(X)
    assert len(states) == len(deep.state_size) == 6
    zeros = [np.zeros_like(s) for s in states]
    assert_equal(deep(X, initial_state=zeros), deep(X))
    for place in range(6):
        given = [s if i == place else z for i, (s, z) in enumerate(zip(states, zeros, strict=True))]
        output, *_ = deep(X, initial_state=given)
        assert np.abs(np.asarray(output) - np.asarray(deep(X)[0])).max() > 1e-4, place


@EVERY_WIRING
def test_carried_states_are_reset_in_both_directions(wiring):
    deep = randomized(DeepBidirectional(two_layers(stateful=True), wiring=wiring), X)
    assert deep.stateful
    deep.reset_state()
    first = np.asarray(deep(X))
    assert np.abs(np.asarray(deep(X)) - first).max() > 1e-3
    deep.reset_state()
    np.testing.assert_array_equal(deep(X), first)


@EVERY_WIRING
def test_residual_connections(wiring):
    """A layer above that gives zeros leaves its input: the outputs are those of the layer below."""
    deep = random_layer(wiring, merge_mode="sum", residual_from=1)
    weights = deep.get_weights()  # of an LSTM in threes, and of a GRU in threes
    upper = range(6, 12) if wiring == "interwoven" else (3, 4, 5, 9, 10, 11)
    deep.set_weights([np.zeros_like(w) if i in upper else w for i, w in enumerate(weights)])
    below = Bidirectional(LSTM(N, return_sequences=True), merge_mode="sum")
    below.build(X.shape)
    below.set_weights([w for i, w in enumerate(weights) if i not in upper])
    assert_equal(deep(X, mask=MASK), below(X, mask=MASK))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DeepBidirectional([GRU(3)], wiring="crossed"), "wiring: expected one of"),
        (lambda: DeepBidirectional([GRU(3)], merge_mode=None), "merge_mode: expected one of"),
        (lambda: DeepBidirectional([]), "DeepBidirectional: expected at least one layer"),
        (lambda: DeepBidirectional([GRUCell(3)]), "A cell goes into an RNN"),
        (lambda: DeepBidirectional([GRU(3), GRU(3)]), "return_sequences=True in every layer"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
