"""What running over time means, for every cell: `RNN` and the layers made of it."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNN
from tests.cells.numpy_cells import elman, gru_reset_after, lstm, randomized, run
from tests.contract import MaskProbe, check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

N, M = 4, 2  # units, features
RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 6, M)).astype("float32")
HOLES = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]], bool)
STATES = RNG.normal(size=(2, 3, N)).astype("float32")

LAYERS = [SimpleRNN, LSTM, GRU]
ORACLES = {SimpleRNN: elman, LSTM: lstm, GRU: gru_reset_after}
EVERY_LAYER = pytest.mark.parametrize("layer_class", LAYERS)


def random_layer(layer_class, **options):
    return randomized(layer_class(N, **options), X)


def like(layer, **options):
    """A layer of the same class and weights with other options."""
    twin = type(layer).from_config({**layer.get_config(), **options})
    twin.build(X.shape)
    twin.set_weights(layer.get_weights())
    return twin


def states_of(layer):
    return list(STATES[: len(layer.state_size)])


def assert_equal(ours, expected):
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@keras.saving.register_keras_serializable(package="seqkeras_tests")
class SumCell(keras.layers.Layer):
    """A user's cell, with Keras' protocol and no more: its state is the sum of its inputs."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.project = keras.layers.Dense(units, use_bias=False, kernel_initializer="ones")

    def get_config(self):
        return {**super().get_config(), "units": self.state_size}

    @property
    def state_size(self):
        return self.project.units

    def build(self, input_shape):
        self.project.build(input_shape)

    def call(self, inputs, states, training=False):
        total = states[0] + self.project(inputs)
        return (-total if training else total), [total]


