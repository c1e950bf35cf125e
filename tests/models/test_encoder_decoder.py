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
from tests.models.checks import (
    INPUTS,
    SOURCE,
    SOURCE_V,
    TARGET_V,
    TOKENS,
    T,
    check_mixed_precision,
    check_rows_ask_together,
    check_three_ways,
    logits_of,
    step_by_step,
    stuck_weights,
)

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


def test_logits_for_every_target_position(build):
    model = build()
    assert model.output_shape == (None, None, TARGET_V)
    assert logits_of(model).shape == (*TOKENS.shape, TARGET_V)


@pytest.mark.parametrize("first_token", ["start", "state"])
def test_the_three_ways_through_a_model_agree(build, first_token):
    """The model, `attend` and `step` after `encode` give the same log-probabilities."""
    check_three_ways(build(first_token=first_token))


@pytest.mark.parametrize("places", [None, [1, 2, 3, 4, 8]])
def test_rows_of_one_memory_ask_together(build, places):
    check_rows_ask_together(decoding_parts(build()), places)


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
    check_mixed_precision(lambda: build(scheduled_sampling=True))


def test_one_step_of_fit_changes_every_weight(build):
    assert not stuck_weights(build(dropout=0.0))


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
