import numpy as np
import pytest
from keras import ops

from seqkeras.data import spell
from seqkeras.heads.sampled_softmax import SampledSoftmaxHead
from seqkeras.models.billion_words import ROWS, Spelling

V = 30
SPELLINGS, ALPHABET = spell([f"w{i}" for i in range(V)])
CHARACTERS = len(ALPHABET) + 4
TINY = Spelling(dim=3, filters=((1, 2), (3, 4)), highways=2)
DIFFERENT = {
    "LSTM-2048-512": 0.823,
    "LSTM-8192-2048, no dropout": 3.402,
    "LSTM-8192-2048, 50 % dropout": 3.402,
    "BIG LSTM + CNN inputs + CNN softmax + 128-d correction": 0.396,
}


def small(row):
    """The row with few words, units and characters, and all else as it is."""
    return row._replace(
        words=V,
        units=12,
        projection=row.projection and 5,
        inputs=row.inputs and TINY,
        outputs=row.outputs and TINY,
        correction=row.correction and 2,
        character_lstm=row.character_lstm and 6,
    )


@pytest.mark.parametrize("name", ROWS)
def test_the_number_that_is_worked_out_is_what_is_built(name):
    row = small(ROWS[name])
    model = row.build(SPELLINGS, CHARACTERS, samples=4)
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert row.parameters(CHARACTERS) == trainable
    assert model(np.array([[2, 5, 6]])).shape == (1, 3, V)


@pytest.mark.parametrize("name", ROWS)
def test_the_table_says_as_much(name):
    billions = ROWS[name].parameters() / 1e9
    if name in DIFFERENT:  # the module's docstring says why
        assert billions == pytest.approx(DIFFERENT[name], abs=5e-4)
        return
    digits = len(str(ROWS[name].billions).partition(".")[2])
    assert round(billions, digits) == ROWS[name].billions


def test_training_samples():
    assert all(
        isinstance(small(row).build(SPELLINGS, CHARACTERS).layers[-1], SampledSoftmaxHead)
        for row in ROWS.values()
        if not row.character_lstm
    )


def test_dropout_spares_the_way_through_time():
    """With nothing let in, what a first layer remembers is what its biases make of zeros."""
    row = small(ROWS["LSTM-8192-2048, 50 % dropout"])._replace(dropout=0.999999)
    model = row.build()
    rnn = model.get_layer("rnn_0")
    state = [ops.convert_to_tensor(np.full((1, n), 0.7, "float32")) for n in (5, 12)]
    wanted = rnn(ops.zeros((1, 4, 5)), initial_state=state)
    found = rnn(
        model.layers[2](model.layers[1](np.array([[3, 4, 5, 6]])), training=True),
        initial_state=state,
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(wanted), rtol=1e-5, atol=1e-6
    )
    assert np.abs(ops.convert_to_numpy(found)).max() > 0.01


def test_characters_need_spellings():
    with pytest.raises(ValueError, match="spellings: expected those of all words"):
        small(ROWS["BIG LSTM + CNN inputs"]).build()
