"""The language model against the same network made of Keras' own layers."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.constants import END
from seqkeras.models import language_model
from seqkeras.models.cells import CELLS
from seqkeras.models.language_model import carry_states

RNG = np.random.default_rng(3)
IDS = RNG.integers(4, 11, (2, 6)).astype("int32")
SMALL = {"embedding_dim": 5, "units": 4}


def randomise(model):
    for weight in model.trainable_weights:
        weight.assign(RNG.normal(scale=0.5, size=weight.shape))


def logits(model, ids):
    return ops.convert_to_numpy(model(ids))


@pytest.mark.parametrize("layers", [1, 2])
def test_equals_keras_layers(layers):
    model = language_model(11, layers=layers, **SMALL)
    randomise(model)
    embeddings, *weights, table, bias = model.get_weights()
    x = ops.convert_to_tensor(embeddings[IDS])
    for index in range(layers):
        twin = keras.layers.LSTM(4, return_sequences=True)
        twin.build(x.shape)
        twin.set_weights(weights[3 * index : 3 * index + 3])
        x = twin(x)
    wanted = ops.convert_to_numpy(x) @ table.T + bias
    np.testing.assert_allclose(logits(model, IDS), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_no_prediction_sees_what_comes(cell):
    model = language_model(11, cell=cell, **SMALL)
    changed = IDS.copy()
    changed[:, 4:] = 4
    np.testing.assert_array_equal(logits(model, IDS)[:, :4], logits(model, changed)[:, :4])


@pytest.mark.parametrize("tied_output", [False, True])
def test_a_model_that_carries_states_shares_the_weights(tied_output):
    whole = language_model(11, embedding_dim=4, units=4, tied_output=tied_output)
    carrying = carry_states(whole, streams=2)
    randomise(whole)
    parts = [logits(carrying, IDS[:, begin : begin + 3]) for begin in (0, 3)]
    np.testing.assert_allclose(np.concatenate(parts, 1), logits(whole, IDS), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logits(whole, IDS), np.concatenate(parts, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("units", [4, 7])
def test_a_tied_output_is_the_embedding(units):
    """The last layer has the embedding's size, whatever that of the others."""
    model = language_model(11, embedding_dim=4, units=units, tied_output=True)
    lstms = 4 * (units * (4 + units) + units) + 4 * (4 * (units + 4) + 4)
    assert model.count_params() == 11 * 4 + 11 + lstms
    randomise(model)
    names = [weight.name for weight in model.trainable_weights]
    assert names[0] == "embeddings"
    assert names[-1] == "bias"
    assert len(names) == 2 + 2 * 3
    table, *_, bias = model.get_weights()
    hidden = keras.Model(model.input, model.layers[-2].output)
    wanted = logits(hidden, IDS) @ table.T + bias
    np.testing.assert_allclose(logits(model, IDS), wanted, rtol=1e-4, atol=1e-5)


def test_dropout_spares_the_way_through_time():
    """At a rate near 1 nothing enters the layers, but a state goes on as it is."""
    model = carry_states(language_model(11, layers=1, dropout=0.999, **SMALL), streams=1)
    randomise(model)
    (rnn,) = [layer for layer in model.layers if layer.name == "rnn_0"]
    states = [RNG.normal(size=(1, 4)).astype("float32") for _ in range(2)]
    for variable, value in zip(rnn.states, states, strict=True):
        variable.assign(value)
    model(IDS[:1], training=True)
    wanted = states
    for _ in range(IDS.shape[1]):
        _, wanted = rnn.cell(np.zeros((1, 5), "float32"), wanted)
    for found, state in zip(rnn.states, wanted, strict=True):
        found, state = map(ops.convert_to_numpy, (found, state))
        np.testing.assert_allclose(found, state, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variational", [False, True])
def test_variational_dropout_drops_the_same_at_all_steps(variational):
    model = language_model(
        11, layers=1, dropout=0.5, embedding_dim=40, units=4, variational_dropout=variational
    )
    noisy = keras.Model(model.input, model.layers[2].output)  # the embedding, then the dropout
    ids = np.full((2, 6), 7, "int32")
    kept = ops.convert_to_numpy(noisy(ids, training=True)) != 0.0
    assert 0.3 < kept.mean() < 0.7
    assert (kept == kept[:, :1]).all() == variational
    assert (kept[0] != kept[1]).any()  # but not in all sequences


@pytest.mark.tensorflow
def test_saves_and_loads(tmp_path):
    model = language_model(11, dropout=0.2, variational_dropout=True, **SMALL)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(loaded, IDS), logits(model, IDS))


def test_one_token_is_a_text():
    assert logits(language_model(11, **SMALL), np.array([[END]])).shape == (1, 1, 11)


def test_bad_sizes_are_told():
    with pytest.raises(ValueError, match="layers: expected at least 1, got 0"):
        language_model(11, layers=0)
    with pytest.raises(ValueError, match="cell: expected one of"):
        language_model(11, cell="lstmm")
