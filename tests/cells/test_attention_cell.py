"""`AttentionCell` against loops in NumPy; the attention itself is tested in tests/attention."""

import keras
import numpy as np
import pytest
from keras import ops, tree

from seqkeras.layers import (
    GRU,
    RNN,
    AttentionCell,
    BahdanauAttention,
    DotAttention,
    GRUCell,
    HardAttention,
    LSTMCell,
    SimpleRNNCell,
    StackedRNNCells,
)
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

B, T, S, D, DM, H, A, Y = 2, 4, 5, 3, 6, 4, 7, 3
REAL = np.arange(S) < np.array([[5], [3]])
VARIANTS = {
    "previous": {},
    "previous, [h; v]": {"output_context": True},
    "previous, map": {"memory_map": 2},
    "current": {"query": "current", "input_feeding": False},
    "current, feeding": {"query": "current"},
    "current, feeding, units, map": {"query": "current", "output_units": Y, "memory_map": 2},
}


@pytest.fixture
def tensors():
    """Inputs `(B, T, D)`, first state `(B, H)`, memory `(B, S, DM)`."""
    rng = np.random.default_rng(0)
    shapes = [(B, T, D), (B, H), (B, S, DM)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def make(cell=None, memory_map=None, **options):
    keras.utils.set_random_seed(3)
    if memory_map is not None:
        options["memory_map"] = keras.layers.Dense(memory_map, use_bias=False)
    cell = AttentionCell(
        cell or SimpleRNNCell(H, bias_initializer="uniform"),
        BahdanauAttention(A),
        return_attention_scores=True,
        **options,
    )
    return RNN(cell, return_sequences=True)


def run(rnn, x, memory, mask=REAL, **options):
    outputs = rnn(x, constants=memory, constants_mask=mask, **options)
    return [ops.convert_to_numpy(output) for output in outputs]


def numpy_attend(attention, h, memory, real):
    """(6)-(8) of the notes for one query: `(v, alpha)`."""
    kernel_q, kernel_k, bias, w = [ops.convert_to_numpy(x) for x in attention.weights]
    e = np.array([w[:, 0] @ np.tanh(h @ kernel_q + f @ kernel_k + bias) for f in memory])
    alpha = np.where(real, np.exp(e), 0) / np.exp(e)[real].sum()
    return alpha @ memory, alpha


def numpy_cell(cell, x, h, memory, real):
    """The module's equations over one sequence, around a plain cell: outputs and weights."""
    kernel, recurrent, bias = [ops.convert_to_numpy(w) for w in cell.cell.weights]
    if cell.memory_map is not None:
        memory = memory @ ops.convert_to_numpy(cell.memory_map.kernel)
    ys, alphas = [], []
    y = np.zeros(cell.output_units or H)
    for x_t in x:
        if cell.query == "previous":
            v, alpha = numpy_attend(cell.attention, h, memory, real)
            h = np.tanh(np.concatenate([x_t, v]) @ kernel + h @ recurrent + bias)
            y = np.concatenate([h, v]) if cell.output_context else h
        else:
            entering = np.concatenate([x_t, y]) if cell.input_feeding else x_t
            h = np.tanh(entering @ kernel + h @ recurrent + bias)
            v, alpha = numpy_attend(cell.attention, h, memory, real)
            y = np.tanh(np.concatenate([v, h]) @ ops.convert_to_numpy(cell.output_kernel))
        ys.append(y)
        alphas.append(alpha)
    return np.array(ys), np.array(alphas)


def first_states(cell, h):
    """h, followed by a zero y where it is fed back."""
    size = cell.output_units or H
    return [h, np.zeros((B, size), "float32")] if cell.input_feeding else [h]


@pytest.mark.covers("AttentionCell", kind="oracle")
@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_equals_a_loop_over_the_equations(variant, tensors):
    x, h, memory = tensors
    rnn = make(**VARIANTS[variant])
    y, weights = run(rnn, x, memory, initial_state=first_states(rnn.cell, h))
    for b in range(B):
        expected, alphas = numpy_cell(rnn.cell, x[b], h[b], memory[b], REAL[b])
        np.testing.assert_allclose(y[b], expected, atol=1e-5)
        np.testing.assert_allclose(weights[b], alphas, atol=1e-5)


def cells(name):
    if name == "stack":
        return StackedRNNCells([GRUCell(H), LSTMCell(H)])
    return {"gru": GRUCell, "lstm": LSTMCell}[name](H)


@pytest.mark.parametrize("query", ["previous", "current"])
@pytest.mark.parametrize("name", ["gru", "lstm", "stack"])
def test_one_step_at_a_time_equals_the_whole_sequence(name, query, tensors):
    x, _, memory = tensors
    rnn = make(cells(name), query=query)
    y, weights = run(rnn, x, memory)
    states = rnn.cell.get_initial_state(batch_size=B)
    for t in range(T):
        (y_t, weights_t), states = rnn.cell(x[:, t], states, constants=memory, constants_mask=REAL)
        np.testing.assert_allclose(y_t, y[:, t], atol=1e-5)
        np.testing.assert_allclose(weights_t, weights[:, t], atol=1e-5)
    y_now, weights_now = rnn.cell.read(states, rnn.cell.prepare(memory, REAL))
    if query == "current":  # the last state asks: reading it repeats the last output
        np.testing.assert_allclose(y_now, y[:, -1], atol=1e-5)
        np.testing.assert_allclose(weights_now, weights[:, -1], atol=1e-5)


@pytest.mark.parametrize("query", ["previous", "current"])
def test_a_cell_of_keras_gives_the_same(query, tensors):
    """Keras' cell sees `[x; v]` whole; of ours the share of x leaves the loop."""
    x, _, memory = tensors
    ours, theirs = make(LSTMCell(H), query=query), make(keras.layers.LSTMCell(H), query=query)
    y, weights = run(ours, x, memory)
    run(theirs, x, memory)
    for name in ("attention", "cell"):
        getattr(theirs.cell, name).set_weights(getattr(ours.cell, name).get_weights())
    if query == "current":
        theirs.cell.output_kernel.assign(ours.cell.output_kernel)
    found, found_weights = run(theirs, x, memory)
    np.testing.assert_allclose(found, y, atol=1e-5)
    np.testing.assert_allclose(found_weights, weights, atol=1e-5)


def test_the_top_cell_of_a_stack_asks(tensors):
    x, _, memory = tensors
    rnn = make(StackedRNNCells([GRUCell(H), SimpleRNNCell(H)]))
    run(rnn, x, memory)
    h_top = np.random.default_rng(1).normal(size=(B, H)).astype("float32")
    context = rnn.cell.prepare(memory, REAL)
    _, weights = rnn.cell.attend([np.zeros((B, H), "float32"), h_top], context)
    for b in range(B):
        _, alpha = numpy_attend(rnn.cell.attention, h_top[b], memory[b], REAL[b])
        np.testing.assert_allclose(weights[b], alpha, atol=1e-5)


@pytest.mark.parametrize("variant", ["previous, map", "current, feeding", "previous, [h; v]"])
def test_padding_of_the_memory_has_no_influence_and_no_gradient(variant, tensors):
    x, _, memory = tensors
    rnn = make(**VARIANTS[variant])
    padded = np.where(REAL[..., None], memory, np.nan).astype("float32")
    for found, expected in zip(run(rnn, x, padded), run(rnn, x, memory), strict=True):
        np.testing.assert_array_equal(found, expected)

    def loss(x, memory):
        y, _ = rnn(x, constants=memory, constants_mask=REAL)
        return ops.sum(ops.sin(y))

    found = value_and_gradients(loss, [x, padded], rnn.trainable_variables)
    expected = value_and_gradients(loss, [x, memory], rnn.trainable_variables)
    for gradient, clean in zip(tree.flatten(found), tree.flatten(expected), strict=True):
        np.testing.assert_allclose(gradient, clean, atol=1e-6)
    of_memory = found[1][1]
    np.testing.assert_array_equal(of_memory[~REAL], 0.0)
    assert np.any(of_memory[REAL])


def test_a_memory_without_a_real_position_is_a_zero_context(tensors):
    x, h, memory = tensors
    rnn = make(output_context=True)
    nowhere = np.zeros_like(REAL)
    y, weights = run(rnn, x, np.full_like(memory, np.nan), nowhere, initial_state=[h])
    np.testing.assert_array_equal(weights, 0.0)
    np.testing.assert_array_equal(y[..., H:], 0.0)
    kernel, recurrent, bias = [ops.convert_to_numpy(w) for w in rnn.cell.cell.weights]
    for t in range(T):  # what is left is the cell on x alone
        h = np.tanh(x[:, t] @ kernel[:D] + h @ recurrent + bias)
        np.testing.assert_allclose(y[:, t, :H], h, atol=1e-5)


def test_masked_steps_keep_the_state(tensors):
    x, _, memory = tensors
    mask = np.array([[True] * T, [True, True, False, False]])
    rnn = make(query="current")
    rnn.return_state = True
    _, _, *states = [
        ops.convert_to_numpy(s)
        for s in tree.flatten(rnn(x, constants=memory, constants_mask=REAL, mask=mask))
    ]
    short = rnn(x[1:, :2], constants=memory[1:], constants_mask=REAL[1:])
    for state, expected in zip(states, tree.flatten(short)[2:], strict=True):
        np.testing.assert_allclose(state[1:], expected, atol=1e-6)


@pytest.mark.parametrize("query", ["previous", "current"])
def test_dropout_is_one_mask_for_a_sequence_and_off_in_inference(query, tensors):
    """With h = 0.01 * (sum of x) and nothing recurrent, what a mask lets through shows in y."""
    _, _, memory = tensors
    cell = SimpleRNNCell(
        1,
        activation="linear",
        kernel_initializer=keras.initializers.Constant(0.01),
        recurrent_initializer="zeros",
        dropout=0.5,
        seed=7,
    )
    rnn = make(cell, query=query, input_feeding=False if query == "current" else None)
    x, memory = np.ones((B, T, 64), "float32"), np.zeros_like(memory)
    kept, _ = run(rnn, x, memory)
    np.testing.assert_array_equal(kept, np.full_like(kept, kept[0, 0, 0]))
    dropped, _ = run(rnn, x, memory, training=True)
    assert np.all(dropped != kept)
    np.testing.assert_array_equal(dropped, np.repeat(dropped[:, :1], T, axis=1))


def test_config_rebuilds_the_cell(tensors):
    x, _, memory = tensors
    for options in VARIANTS.values():
        rnn = make(**options)
        y, _ = run(rnn, x, memory)
        copy = RNN.from_config(rnn.get_config())
        run(copy, x, memory)
        copy.set_weights(rnn.get_weights())
        np.testing.assert_array_equal(run(copy, x, memory)[0], y)


def test_scores_are_an_extra_output(tensors):
    x, _, memory = tensors
    rnn = make(query="current", output_units=Y)
    y, _ = run(rnn, x, memory)
    config = rnn.get_config()
    config["cell"]["config"]["return_attention_scores"] = False
    alone = RNN.from_config(config)
    assert alone(x, constants=memory).shape == (B, T, Y)
    alone.set_weights(rnn.get_weights())
    found = alone(x, constants=memory, constants_mask=REAL)
    np.testing.assert_array_equal(ops.convert_to_numpy(found), y)


def test_number_of_weights():
    memory = np.zeros((B, S, DM), "float32")
    x = np.zeros((B, T, D), "float32")
    attention = H * A + DM * A + A + A
    previous, current = make(), make(query="current", output_units=Y)
    run(previous, x, memory)
    run(current, x, memory)
    assert previous.count_params() == attention + (D + DM) * H + H * H + H
    assert current.count_params() == attention + (D + Y) * H + H * H + H + (DM + H) * Y


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query": "next"}, "query: expected one of"),
        ({"input_feeding": True}, 'belong to query="current"'),
        ({"output_units": 4}, 'belong to query="current"'),
        ({"query": "current", "output_context": True}, 'belongs to query="previous"'),
    ],
)
def test_options_that_the_query_does_not_read_raise(options, message):
    with pytest.raises(ValueError, match=message):
        AttentionCell(SimpleRNNCell(H), DotAttention(), **options)


