"""The decoder against a loop in NumPy, against itself step by step, and against free running."""

import keras
import numpy as np
import pytest
from keras import ops, tree

from seqkeras.constants import PAD, START
from seqkeras.layers import (
    AttentionCell,
    AutoregressiveDecoder,
    BahdanauAttention,
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
    SoftmaxHead,
    StackedRNNCells,
)
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

B, T, S, D, H, DM, V = 3, 5, 4, 3, 4, 6, 9
TOKENS = np.array([[1, 4, 5, 6, 7], [1, 8, 3, 4, 0], [1, 5, 0, 0, 0]], "int32")
REAL = np.arange(S) < np.array([[4], [2], [1]])


def attend(cell, **options):
    return AttentionCell(cell, BahdanauAttention(5), return_attention_scores=True, **options)


CELLS = {
    "simple_rnn": lambda: SimpleRNNCell(H, bias_initializer="uniform"),
    "stack": lambda: StackedRNNCells([GRUCell(H), LSTMCell(H)]),
    "previous": lambda: attend(GRUCell(H), output_context=True),
    "previous, stack": lambda: attend(StackedRNNCells([LSTMCell(H), GRUCell(H)])),
    "current": lambda: attend(LSTMCell(H), query="current", input_feeding=False),
    "current, feeding": lambda: attend(GRUCell(H), query="current", output_units=2),
}


def make(cell, **options):
    keras.utils.set_random_seed(5)
    embedding = keras.layers.Embedding(V, D, embeddings_initializer="normal")
    return AutoregressiveDecoder(embedding, CELLS[cell](), SoftmaxHead(V), **options)


def given(decoder, seed=0):
    """Initial states, and memory with its mask if the decoder attends."""
    rng = np.random.default_rng(seed)
    sizes = decoder.rnn.state_size
    if decoder.attends and decoder.cell.input_feeding:
        sizes = sizes[:-1]
    states = [rng.normal(size=(B, size)).astype("float32") for size in tree.flatten(sizes)]
    if not decoder.attends:
        return {"initial_state": states}
    memory = rng.normal(size=(B, S, DM)).astype("float32")
    return {"initial_state": states, "memory": memory, "memory_mask": REAL}


def logits_of(decoder, tokens=TOKENS, **inputs):
    return ops.convert_to_numpy(decoder(tokens, **inputs))


def free_running(decoder, first, inputs, choose):
    """Logits `(B, T, V)` and weights by `decoder.step`; `choose(t, logits)` is the next token."""
    context = decoder.prepare(inputs.get("memory"), inputs.get("memory_mask"))
    state = decoder.start(inputs["initial_state"], inputs.get("memory_mask"))
    tokens, logits, weights = first, [], []
    for t in range(T):
        logits_t, state = decoder.step(ops.convert_to_tensor(tokens), state, context)
        logits.append(ops.convert_to_numpy(logits_t))
        if decoder.attends:
            weights.append(ops.convert_to_numpy(state["attention"]))
        tokens = choose(t, logits[-1])
    return np.stack(logits, 1), np.stack(weights, 1) if weights else None


def numpy_logits(decoder, tokens, h):
    """A language model by hand: embedding, Elman network from h, softmax head; for one row."""
    table, kernel, recurrent, bias, head, head_bias = [
        ops.convert_to_numpy(w)
        for w in (
            decoder.embedding.embeddings,
            *decoder.cell.weights,
            *decoder.head.weights,
        )
    ]
    rows = []
    for token in tokens:
        if decoder.first_token == "start" or token != START:
            h = np.tanh(table[token] @ kernel + h @ recurrent + bias)
        rows.append(head @ h + head_bias)
    return np.array(rows)


@pytest.mark.covers("AutoregressiveDecoder", kind="oracle")
@pytest.mark.parametrize("first_token", ["start", "state"])
def test_equals_a_language_model_that_starts_in_the_state(first_token):
    decoder = make("simple_rnn", first_token=first_token)
    inputs = given(decoder)
    logits = logits_of(decoder, **inputs)
    for b in range(B):
        expected = numpy_logits(decoder, TOKENS[b], inputs["initial_state"][0][b])
        np.testing.assert_allclose(logits[b], expected, rtol=1e-4, atol=1e-6)


