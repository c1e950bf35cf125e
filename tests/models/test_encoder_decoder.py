"""What holds for every encoder-decoder model, whatever its builder."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.cells.lstm import LSTMCell
from seqkeras.cells.stacked import StackedRNNCells
from seqkeras.constants import PAD
from seqkeras.models import attention_seq2seq, decoding_parts, seq2seq
from seqkeras.models.encoder_decoder import make_cell, make_stack

SOURCE_V, TARGET_V, T = 8, 7, 4
SOURCE = np.array([[4, 5, 6, 7, 2], [5, 2, 0, 0, 0], [3, 7, 2, 0, 0]], "int32")
TOKENS = np.array([[1, 4, 5, 6], [1, 3, 0, 0], [1, 6, 6, 0]], "int32")
INPUTS = {"source": SOURCE, "target_in": TOKENS}
SIZES = {"embedding_dim": 5, "units": 4}
BUILDERS = {
    "seq2seq": lambda **options: seq2seq(SOURCE_V, TARGET_V, **SIZES, **options),
    "attention": lambda **options: attention_seq2seq(
        SOURCE_V, TARGET_V, encoder_layers=2, decoder_layers=2, **SIZES, **options
    ),
    "luong": lambda **options: attention_seq2seq(
        SOURCE_V, TARGET_V, "lstm", attention="general", query="current", **SIZES, **options
    ),
}


@pytest.fixture(params=sorted(BUILDERS))
def build(request):
    keras.utils.set_random_seed(3)
    return BUILDERS[request.param]


def logits_of(model, inputs=INPUTS):
    return ops.convert_to_numpy(model(inputs))


def step_by_step(parts, source, tokens):
    """Log-probabilities `(B, T, V)` by `encode` and `step`, and the weights of every step."""
    memory, state = parts.encode(source)
    log_probs, weights = [], []
    for t in range(tokens.shape[1]):
        log_probs_t, state = parts.step(ops.convert_to_tensor(tokens[:, t]), state, memory)
        log_probs.append(ops.convert_to_numpy(log_probs_t))
        if parts.attends:
            weights.append(ops.convert_to_numpy(state["attention"]))
    return np.stack(log_probs, 1), np.stack(weights, 1) if weights else None


def test_logits_for_every_target_position(build):
    model = build()
    assert model.output_shape == (None, None, TARGET_V)
    assert logits_of(model).shape == (*TOKENS.shape, TARGET_V)


@pytest.mark.parametrize("first_token", ["start", "state"])
def test_the_three_ways_through_a_model_agree(build, first_token):
    """The model, `attend` and `step` after `encode` give the same log-probabilities."""
    model = build(first_token=first_token)
    parts = decoding_parts(model)
    expected = ops.convert_to_numpy(ops.log_softmax(model(INPUTS)))
    whole, weights = parts.attend(SOURCE, TOKENS)
    np.testing.assert_allclose(ops.convert_to_numpy(whole), expected, atol=1e-6)
    steps, step_weights = step_by_step(parts, SOURCE, TOKENS)
    np.testing.assert_allclose(steps, expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(steps).sum(-1), 1.0, rtol=1e-5)
    assert parts.attends == (weights is not None) == (step_weights is not None)
    if parts.attends:
        np.testing.assert_allclose(step_weights, ops.convert_to_numpy(weights), atol=1e-6)
        real = np.broadcast_to((SOURCE != PAD)[:, None], step_weights.shape)
        np.testing.assert_array_equal(step_weights[~real], 0.0)


def test_padding_changes_nothing(build):
    model = build()
    expected = logits_of(model)
    wider = {name: np.pad(ids, ((0, 0), (0, 2))) for name, ids in INPUTS.items()}
    np.testing.assert_allclose(logits_of(model, wider)[:, :T], expected, atol=1e-6)
    for b in range(len(SOURCE)):  # alone, without any padding
        source, tokens = SOURCE[b], TOKENS[b]
        alone = {"source": source[source != PAD], "target_in": tokens[tokens != PAD]}
        found = logits_of(model, {name: ids[None] for name, ids in alone.items()})
        np.testing.assert_allclose(found[0], expected[b, : found.shape[1]], atol=1e-6)


def test_what_the_encoder_hands_over_ignores_the_padding(build):
    encoder = build().get_layer("encoder")
    narrow, wide = encoder(SOURCE), encoder(np.pad(SOURCE, ((0, 0), (0, 3))))
    for state, other in zip(narrow["states"], wide["states"], strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(state), ops.convert_to_numpy(other), atol=1e-6
        )
    if "memory" in narrow:
        found = ops.convert_to_numpy(wide["memory"])[:, : SOURCE.shape[1]]
        real = SOURCE != PAD
        expected = ops.convert_to_numpy(narrow["memory"])
        np.testing.assert_allclose(found[real], expected[real], atol=1e-6)


def test_reloads_without_help(build, tmp_path):
    model = build(readout_units=3, scheduled_sampling=True)
    expected = logits_of(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits_of(loaded), expected)
    steps, _ = step_by_step(decoding_parts(loaded), SOURCE, TOKENS)
    np.testing.assert_allclose(steps, ops.convert_to_numpy(ops.log_softmax(expected)), atol=1e-5)


def test_mixed_precision_trains_and_decodes(build):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(scheduled_sampling=True)
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(model(INPUTS).dtype) == "float32"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    assert np.isfinite(model.train_on_batch(INPUTS, TOKENS))
    expected = ops.convert_to_numpy(ops.log_softmax(model(INPUTS)))
    steps, _ = step_by_step(decoding_parts(model), SOURCE, TOKENS)
    assert steps.dtype == "float32"
    outputs = decoding_parts(model).attend(SOURCE, TOKENS)
    kinds = {
        keras.backend.standardize_dtype(output.dtype) for output in outputs if output is not None
    }
    assert kinds == {"float32"}
    np.testing.assert_allclose(steps, expected, atol=0.1)


def test_one_step_of_fit_changes_every_weight(build):
    model = build(dropout=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss)
    before = model.get_weights()
    model.train_on_batch(INPUTS, TOKENS)
    stuck = [
        variable.path
        for variable, old in zip(model.weights, before, strict=True)
        if variable.trainable and np.array_equal(old, ops.convert_to_numpy(variable))
    ]
    assert not stuck


def test_decoding_parts_wants_a_model_of_this_package():
    ids = keras.Input((None,), dtype="int32")
    other = keras.Model(ids, keras.layers.Embedding(3, 2, name="decoder")(ids))
    with pytest.raises(ValueError, match='layers "encoder" and "decoder"'):
        decoding_parts(other)


def test_cells_by_name_or_function():
    assert not make_cell("gru", 3).reset_after
    assert make_cell("gru_reset_after", 3).reset_after
    assert make_cell(lambda units: LSTMCell(units, dropout=0.1), 3).dropout == 0.1
    stack = make_stack("lstm", 3, layers=2, dropout=0.2)
    assert isinstance(stack, StackedRNNCells)
    assert (len(stack.cells), stack.dropout) == (2, 0.2)
    with pytest.raises(ValueError, match="cell: expected one of .*'lstm'.* got 'lstmm'"):
        make_cell("lstmm", 3)