@pytest.mark.parametrize(
    ("cell", "attention", "message"),
    [
        (lambda: GRU(H), DotAttention, "not a layer such as GRU"),
        (lambda: GRUCell(H), keras.layers.Attention, "expected an attention layer of seqkeras"),
        (lambda: keras.layers.GRUCell(H, dropout=0.5), DotAttention, "with dropout of Keras"),
        (
            lambda: GRUCell(H),
            lambda: HardAttention(DotAttention(), "gumbel"),
            "has no noise of each step",
        ),
    ],
)
def test_a_cell_or_attention_that_does_not_fit_raises(cell, attention, message):
    with pytest.raises(ValueError, match=message):
        AttentionCell(cell(), attention())


def test_a_cell_without_a_memory_raises(tensors):
    cell = AttentionCell(SimpleRNNCell(H), DotAttention())
    with pytest.raises(ValueError, match="expected a memory, got none"):
        cell.build((B, D))
    with pytest.raises(ValueError, match="expected a memory, got none"):
        RNN(cell)(tensors[0])


@pytest.mark.covers("AttentionCell", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    rng = np.random.default_rng(2)
    sizes = {"sequences": (3, T, D), "constants": (3, S, DM)}
    check_layer_contract(
        lambda: RNN(
            AttentionCell(
                GRUCell(H, reset_after=False),
                BahdanauAttention(A),
                query="current",
                output_units=Y,
                memory_map=keras.layers.Dense(2, use_bias=False),
                return_attention_scores=True,
            ),
            return_sequences=True,
        ),
        {name: rng.normal(size=size).astype("float32") for name, size in sizes.items()},
        parameters=DM * 2 + (H + 2 + 2) * A + 3 * H * (D + Y + H + 1) + (2 + H) * Y,
        masks={"sequences": "mask", "constants": "constants_mask"},
        jit_compile=jit_compile,
    )


@with_and_without_xla
def test_contract_of_the_cell_alone(jit_compile):
    rng = np.random.default_rng(2)
    sizes = {"inputs": (3, D), "constants": (3, S, DM)}
    inputs = {name: rng.normal(size=size).astype("float32") for name, size in sizes.items()}
    check_layer_contract(
        lambda: AttentionCell(SimpleRNNCell(H), BahdanauAttention(A), output_context=True),
        {**inputs, "states": [rng.normal(size=(3, H)).astype("float32")]},
        parameters=(H + DM + 2) * A + H * (D + DM + H + 1),
        jit_compile=jit_compile,
    )