def test_with_the_context_zeroed_it_is_a_language_model():
    """Attention over zeros adds nothing: what is left is the cell on the tokens alone."""
    keras.utils.set_random_seed(5)
    with_memory = AutoregressiveDecoder(
        keras.layers.Embedding(V, D), attend(SimpleRNNCell(H)), SoftmaxHead(V)
    )
    plain = make("simple_rnn")
    inputs = given(with_memory)
    zeroed = {**inputs, "memory": np.zeros_like(inputs["memory"])}
    states = {"initial_state": inputs["initial_state"]}
    logits = logits_of(with_memory, **zeroed)
    plain(TOKENS, **states)
    kernel, *others = with_memory.cell.cell.get_weights()
    plain.cell.set_weights([kernel[:D], *others])
    plain.embedding.set_weights(with_memory.embedding.get_weights())
    plain.head.set_weights(with_memory.head.get_weights())
    np.testing.assert_allclose(logits, logits_of(plain, **states), atol=1e-6)
    assert np.abs(logits - logits_of(with_memory, **inputs)).max() > 1e-3


@pytest.mark.parametrize("first_token", ["start", "state"])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_one_step_at_a_time_equals_teacher_forcing(cell, first_token):
    decoder = make(cell, first_token=first_token)
    inputs = given(decoder)
    logits, weights = decoder(TOKENS, **inputs, return_attention_scores=True)
    np.testing.assert_array_equal(logits_of(decoder, **inputs), ops.convert_to_numpy(logits))
    steps, step_weights = free_running(
        decoder, TOKENS[:, 0], inputs, lambda t, _: TOKENS[:, min(t + 1, T - 1)]
    )
    np.testing.assert_allclose(steps, ops.convert_to_numpy(logits), atol=1e-5)
    if decoder.attends:
        np.testing.assert_allclose(step_weights, ops.convert_to_numpy(weights), atol=1e-6)
        np.testing.assert_allclose(step_weights.sum(-1), 1.0, rtol=1e-5)
    else:
        assert weights is None


def test_the_weights_before_the_first_step_are_zero():
    decoder = make("previous")
    inputs = given(decoder)
    logits_of(decoder, **inputs)
    state = decoder.start(inputs["initial_state"], inputs["memory_mask"])
    np.testing.assert_array_equal(ops.convert_to_numpy(state["attention"]), np.zeros((B, S)))


def test_with_first_token_state_nothing_of_the_start_token_is_read():
    decoder = make("current, feeding", first_token="state")
    inputs = given(decoder)
    before = logits_of(decoder, **inputs)
    table = ops.convert_to_numpy(decoder.embedding.embeddings).copy()
    table[START] = 100.0
    decoder.embedding.set_weights([table])
    np.testing.assert_array_equal(logits_of(decoder, **inputs), before)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_later_tokens_change_nothing(cell):
    decoder = make(cell)
    inputs = given(decoder)
    before = logits_of(decoder, **inputs)
    for t in range(1, T):
        changed = TOKENS.copy()
        changed[:, t:] = (changed[:, t:] + 2) % V
        after = logits_of(decoder, changed, **inputs)
        np.testing.assert_allclose(after[:, :t], before[:, :t], atol=1e-6)
        assert np.abs(after[:, t] - before[:, t]).max() > 1e-4


@pytest.mark.parametrize("cell", ["previous", "current, feeding"])
def test_logits_have_no_gradient_by_later_tokens(cell):
    decoder = make(cell)
    inputs = given(decoder)
    tokens = np.broadcast_to(np.arange(1, T + 1, dtype="int32"), (B, T))  # token t + 1 at t
    decoder(tokens, **inputs)
    for t in range(T):
        _, _, [by_table] = value_and_gradients(
            lambda t=t: ops.sum(ops.sin(decoder(tokens, **inputs)[:, t])),
            [],
            [decoder.embedding.embeddings],
        )
        rows = np.abs(np.asarray(by_table)).max(-1)
        np.testing.assert_array_equal(rows[t + 2 :], 0.0)
        assert np.all(rows[1 : t + 2] > 0)


@pytest.mark.parametrize("first_token", ["start", "state"])
@pytest.mark.parametrize("cell", ["stack", "previous", "current, feeding"])
def test_padding_of_the_target_changes_nothing(cell, first_token):
    decoder = make(cell, first_token=first_token)
    inputs = given(decoder)
    before = logits_of(decoder, **inputs)
    wider = np.pad(TOKENS, ((0, 0), (0, 3)), constant_values=PAD)
    np.testing.assert_allclose(logits_of(decoder, wider, **inputs)[:, :T], before, atol=1e-6)


