import keras
import numpy as np
import pytest

from seqkeras import layers
from seqkeras.analysis.gradient_flow import GradientNorms, gradient_norms
from seqkeras.analysis.model_gradient_flow import model_gradient_norms, recurrent_layers

RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 9, size=(6, 7))
IDS[1, 4:] = 0


def assert_same(measured, expected):
    for name in GradientNorms._fields:
        a, b = getattr(measured, name), getattr(expected, name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-5)


def tagger():
    """Tokens -> LSTM -> both directions of a GRU -> a layer of Keras; all names given."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = keras.layers.Embedding(9, 5, mask_zero=True, name="embedding")(ids)
    x = layers.LSTM(4, return_sequences=True, name="lower")(x)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True), name="both")(x)
    x = keras.layers.SimpleRNN(3, name="upper")(x)
    return keras.Model(ids, keras.layers.Dense(1, name="head")(x))


def test_every_recurrent_layer_on_what_reaches_it():
    model = tagger()
    norms = model_gradient_norms(model, IDS, lags=None)
    assert list(norms) == ["lower", "both/forward", "both/backward", "upper"]
    mask = IDS[:4] != 0
    embedded = np.asarray(model.get_layer("embedding")(IDS[:4]))
    lower, both = model.get_layer("lower"), model.get_layer("both")
    assert_same(norms["lower"], gradient_norms(lower, embedded, mask))
    x = np.asarray(lower(embedded, mask=mask))
    assert_same(norms["both/forward"], gradient_norms(both.forward_layer, x, mask))
    assert_same(norms["both/backward"], gradient_norms(both.backward_layer, x, mask))
    x = np.asarray(both(x, mask=mask))
    assert_same(norms["upper"], gradient_norms(model.get_layer("upper"), x, mask))
    assert np.isnan(norms["lower"].spectral[5:, 1]).all()  # the mask arrived


def test_states_that_another_layer_hands_over():
    inputs = {
        "source": keras.Input((5, 2), name="source"),
        "target": keras.Input((4, 2), name="target"),
    }
    encoder = layers.LSTM(3, return_state=True, name="encoder")
    decoder = layers.LSTM(3, name="decoder")
    _, *states = encoder(inputs["source"])
    model = keras.Model(inputs, decoder(inputs["target"], initial_state=states))
    batch = {"source": RNG.normal(size=(2, 5, 2)), "target": RNG.normal(size=(2, 4, 2))}
    batch = {name: x.astype("float32") for name, x in batch.items()}
    norms = model_gradient_norms(model, batch, ["decoder"], lags=None)
    _, *states = encoder(batch["source"])
    assert list(norms) == ["decoder"]
    assert_same(norms["decoder"], gradient_norms(decoder, batch["target"], initial_state=states))


def test_states_for_both_directions():
    inputs = [
        keras.Input((4, 2), name="x"),
        keras.Input((3,), name="h"),
        keras.Input((3,), name="g"),
    ]
    both = layers.Bidirectional(layers.GRU(3), name="both")
    model = keras.Model(inputs, both(inputs[0], initial_state=inputs[1:]))
    x, h, g = (RNG.normal(size=s).astype("float32") for s in ((2, 4, 2), (2, 3), (2, 3)))
    norms = model_gradient_norms(model, [x, h, g], lags=None)
    for name, layer, s in (
        ("forward", both.forward_layer, h),
        ("backward", both.backward_layer, g),
    ):
        assert_same(norms[f"both/{name}"], gradient_norms(layer, x, initial_state=[s]))


def test_a_sequential_model_a_few_examples_and_lags():
    model = keras.Sequential([keras.Input((30, 2)), layers.GRU(3, name="memory")])
    x = RNG.normal(size=(8, 30, 2)).astype("float32")
    (norms,) = model_gradient_norms(model, x, examples=3).values()
    assert norms.lags.tolist() == [1, 2, 5, 10, 20]
    expected = gradient_norms(model.get_layer("memory"), x[:3], lags=[1, 2, 5, 10, 20])
    assert_same(norms, expected)


def test_cells_that_read_a_memory_are_left_out():
    x, memory = keras.Input((4, 2), name="x"), keras.Input((5, 3), name="memory")
    cell = layers.AttentionCell(layers.GRUCell(3), layers.BahdanauAttention(2))
    y = layers.RNN(cell, name="attends", return_sequences=True)(x, constants=memory)
    model = keras.Model([x, memory], layers.GRU(3, name="plain")(y))
    assert list(recurrent_layers(model)) == ["plain"]


def test_layers_that_are_not_there():
    model = tagger()
    with pytest.raises(ValueError, match=r"\['both/backward', .*'upper'\], got \['head'\]"):
        model_gradient_norms(model, IDS, ["head"])
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="expected names among"):
        model_gradient_norms(plain, np.zeros((2, 3)))
