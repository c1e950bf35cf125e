import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.blocks.recurrent_stack import RecurrentStack, hold_last
from seqkeras.layers import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN
from tests.cells.numpy_cells import elman, gru_reset_after, lstm, randomized, run
from tests.contract import check_layer_contract, with_and_without_xla

N, M = 4, 2  # units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 5, M)).astype("float32")
MASK = np.arange(5) < np.array([5, 3, 0])[:, None]
HOLES = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)
STATES = list(RNG.normal(size=(3, 3, N)).astype("float32"))  # h, c of an LSTM, h of a GRU
ZERO = np.zeros((3, N))


def layers(**options):
    """An LSTM, a GRU and an Elman network."""
    return [kind(N, return_sequences=True, **options) for kind in (LSTM, GRU, SimpleRNN)]


def random_stack(members=None, x=X, **options):
    return randomized(RecurrentStack(members or layers(), **options), x)


def assert_equal(ours, expected):
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(expected), strict=True):
        # Against float64: every layer adds to the rounding of the one below.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def held(x, mask):
    """What every masked step had last, by a loop."""
    out = np.zeros_like(x)
    for row in range(len(x)):
        last = np.zeros_like(x[row, 0])
        for t in range(x.shape[1]):
            last = x[row, t] if mask[row, t] else last
            out[row, t] = last
    return out


def three_layers(weights, x, mask, residual_from=None, states=None):
    """Outputs `(B, T, N)` and last states of `layers()`, in NumPy."""
    h, c, h_gru = states or [ZERO] * 3
    every, x = [], np.where(mask[..., None], x, 0.0)
    cells = (lstm, gru_reset_after, elman)
    for index, (cell, own) in enumerate(zip(cells, ([h, c], [h_gru], [ZERO]), strict=True)):
        y, last = run(cell, weights[3 * index : 3 * index + 3], x, own, mask)
        residual = residual_from is not None and index >= residual_from
        x = held(y + x, mask) if residual else y
        every.extend(last)
    return x, every