@pytest.mark.parametrize("cell", ["previous", "current, feeding"])
def test_padding_of_the_memory_changes_nothing(cell):
    decoder = make(cell)
    inputs = given(decoder)
    before = logits_of(decoder, **inputs)
    inputs["memory"][~REAL] = np.nan
    np.testing.assert_array_equal(logits_of(decoder, **inputs), before)


@pytest.mark.parametrize("first_token", ["start", "state"])
@pytest.mark.parametrize("cell", ["simple_rnn", "stack", "previous", "current, feeding"])
def test_scheduled_sampling_goes_from_teacher_forcing_to_free_running(cell, first_token):
    decoder = make(cell, first_token=first_token, scheduled_sampling=True)
    inputs = given(decoder)
    forced = logits_of(decoder, **inputs)
    np.testing.assert_allclose(logits_of(decoder, **inputs, training=True), forced, atol=1e-5)
    decoder.sampling_rate.assign(1.0)
    np.testing.assert_array_equal(logits_of(decoder, **inputs), forced)  # inference ignores it
    free, _ = free_running(decoder, TOKENS[:, 0], inputs, lambda _, logits: logits.argmax(-1))
    found = logits_of(decoder, **inputs, training=True)
    np.testing.assert_allclose(found, free, atol=1e-5)
    assert np.abs(found - forced).max() > 1e-3


def test_the_sampling_rate_is_the_share_of_own_predictions():
    """Without recurrence the logits tell which token was fed: always 3 by itself, else 4."""
    decoder = AutoregressiveDecoder(
        keras.layers.Embedding(V, V, embeddings_initializer="identity"),
        SimpleRNNCell(V, kernel_initializer="identity", recurrent_initializer="zeros"),
        SoftmaxHead(V),
        scheduled_sampling=True,
        seed=1,
    )
    tokens = np.full((50, 41), 4, "int32")
    tokens[:, 0] = START
    states = [np.zeros((50, V), "float32")]
    decoder(tokens, states)
    decoder.head.set_weights([np.eye(V), 10.0 * np.eye(V)[3]])
    decoder.sampling_rate.assign(0.3)
    logits = ops.convert_to_numpy(decoder(tokens, states, training=True))
    logits[..., 3] -= 10.0
    fed = logits.argmax(-1)
    assert np.all(fed[:, 0] == START)
    assert set(fed[:, 1:].ravel()) == {3, 4}
    own = fed[:, 1:] == 3
    assert own.mean() == pytest.approx(0.3, abs=0.05)  # 2000 coins: sigma = 0.01
    assert own.all(0).sum() == own.all(1).sum() == 0  # a coin for every row and step


def test_dropout_is_on_in_training_only():
    for options in ({}, {"scheduled_sampling": True}):
        decoder = make("previous", dropout=0.5, seed=2, **options)
        inputs = given(decoder)
        plain = logits_of(decoder, **inputs)
        np.testing.assert_array_equal(logits_of(decoder, **inputs), plain)
        first, second = (logits_of(decoder, **inputs, training=True) for _ in range(2))
        assert np.abs(first - plain).max() > 1e-3
        assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("scheduled_sampling", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [lambda cell: cell, lambda cell: StackedRNNCells([cell]), attend],
    ids=["cell", "stack", "attention"],
)
def test_the_input_dropout_of_the_cell_is_on_in_training(wrap, scheduled_sampling):
    """All embeddings are ones and the logits are the cell's inputs: they show its mask."""
    kernels = {"kernel_initializer": "identity", "recurrent_initializer": "zeros"}
    cell = SimpleRNNCell(V, "linear", use_bias=False, dropout=0.5, seed=3, **kernels)
    decoder = AutoregressiveDecoder(
        keras.layers.Embedding(V, V, embeddings_initializer="ones"),
        wrap(cell),
        SoftmaxHead(V),
        scheduled_sampling=scheduled_sampling,
    )
    inputs = {"initial_state": [np.zeros((B, V), "float32")]}
    if decoder.attends:
        inputs |= {"memory": np.zeros((B, S, DM), "float32"), "memory_mask": REAL}
    logits_of(decoder, **inputs)
    decoder.head.set_weights([np.eye(V), np.zeros(V)])
    np.testing.assert_array_equal(logits_of(decoder, **inputs), np.ones((B, T, V)))
    masks = logits_of(decoder, **inputs, training=True)
    assert set(np.unique(masks)) == {0.0, 2.0}
    np.testing.assert_array_equal(masks, np.broadcast_to(masks[:, :1], masks.shape))
    assert len(np.unique(masks[:, 0], axis=0)) > 1, "all rows have the same mask"


