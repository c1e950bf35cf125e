"""The set transformer, whole: invariance, padding, saving, and what it refuses."""

import keras
import numpy as np
import pytest

from seqkeras.models.set_transformer import ENCODERS, POOLINGS, set_transformer

RNG = np.random.default_rng(3)
ELEMENTS = RNG.normal(loc=50.0, scale=30.0, size=(4, 5, 2)).astype("float32")
LENGTH = np.array([5, 3, 1, 4], "int32")
STATISTICS = {
    "mean": [50.0, 50.0],
    "variance": [900.0, 900.0],
    "target_mean": [7.0] * 3,
    "target_variance": [4.0] * 3,
}
SMALL = {"outputs": 3, "features": 2, "units": 8, "num_heads": 2, "num_inducing": 3}


def answers(model, elements=ELEMENTS, length=LENGTH):
    outputs = model({"elements": elements, "length": length})
    return keras.ops.convert_to_numpy(outputs)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_order_of_a_set_and_its_padding_change_nothing(encoder, pooling):
    model = set_transformer(encoder=encoder, pooling=pooling, **SMALL, **STATISTICS)
    expected = answers(model)
    assert expected.shape == (4, 1, 3)
    other = np.full((4, 7, 2), np.nan, "float32")
    for row, n in enumerate(LENGTH):
        other[row, :n] = ELEMENTS[row, RNG.permutation(n)]
    np.testing.assert_allclose(answers(model, other), expected, rtol=1e-4, atol=1e-4)
    assert np.isfinite(answers(model, other, np.zeros(4, "int32"))).all()
    # Neither may it spoil training.
    model.compile("sgd", "mse")
    model.train_on_batch({"elements": other, "length": LENGTH}, np.zeros((4, 1, 3)))
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_several_seeds_and_a_decoder_give_several_vectors(tmp_path):
    model = set_transformer(
        **SMALL, **STATISTICS, num_seeds=4, decoder_blocks=1, layer_norm=True, blocks=1
    )
    expected = answers(model)
    assert expected.shape == (4, 4, 3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(answers(again), expected, rtol=1e-6)


def test_statistics_take_the_place_of_scaled_data():
    plain = set_transformer(**SMALL)
    scaled = set_transformer(**SMALL, **STATISTICS)
    scaled.set_weights(plain.get_weights())
    expected = 7.0 + 2.0 * answers(plain, (ELEMENTS - 50.0) / 30.0)
    np.testing.assert_allclose(answers(scaled), expected, rtol=1e-4, atol=1e-4)


def test_the_networks_of_the_paper_have_their_sizes():
    """Lee et al. 2019, supplement, Table 1: four dense layers, pooling, two dense layers."""
    model = set_transformer(1, encoder="rff", pooling="max")
    square = 64 * 64 + 64
    assert model.count_params() == (64 + 64) + 3 * square + square + (64 + 1)
    model = set_transformer(1)
    sab = 4 * square + 2 * square  # heads and output, rFF
    assert model.count_params() == (64 + 64) + 2 * sab + (64 + 2 * square + sab) + (64 + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "cnn"}, "encoder: expected one of"),
        ({"pooling": "median"}, "pooling: expected one of"),
        ({"blocks": 0}, "blocks: expected at least 1"),
        ({"pooling": "mean", "num_seeds": 2}, "num_seeds: the pooling 'mean' gives one vector"),
        ({"mean": [1.0]}, "expected mean and variance of 1 numbers each"),
        ({"target_mean": [1.0], "target_variance": [1.0, 2.0]}, "answer: expected mean and"),
        ({"num_heads": 5}, "whose size the 5 heads divide, got 64"),
    ],
)
def test_mistakes_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        set_transformer(1, **options)