@pytest.mark.covers("RecurrentStack", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("return_sequences", [True, False])
def test_contract(return_sequences, jit_compile):
    def make():
        top = LSTM(N, return_sequences=return_sequences, return_state=True, go_backwards=True)
        return RecurrentStack(
            [GRU(N, return_sequences=True, return_state=True, learn_initial_state=True), top],
            residual_from=1,
            seed=3,
        )

    check_layer_contract(
        make,
        {"sequences": X},
        parameters=3 * N * (N + M + 2) + N + 4 * N * (2 * N + 1),
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


def test_contract_with_a_bidirectional_layer_and_given_states():
    check_layer_contract(
        lambda: RecurrentStack(
            [
                Bidirectional(GRU(N, return_sequences=True, return_state=True)),
                GRU(2 * N, return_state=True),
            ],
            residual_from=1,
        ),
        {"sequences": X, "initial_state": [*STATES[:2], np.concatenate(STATES[:2], axis=-1)]},
        parameters=2 * 3 * N * (N + M + 2) + 3 * 2 * N * (2 * 2 * N + 2),
        masks={"sequences": "mask"},
    )


# Values.


@pytest.mark.covers("RecurrentStack", kind="oracle")
@pytest.mark.parametrize("mask", [None, MASK, HOLES], ids=["whole", "padded", "holes"])
@pytest.mark.parametrize("residual_from", [None, 1, 2])
def test_equals_loops_in_numpy(residual_from, mask):
    stack = random_stack(layers(return_state=True), residual_from=residual_from)
    every = np.ones(X.shape[:2], bool) if mask is None else mask
    expected, last = three_layers(stack.get_weights(), X, every, residual_from, STATES)
    states = [*STATES, ZERO.astype("float32")]
    assert_equal(stack(X, initial_state=states, mask=mask), [expected, *last])


def test_a_residual_lowest_layer_needs_inputs_of_its_size():
    x = RNG.normal(size=(3, 5, N)).astype("float32")
    stack = random_stack(x=x, residual_from=0)
    expected, _ = three_layers(stack.get_weights(), x, HOLES, 0)
    assert_equal(stack(x, mask=HOLES), expected)


@pytest.mark.parametrize("mask", [MASK, HOLES])
@pytest.mark.parametrize("residual_from", [None, 1])
def test_without_sequences_the_output_at_the_last_real_step_is_returned(residual_from, mask):
    stack = random_stack(residual_from=residual_from)
    *lower, top = layers()
    short = RecurrentStack(
        [*lower, type(top).from_config({**top.get_config(), "return_sequences": False})],
        residual_from=residual_from,
    )
    short.build(X.shape)
    short.set_weights(stack.get_weights())
    for given in (None, mask):
        assert_equal(short(X, mask=given), np.asarray(stack(X, mask=given))[:, -1])


def test_equals_a_stack_of_cells():
    stack = random_stack([LSTM(3, return_sequences=True), GRU(N, return_sequences=True)])
    cells = RNN([LSTMCell(3), GRUCell(N)], return_sequences=True)
    cells.build(X.shape)
    cells.set_weights(stack.get_weights())
    assert_equal(stack(X, mask=MASK), cells(X, mask=MASK))


def test_a_stack_of_one_is_its_layer():
    layer = randomized(LSTM(N, return_sequences=True, return_state=True), X)
    stack = RecurrentStack([layer])
    assert_equal(stack(X, mask=MASK, initial_state=STATES[:2]), layer(X, STATES[:2], MASK))


def test_layers_of_keras_stand_in_it():
    options = {"return_sequences": True, "return_state": True}
    ours = random_stack([LSTM(N, **options), GRU(N, **options)], residual_from=1)
    theirs = RecurrentStack(
        [keras.layers.LSTM(N, **options), keras.layers.GRU(N, **options)], residual_from=1
    )
    theirs.build(X.shape)
    theirs.set_weights(ours.get_weights())
    assert_equal(theirs(X, mask=MASK), ours(X, mask=MASK))


def test_residual_layers_that_add_nothing_are_the_identity():
    """With zero weights an Elman network gives tanh(0) = 0, and only the sums remain."""
    x = RNG.normal(size=(3, 5, N)).astype("float32")
    stack = RecurrentStack(
        [SimpleRNN(N, return_sequences=True, kernel_initializer="zeros") for _ in range(20)],
        residual_from=0,
    )
    np.testing.assert_array_equal(stack(x), x)


# Directions.


@pytest.mark.parametrize("residual_from", [None, 1])
@pytest.mark.parametrize("mask", [None, MASK, HOLES], ids=["whole", "padded", "holes"])
def test_a_backward_layer_gives_its_output_in_the_order_of_time(residual_from, mask):
    backwards = GRU(N, return_sequences=True, go_backwards=True)
    stack = random_stack([LSTM(N, return_sequences=True), backwards], residual_from=residual_from)
    weights = stack.get_weights()
    real = np.ones(X.shape[:2], bool) if mask is None else mask
    below, _ = run(lstm, weights[:3], X, [ZERO] * 2, real)
    above, _ = run(gru_reset_after, weights[3:], below[:, ::-1], [ZERO], real[:, ::-1])
    if residual_from:
        above = held(above + below[:, ::-1], real[:, ::-1])
    assert_equal(stack(X, mask=mask), above[:, ::-1])


def test_the_last_output_of_a_backward_layer_belongs_to_the_first_step():
    def make(return_sequences):
        top = GRU(N, return_sequences=return_sequences, go_backwards=True)
        return [GRU(N, return_sequences=True), top]

    stack = random_stack(make(True), residual_from=1)
    short = RecurrentStack(make(False), residual_from=1)
    short.build(X.shape)
    short.set_weights(stack.get_weights())
    assert_equal(short(X, mask=MASK), np.asarray(stack(X, mask=MASK))[:, 0])


# Masks.


def test_more_padding_changes_nothing():
    stack = random_stack(layers(return_state=True), residual_from=1)
    wider = np.concatenate([X, np.full((3, 2, M), np.nan, "float32")], axis=1)
    wide, *wide_states = stack(wider, mask=np.pad(MASK, ((0, 0), (0, 2))))
    output, *states = stack(X, mask=MASK)
    assert_equal([np.asarray(wide)[:, :5], *wide_states], [output, *states])


@pytest.mark.parametrize("length", [1, 2, 5, 9])
def test_hold_last(length):
    x = RNG.normal(size=(4, length, 3)).astype("float32")
    mask = RNG.random((4, length)) < 0.5
    assert_equal(hold_last(ops.convert_to_tensor(x), ops.convert_to_tensor(mask)), held(x, mask))


def test_sequences_of_any_length():
    stack = random_stack(residual_from=1)
    inputs = keras.Input((None, M))
    model = keras.Model(inputs, stack(keras.layers.Masking()(inputs)))
    x = np.where(MASK[..., None], X, 0.0)
    for length in (1, 3, 5):
        expected = stack(x[:2, :length], mask=MASK[:2, :length])
        assert_equal(model(x[:2, :length]), expected)


# Dropout.


def linear_stack(depth, **options):
    """Layers that copy their inputs: the identity as kernel, no recurrence."""
    kernels = {"kernel_initializer": "identity", "recurrent_initializer": "zeros"}
    copies = [
        SimpleRNN(N, "linear", use_bias=False, return_sequences=True, **kernels)
        for _ in range(depth)
    ]
    return RecurrentStack(copies, seed=1, **options)


def test_dropout_is_drawn_at_every_step_and_between_layers_only():
    x = np.ones((8, 6, N), "float32")
    outputs = np.asarray(linear_stack(2, dropout=0.5)(x, training=True))
    assert set(np.unique(outputs)) == {0.0, 2.0}
    assert np.any(outputs != outputs[:, :1]), "one mask for all steps"
    assert set(np.unique(linear_stack(3, dropout=0.5)(x, training=True))) == {0.0, 4.0}
    np.testing.assert_array_equal(linear_stack(1, dropout=0.5)(x, training=True), x)
    np.testing.assert_array_equal(linear_stack(3, dropout=0.5)(x), x)


def test_a_residual_connection_passes_by_the_dropout():
    x = np.ones((8, 6, N), "float32")
    outputs = linear_stack(2, dropout=0.5, residual_from=1)(x, training=True)
    assert set(np.unique(outputs)) == {1.0, 3.0}


def test_dropout_leaves_the_states_alone():
    """Layers that keep their state and ignore what comes from below."""
    kernels = {"kernel_initializer": "zeros", "recurrent_initializer": "identity"}
    keeping = [
        SimpleRNN(N, "linear", use_bias=False, return_sequences=True, **kernels) for _ in range(2)
    ]
    stack = RecurrentStack(keeping, dropout=0.5, seed=1)
    states = [np.ones((3, N), "float32")] * 2
    outputs = stack(X, initial_state=states, training=True)
    np.testing.assert_array_equal(outputs, np.ones((3, 5, N)))


# Carried states.


def test_carried_states_make_pieces_one_long_sequence():
    stack = random_stack(residual_from=1)
    carried = RecurrentStack(layers(stateful=True), residual_from=1)
    carried.build((3, 1, M))
    for ours, value in zip(carried.trainable_weights, stack.get_weights(), strict=True):
        ours.assign(value)
    assert carried.stateful
    assert not stack.stateful
    for _ in range(2):
        pieces = [np.asarray(carried(X[:, t : t + 1])) for t in range(5)]
        assert_equal(np.concatenate(pieces, axis=1), stack(X))
        carried.reset_state()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RecurrentStack([]), "at least one layer"),
        (lambda: RecurrentStack([GRUCell(3)]), "A cell goes into an RNN"),
        (lambda: RecurrentStack([GRU(3), GRU(3)]), "return_sequences=True in every layer"),
        (
            lambda: RecurrentStack([GRU(3, return_sequences=True), GRU(3, return_state=True)]),
            "the same return_state",
        ),
        (
            lambda: RecurrentStack([Bidirectional(GRU(3), merge_mode=None)]),
            "layers with one output",
        ),
        (lambda: RecurrentStack([GRU(3)], residual_from=1), "residual_from: expected None or"),
        (lambda: RecurrentStack([GRU(3)], dropout=1.0), "rate in .0, 1."),
        (lambda: RecurrentStack([GRU(3)], residual_from=0)(X), "got 2 into and 3 out of layer 0"),
        (lambda: RecurrentStack([GRU(3)])(X, initial_state=[X[:, 0]] * 2), "got 2 tensors"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