@pytest.mark.covers("RNN", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: RNN(GRUCell(N), return_sequences=True, learn_initial_state=True),
        {"sequences": X},
        parameters=3 * N * (N + M + 2) + N,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


def test_contract_of_a_users_cell():
    check_layer_contract(
        lambda: RNN(SumCell(N), go_backwards=True, return_state=True),
        {"sequences": X},
        parameters=M * N,
        masks={"sequences": "mask"},
    )


# Masks.


@pytest.mark.covers("RNN", kind="oracle")
@EVERY_LAYER
def test_a_masked_step_keeps_the_state_and_repeats_the_output(layer_class):
    layer = random_layer(layer_class, return_sequences=True, return_state=True)
    states = states_of(layer)
    expected, last = run(ORACLES[layer_class], layer.get_weights(), X, states, HOLES)
    assert_equal(layer(X, initial_state=states, mask=HOLES), [expected, *last])
    assert not expected[1, :2].any(), "zero before the first real step"
    assert_equal(last[0][2], states[0][2])


@EVERY_LAYER
def test_masked_outputs_can_be_zero(layer_class):
    layer = random_layer(layer_class, return_sequences=True, return_state=True)
    repeated, *states = layer(X, mask=HOLES)
    zeroed = like(layer, zero_output_for_mask=True)(X, mask=HOLES)
    assert_equal(zeroed, [np.where(HOLES[..., None], repeated, 0.0), *states])


@EVERY_LAYER
@pytest.mark.parametrize("zero_output_for_mask", [True, False])
@pytest.mark.parametrize("go_backwards", [True, False])
def test_masked_outputs_are_those_of_keras(layer_class, zero_output_for_mask, go_backwards):
    options = {
        "zero_output_for_mask": zero_output_for_mask,
        "go_backwards": go_backwards,
        "return_sequences": True,
        "return_state": True,
    }
    theirs = randomized(getattr(keras.layers, layer_class.__name__)(N, **options), X)
    ours = layer_class(N, **options)
    ours.build(X.shape)
    ours.set_weights(theirs.get_weights())
    assert_equal(ours(X, mask=HOLES), theirs(X, mask=ops.convert_to_tensor(HOLES)))


def test_the_mask_of_reversed_outputs_is_reversed():
    x = np.where(HOLES[..., None], X, 0.0)
    masked = keras.layers.Masking()(x)
    outputs = GRU(N, return_sequences=True, go_backwards=True)(masked)
    np.testing.assert_array_equal(MaskProbe()(outputs), HOLES[:, ::-1])


# Directions, loops, pieces.


@EVERY_LAYER
def test_backwards_is_forwards_on_the_reversed_sequence(layer_class):
    layer = random_layer(layer_class, return_sequences=True, return_state=True)
    assert_equal(like(layer, go_backwards=True)(X), layer(X[:, ::-1]))


@EVERY_LAYER
@pytest.mark.parametrize("mask", [None, HOLES])
@pytest.mark.parametrize("go_backwards", [True, False])
def test_unrolled_equals_looped(layer_class, mask, go_backwards):
    looped = random_layer(layer_class, go_backwards=go_backwards)

    def results(layer):
        def loss(x):
            return ops.sum(ops.square(layer(x, mask=mask)))

        return value_and_gradients(loss, [X], layer.trainable_weights)

    assert_equal(results(like(looped, unroll=True)), results(looped))


@EVERY_LAYER
def test_one_step_at_a_time_equals_the_whole_sequence(layer_class):
    layer = random_layer(layer_class, return_sequences=True, return_state=True)
    states, outputs = states_of(layer), []
    for t in range(X.shape[1]):
        y, states = layer.cell(X[:, t], states)
        outputs.append(ops.convert_to_numpy(y))
    assert_equal(layer(X, initial_state=states_of(layer)), [np.stack(outputs, axis=1), *states])


@EVERY_LAYER
def test_without_sequences_the_last_output_is_returned(layer_class):
    layer = random_layer(layer_class, return_sequences=True)
    assert_equal(like(layer, return_sequences=False)(X), np.asarray(layer(X))[:, -1])


# Initial states.


@EVERY_LAYER
def test_carried_states_make_pieces_one_long_sequence(layer_class):
    layer = random_layer(layer_class, return_sequences=True)
    stateful = layer_class(N, return_sequences=True, stateful=True)
    stateful.build((3, 2, M))
    for ours, value in zip(stateful.trainable_weights, layer.get_weights(), strict=True):
        ours.assign(value)
    for _ in range(2):
        pieces = [np.asarray(stateful(X[:, t : t + 2])) for t in (0, 2, 4)]
        assert_equal(np.concatenate(pieces, axis=1), layer(X))
        stateful.reset_state()


def test_a_stateful_layer_refuses_another_batch_size():
    layer = GRU(N, stateful=True)
    layer(X)
    with pytest.raises(ValueError, match="expected batch size 3.*got 1"):
        layer(X[:1])


@pytest.mark.tensorflow
@pytest.mark.parametrize("rows", [1, 2])
def test_a_batch_size_that_the_graph_does_not_know_is_checked_at_run_time(rows):
    import tensorflow as tf

    layer = GRU(N, stateful=True)
    layer(X)
    call = tf.function(layer, input_signature=[tf.TensorSpec((None, None, M))])
    assert call(X).shape == (3, N)
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(X[:rows])


def test_keras_refuses_another_batch_size_of_a_stateful_layer():
    """With known batch sizes; the exception is the backend's own."""
    layer = keras.layers.GRU(N, stateful=True)
    layer(X)
    with pytest.raises(Exception, match=".+"):
        layer(X[:2])


def test_a_stateful_layer_needs_a_known_batch_size():
    with pytest.raises(ValueError, match="expected a static batch size"):
        GRU(N, stateful=True)(keras.Input((None, M)))


@EVERY_LAYER
def test_learned_states_start_as_the_default(layer_class):
    layer = random_layer(layer_class, return_sequences=True)
    learning = layer_class(N, return_sequences=True, learn_initial_state=True)
    learning.build(X.shape)
    states = [np.zeros(N)] * len(layer.state_size)
    assert len(learning.get_weights()) == len(layer.get_weights()) + len(states)
    assert_equal(learning.initial_state_weights, states)
    for ours, value in zip(learning.cell.weights, layer.get_weights(), strict=True):
        ours.assign(value)
    assert_equal(learning(X), layer(X))


@EVERY_LAYER
def test_learned_states_are_used_unless_states_are_given(layer_class):
    layer = random_layer(layer_class, learn_initial_state=True, return_sequences=True)
    weights = [ops.convert_to_numpy(w) for w in layer.initial_state_weights]
    cell = [ops.convert_to_numpy(w) for w in layer.cell.weights]
    for given, states in (
        (None, [np.broadcast_to(w, (len(X), N)) for w in weights]),
        (states_of(layer), states_of(layer)),
    ):
        expected, _ = run(ORACLES[layer_class], cell, X, states)
        assert_equal(layer(X, initial_state=given), expected)


@EVERY_LAYER
def test_gradient_of_learned_states_by_finite_differences(layer_class):
    """The difference quotient is that of the NumPy loop in float64."""
    layer = random_layer(layer_class, learn_initial_state=True)
    cell = [ops.convert_to_numpy(w) for w in layer.cell.weights]
    initial = [ops.convert_to_numpy(w).astype("float64") for w in layer.initial_state_weights]

    def oracle(flat):
        states = [np.tile(s, (len(X), 1)) for s in np.split(flat, len(initial))]
        return (run(ORACLES[layer_class], cell, X, states)[0][:, -1] ** 2).sum()

    flat, epsilon = np.concatenate(initial), 1e-5
    steps = epsilon * np.eye(len(flat))
    expected = [(oracle(flat + d) - oracle(flat - d)) / (2 * epsilon) for d in steps]
    _, _, gradients = value_and_gradients(
        lambda: ops.sum(ops.square(layer(X))), [], layer.initial_state_weights
    )
    np.testing.assert_allclose(np.concatenate(gradients), expected, rtol=1e-3, atol=1e-5)


def test_gradient_of_a_learned_state_is_the_tail_of_bptt():
    """dL/dh_0 is what backpropagation through time carries past the first step."""
    layer = random_layer(SimpleRNN, learn_initial_state=True, return_sequences=True)
    upstream = RNG.normal(size=(*X.shape[:2], N)).astype("float32")
    weights = [ops.convert_to_numpy(w) for w in layer.cell.weights]
    h_0 = ops.convert_to_numpy(layer.initial_state_weights[0])
    h, _ = run(elman, weights, X, [np.tile(h_0, (len(X), 1))])
    tail = np.zeros((len(X), N))
    for t in reversed(range(X.shape[1])):
        tail = ((upstream[:, t] + tail) * (1 - h[:, t] ** 2)) @ weights[1].T
    _, _, (gradient,) = value_and_gradients(
        lambda: ops.sum(layer(X) * upstream), [], layer.initial_state_weights
    )
    np.testing.assert_allclose(gradient, tail.sum(axis=0), rtol=1e-4, atol=1e-5)


# Dropout.


def copying_layer(**options):
    """A linear layer with kernel and recurrent kernel to be set, and no bias."""
    return SimpleRNN(N, activation="linear", use_bias=False, return_sequences=True, **options)


def test_input_dropout_draws_one_mask_for_all_steps():
    layer = copying_layer(dropout=0.5, seed=3)
    layer.build((8, 6, N))
    layer.set_weights([np.eye(N), np.zeros((N, N))])
    outputs = np.asarray(layer(np.ones((8, 6, N)), training=True))
    np.testing.assert_array_equal(outputs, np.broadcast_to(outputs[:, :1], outputs.shape))
    assert set(np.unique(outputs)) == {0.0, 2.0}
    assert len(np.unique(outputs[:, 0], axis=0)) > 1, "all rows have the same mask"


def test_recurrent_dropout_draws_one_mask_for_all_steps():
    layer = copying_layer(recurrent_dropout=0.5, seed=3)
    layer.build((8, 3, N))
    layer.set_weights([np.zeros((N, N)), np.eye(N)])
    x, h_0 = np.zeros((8, 3, N)), np.ones((8, N))
    outputs = np.asarray(layer(x, initial_state=[h_0], training=True))
    assert {tuple(history) for history in outputs.swapaxes(1, 2).reshape(-1, 3)} == {
        (0.0, 0.0, 0.0),
        (2.0, 4.0, 8.0),
    }


def test_input_dropout_leaves_the_recurrent_path_alone():
    layer = copying_layer(dropout=0.5, seed=3)
    layer.build((8, 3, N))
    layer.set_weights([np.zeros((N, N)), np.eye(N)])
    x, h_0 = np.ones((8, 3, N)), np.ones((8, N))
    outputs = np.asarray(layer(x, initial_state=[h_0], training=True))
    np.testing.assert_array_equal(outputs, np.ones_like(outputs))


@EVERY_LAYER
def test_dropout_follows_its_seed_and_is_off_in_inference(layer_class):
    plain = random_layer(layer_class)
    first, second, other = (
        like(plain, dropout=0.4, recurrent_dropout=0.4, seed=seed) for seed in (1, 1, 2)
    )
    one = np.asarray(first(X, training=True))
    assert_equal(second(X, training=True), one)
    assert np.abs(np.asarray(other(X, training=True)) - one).max() > 1e-3
    assert np.abs(np.asarray(first(X, training=True)) - one).max() > 1e-3, "masks are not redrawn"
    assert_equal(first(X), plain(X))


# Our cells in Keras' RNN, Keras' and users' cells in ours.


@EVERY_LAYER
def test_our_cells_run_in_keras(layer_class):
    layer = random_layer(layer_class, return_sequences=True, return_state=True)
    keras_rnn = keras.layers.RNN(layer.cell, return_sequences=True, return_state=True)
    assert_equal(
        keras_rnn(X, mask=ops.convert_to_tensor(HOLES)),
        layer(X, mask=HOLES),
    )


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
def test_keras_cells_run_in_ours(name):
    cell = randomized(getattr(keras.layers, f"{name}Cell")(N), X[:, 0], list(STATES[:2]))
    keras_layer = keras.layers.RNN(cell, return_sequences=True)
    assert_equal(RNN(cell, return_sequences=True)(X), keras_layer(X))


@pytest.mark.parametrize("stacked", [False, True], ids=["cell", "stack"])
def test_keras_cells_draw_their_masks_for_every_batch(stacked):
    """One mask for all steps of a batch, and another for the next, which may be smaller."""

    def copying_cell(**options):
        kernels = {"kernel_initializer": "identity", "recurrent_initializer": "zeros"}
        return keras.layers.SimpleRNNCell(N, "linear", use_bias=False, **kernels, **options)

    dropping = copying_cell(dropout=0.5, seed=1)
    layer = RNN([copying_cell(), dropping] if stacked else dropping, return_sequences=True)
    first, second = (np.asarray(layer(np.ones((b, 6, N)), training=True)) for b in (8, 4))
    for outputs in (first, second):
        assert set(np.unique(outputs)) == {0.0, 2.0}
        np.testing.assert_array_equal(outputs, np.broadcast_to(outputs[:, :1], outputs.shape))
    assert np.any(first[:4] != second)
    np.testing.assert_array_equal(layer(np.ones((4, 6, N))), np.ones((4, 6, N)))


def test_a_users_cell_runs_in_ours():
    layer = RNN(SumCell(N), return_sequences=True, return_state=True)
    totals = np.repeat(np.cumsum(X.sum(axis=-1, keepdims=True), axis=1), N, axis=-1)
    assert_equal(layer(X), [totals, totals[:, -1]])
    assert_equal(layer(X, training=True), [-totals, totals[:, -1]])


def test_a_list_of_cells_is_a_stack():
    layer = RNN([GRUCell(3), LSTMCell(N)], return_state=True)
    output, h, (h_top, c_top) = layer(X)
    assert_equal(output, h_top)
    assert (h.shape, c_top.shape) == ((3, 3), (3, N))


# Drop-ins for Keras.


@EVERY_LAYER
def test_the_weights_of_a_layer_are_those_of_keras(layer_class):
    ours = layer_class(N)
    theirs = getattr(keras.layers, layer_class.__name__)(N)
    for layer in (ours, theirs):
        layer(X)
    for group in ("trainable_weights", "non_trainable_weights", "weights"):
        names = [[(w.name, w.shape) for w in getattr(layer, group)] for layer in (ours, theirs)]
        assert names[0] == names[1], group


def test_carried_states_are_variables_of_the_model():
    """Keras keeps them to itself; a checkpoint needs them."""
    layer = LSTM(N, stateful=True, return_state=True)
    _, h, c = layer(X)
    assert_equal(layer.non_trainable_weights, [h, c])


@EVERY_LAYER
def test_the_attributes_of_the_cell_are_those_of_the_layer(layer_class):
    layer = layer_class(N, dropout=0.25)
    assert (layer.units, layer.dropout, layer.use_bias) == (N, 0.25, True)
    with pytest.raises(AttributeError, match="no_such_option"):
        layer.no_such_option  # noqa: B018


@EVERY_LAYER
def test_the_choice_among_keras_kernels_is_taken_and_changes_nothing(layer_class):
    layer = random_layer(layer_class)
    cudnn = {"use_cudnn": False} if layer.takes_cudnn else {}
    assert_equal(like(layer, implementation=1, **cudnn)(X), layer(X))


# Errors.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RNN(keras.layers.Dense(3)), "expected a cell"),
        (lambda: RNN(GRU(3)), "not a layer such as GRU"),
        (lambda: RNN([GRU(3)]), "not a layer such as GRU"),
        (lambda: GRU(3, stateful=True, learn_initial_state=True), "got both"),
        (lambda: GRU(3)(X, constants=X), "GRUCell takes no constants="),
        (lambda: LSTM(3)(X, initial_state=[X[:, 0]]), "expected states of sizes .3, 3., got 1"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.RNN(keras.layers.GRUCell(N), return_sequences=True),
        lambda: keras.layers.Bidirectional(keras.layers.GRU(N, return_sequences=True)),
        lambda: keras.layers.TimeDistributed(keras.layers.Dense(N)),
    ],
    ids=["RNN", "Bidirectional", "TimeDistributed"],
)
def test_keras_wrappers_pass_the_mask_on(layer):
    """Models of ours may be put together from these layers."""
    ids = keras.Input((6,), dtype="int32")
    embedded = keras.layers.Embedding(5, M, mask_zero=True)(ids)
    model = keras.Model(ids, MaskProbe()(layer()(embedded)))
    rows = np.array([[1, 2, 3, 4, 1, 2], [3, 4, 0, 0, 0, 0]], "int32")
    np.testing.assert_array_equal(model.predict_on_batch(rows), rows > 0)
