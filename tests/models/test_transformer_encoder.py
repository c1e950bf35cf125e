"""The encoder-only Transformer: size, padding, what a position sees, ties, files."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.constants import PAD
from seqkeras.models import transformer_decoder, transformer_encoder
from tests.models.checks import SOURCE, SOURCE_V, layer_parameters

SIZES = {"layers": 2, "units": 8, "hidden_units": 12, "num_heads": 2}
VARIANTS = {
    "vectors": {},
    "logits": {"logits": True, "norm": "post"},
    "learned": {"positions": "learned", "max_length": 9, "logits": True},
}


@pytest.fixture(params=sorted(VARIANTS))
def model(request):
    keras.utils.set_random_seed(3)
    return transformer_encoder(SOURCE_V, **SIZES, **VARIANTS[request.param])


def run(model, tokens):
    return ops.convert_to_numpy(model(tokens))


def test_size():
    model = transformer_encoder(SOURCE_V, logits=True, **SIZES)
    assert model.output_shape == (None, None, SOURCE_V)
    assert model.count_params() == SOURCE_V * 8 + 2 * layer_parameters(8, 12, 1) + 2 * 8


def test_padding_changes_nothing(model):
    expected = run(model, SOURCE)
    wider = run(model, np.pad(SOURCE, ((0, 0), (0, 3))))
    for row, wide, tokens in zip(expected, wider, SOURCE, strict=True):
        length = (tokens != PAD).sum()
        alone = run(model, tokens[None, :length])[0]
        np.testing.assert_allclose(row[:length], alone, atol=1e-5)
        np.testing.assert_allclose(wide[:length], alone, atol=1e-5)


def test_every_position_sees_every_token(model):
    expected = run(model, SOURCE[:1])
    for place in range(SOURCE.shape[1]):
        changed = SOURCE[:1].copy()
        changed[0, place] = 3
        assert np.abs(run(model, changed) - expected).max(-1).min() > 1e-5


def test_the_order_counts(model):
    swapped = SOURCE[:1, [1, 0, 2, 3, 4]]
    assert np.abs(run(model, swapped)[0, 2:] - run(model, SOURCE[:1])[0, 2:]).max() > 1e-3


def test_reloads_and_clones(model, tmp_path):
    expected = run(model, SOURCE)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for copy in (loaded, clone):
        assert len(copy.weights) == len(model.weights)
        np.testing.assert_array_equal(run(copy, SOURCE), expected)


def test_learns_to_fill_in_what_is_masked():
    """Token 3 stands for any: what it hides is the token before it, so a position must look."""
    keras.utils.set_random_seed(0)
    model = transformer_encoder(9, logits=True, dropout=0.0, **SIZES)
    tokens = np.random.default_rng(0).integers(4, 9, (256, 4)).astype("int32")
    masked, labels = tokens.copy(), np.roll(tokens, 1, axis=1)
    masked[:, 2] = 3
    model.compile(
        keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    weights = np.zeros(tokens.shape)
    weights[:, 2] = 1.0
    model.fit(masked, labels, sample_weight=weights, epochs=30, batch_size=64, verbose=0)
    assert (run(model, masked).argmax(-1)[:, 2] == tokens[:, 1]).mean() > 0.95


@pytest.mark.parametrize("build", [transformer_encoder, transformer_decoder])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": "cosine"}, "expected 'sinusoidal' or 'learned', got 'cosine'"),
        ({"positions": "learned"}, "learned ones need max_length"),
        ({"num_heads": 3}, "the 3 heads divide"),
    ],
)
def test_says_what_it_wants(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(SOURCE_V, **{**SIZES, **options})
