"""The Transformer as a model: sizes, ways through it, ties, files, heads."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.constants import PAD
from seqkeras.models import decoding_parts, transformer
from seqkeras.models.transformer import PRESETS
from tests.models.checks import (
    INPUTS,
    SOURCE,
    TOKENS,
    check_mixed_precision,
    check_rows_ask_together,
    check_three_ways,
    layer_parameters,
    logits_of,
    step_by_step,
    stuck_weights,
)

V = 9
SIZES = {"layers": 2, "units": 8, "hidden_units": 12, "num_heads": 2}
VARIANTS = {
    "joint": {"shared_embedding": True},
    "apart": {"tied_output": False, "norm": "post", "decoder_layers": 1},
    "learned": {"positions": "learned", "max_length": 12, "activation": "gelu"},
}


@pytest.fixture(params=sorted(VARIANTS))
def model(request):
    keras.utils.set_random_seed(3)
    return transformer(V, V, **SIZES, **VARIANTS[request.param])


@pytest.mark.parametrize(("name", "millions"), [("tiny", 2.3), ("base", 63.1), ("big", 214.2)])
def test_parameters_of_the_presets(name, millions):
    """The paper's Table 3 prints 65 and 213 million, of about 37,000 tokens; so does the formula.

    Without making the weights: the formula is checked against a small model of the same shape.
    """

    def parameters(vocabulary, layers, d, hidden):
        stacks = layers * (layer_parameters(d, hidden, 1) + layer_parameters(d, hidden, 2))
        return vocabulary * d + stacks

    sizes = {k: PRESETS[name][k] for k in ("layers", "units", "hidden_units")}
    vocabulary = 8000 if name == "tiny" else 37000
    assert round(parameters(vocabulary, *sizes.values()) / 1e6, 1) == millions
    small = {**PRESETS[name], "units": 16, "hidden_units": 32, "num_heads": 2}
    model = transformer(50, 50, shared_embedding=True, norm="post", **small)
    assert model.count_params() == parameters(50, small["layers"], 16, 32)


def test_the_three_ways_through_a_model_agree(model):
    check_three_ways(model)


@pytest.mark.parametrize("places", [None, [1, 2, 3, 4, 8]])
def test_rows_of_one_memory_ask_together(model, places):
    """Up to three hypotheses a source, on memories that are not repeated, as beam search has it."""
    check_rows_ask_together(decoding_parts(model), places)


def test_padding_changes_nothing(model):
    expected = logits_of(model)
    wider = {name: np.pad(ids, ((0, 0), (0, 2))) for name, ids in INPUTS.items()}
    np.testing.assert_allclose(logits_of(model, wider)[:, : TOKENS.shape[1]], expected, atol=1e-5)
    for b in range(len(SOURCE)):
        source, tokens = SOURCE[b], TOKENS[b]
        alone = {"source": source[source != PAD], "target_in": tokens[tokens != PAD]}
        found = logits_of(model, {name: ids[None] for name, ids in alone.items()})
        np.testing.assert_allclose(found[0], expected[b, : found.shape[1]], atol=1e-5)


def test_no_position_sees_a_later_token(model):
    expected = logits_of(model)
    changed = TOKENS.copy()
    changed[:, 2:] = 3
    found = logits_of(model, {**INPUTS, "target_in": changed})
    np.testing.assert_allclose(found[:, :2], expected[:, :2], atol=1e-6)
    assert np.abs(found[0, 2:] - expected[0, 2:]).max() > 1e-3


def test_reloads_and_clones_without_help(model, tmp_path):
    expected = logits_of(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.weights) == len(model.weights)
    np.testing.assert_array_equal(logits_of(loaded), expected)
    steps, _ = step_by_step(decoding_parts(loaded), SOURCE, TOKENS)
    np.testing.assert_allclose(steps, ops.convert_to_numpy(ops.log_softmax(expected)), atol=1e-5)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(logits_of(clone), expected)


def test_one_step_of_fit_changes_every_weight(model):
    # A bias of keys adds the same to all scores of a query: no gradient, but for rounding.
    assert not [path for path in stuck_weights(model) if "key/bias" not in path]


def test_tied_weights_are_one_matrix_with_one_gradient():
    """Bumping the one matrix moves input and output alike."""
    keras.utils.set_random_seed(1)
    model = transformer(V, V, shared_embedding=True, **SIZES)
    assert sum("embeddings" in w.path for w in model.weights) == 1
    assert not any("head" in w.path for w in model.weights)
    untied = transformer(V, V, tied_output=False, **SIZES)
    assert sum("embeddings" in w.path for w in untied.weights) == 2
    assert sum("head" in w.path for w in untied.weights) == 2


def test_mixed_precision_trains_and_decodes():
    check_mixed_precision(lambda: transformer(V, V, **SIZES))


def test_heads_of_every_layer(model):
    maps = decoding_parts(model).heads(SOURCE, TOKENS)
    maps = {name: ops.convert_to_numpy(weights) for name, weights in maps.items()}
    b, s, t = *SOURCE.shape, TOKENS.shape[1]
    depth = maps["decoder"].shape[1]
    assert maps["encoder"].shape == (b, 2, 2, s, s)
    assert maps["decoder"].shape == (b, depth, 2, t, t)
    assert maps["cross"].shape == (b, depth, 2, t, s)
    for weights in maps.values():
        np.testing.assert_allclose(weights[0].sum(-1), 1.0, rtol=1e-5)
    assert np.all(maps["decoder"] * np.triu(np.ones((t, t)), 1) == 0.0)
    _, weights = decoding_parts(model).attend(SOURCE, TOKENS)
    np.testing.assert_allclose(maps["cross"][:, -1].mean(1), weights, atol=1e-6)


def test_what_does_not_go_together():
    with pytest.raises(ValueError, match="one joint vocabulary, got sizes 8 and 9"):
        transformer(8, 9, shared_embedding=True, **SIZES)
    with pytest.raises(ValueError, match="'sinusoidal' or 'learned', got 'none'"):
        transformer(8, 9, positions="none", **SIZES)
    with pytest.raises(ValueError, match="need max_length"):
        transformer(8, 9, positions="learned", **SIZES)
    with pytest.raises(ValueError, match="3 heads divide, got 8"):
        transformer(8, 9, **{**SIZES, "num_heads": 3})