@pytest.mark.parametrize("cell", ["stack", "previous", "current, feeding"])
def test_mixed_precision_decodes_in_float32_logits(cell):
    plain = make(cell)
    inputs = given(plain)
    expected = logits_of(plain, **inputs)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        decoder = make(cell)
    finally:
        keras.config.set_dtype_policy(before)
    logits = decoder(TOKENS, **inputs)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    decoder.set_weights(plain.get_weights())
    np.testing.assert_allclose(logits_of(decoder, **inputs), expected, rtol=0.1, atol=0.1)
    state = decoder.start(inputs["initial_state"], inputs.get("memory_mask"))
    context = decoder.prepare(inputs.get("memory"), inputs.get("memory_mask"))
    step_logits, new_state = decoder.step(ops.convert_to_tensor(TOKENS[:, 0]), state, context)
    np.testing.assert_allclose(step_logits, expected[:, 0], rtol=0.1, atol=0.1)
    for old, new in zip(tree.flatten(state), tree.flatten(new_state), strict=True):
        assert old.dtype == new.dtype  # what a loop around `step` needs


def test_a_head_that_is_tied_stays_tied():
    embedding = keras.layers.Embedding(V, H)
    decoder = AutoregressiveDecoder(embedding, GRUCell(H), SoftmaxHead(V, tied_to=embedding))
    copy = AutoregressiveDecoder.from_config(decoder.get_config())
    assert copy.head.tied_to is copy.embedding is not embedding
    inputs = given(decoder)
    expected = logits_of(decoder, **inputs)
    logits_of(copy, **inputs)
    copy.set_weights(decoder.get_weights())
    np.testing.assert_array_equal(logits_of(copy, **inputs), expected)


def test_an_unknown_first_token_raises():
    with pytest.raises(ValueError, match="first_token: expected one of"):
        make("stack", first_token="begin")


def test_an_attention_cell_must_hand_out_its_weights():
    cell = AttentionCell(GRUCell(H), BahdanauAttention(5))
    with pytest.raises(ValueError, match="return_attention_scores=True"):
        AutoregressiveDecoder(keras.layers.Embedding(V, D), cell, SoftmaxHead(V))


def test_a_cell_without_its_two_halves_raises():
    with pytest.raises(ValueError, match="expected a cell of seqkeras.layers"):
        AutoregressiveDecoder(keras.layers.Embedding(V, D), keras.layers.GRUCell(H), SoftmaxHead(V))


def test_memory_and_attention_belong_together():
    for cell, other, message in (
        ("previous", "simple_rnn", "expected a memory for the attention cell, got none"),
        ("simple_rnn", "previous", "expected no memory: SimpleRNNCell does not attend"),
    ):
        decoder = make(cell)
        wrong = {**given(make(other)), "initial_state": given(decoder)["initial_state"]}
        with pytest.raises(ValueError, match=message):
            decoder(TOKENS, **wrong)


@pytest.mark.covers("AutoregressiveDecoder", kind="contract")
@with_and_without_xla
def test_contract_with_attention(jit_compile):
    inputs = given(make("current, feeding"))
    attention = (H + DM + 2) * 5
    check_layer_contract(
        lambda: make("current, feeding", first_token="state", scheduled_sampling=True, seed=1),
        {"tokens": TOKENS, **inputs},
        parameters=V * D + attention + 3 * H * (D + 2 + H + 2) + (DM + H) * 2 + 3 * V,
        jit_compile=jit_compile,
    )


@pytest.mark.covers("AutoregressiveDecoder", kind="contract")
@with_and_without_xla
def test_contract_without_attention(jit_compile):
    check_layer_contract(
        lambda: make("stack"),
        {"tokens": TOKENS, **given(make("stack"))},
        parameters=V * D + 3 * H * (D + H + 2) + 4 * H * (H + H + 1) + (H + 1) * V,
        jit_compile=jit_compile,
    )
