import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.models import seq2seq

SOURCE_V, TARGET_V, D, H = 8, 7, 5, 4
SOURCE = np.array([[4, 5, 6, 2], [5, 2, 0, 0]], "int32")
TOKENS = np.array([[1, 4, 5], [1, 3, 0]], "int32")
BLOCKS = {"simple_rnn": 1, "gru": 3, "gru_reset_after": 3, "lstm": 4}


def build(**options):
    keras.utils.set_random_seed(1)
    return seq2seq(SOURCE_V, TARGET_V, embedding_dim=D, units=H, **options)


def logits_of(model, source=SOURCE):
    return ops.convert_to_numpy(model({"source": source, "target_in": TOKENS}))


def stack_parameters(cell, layers):
    biases = 2 if cell == "gru_reset_after" else 1
    inputs = [D, *[H] * (layers - 1)]
    return sum(BLOCKS[cell] * H * (size + H + biases) for size in inputs)


@pytest.mark.parametrize("bridge", [False, True])
@pytest.mark.parametrize("readout", [None, 3])
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 2), ("gru", 1), ("gru_reset_after", 3)])
def test_number_of_parameters(cell, layers, bridge, readout):
    states = layers * (2 if cell == "lstm" else 1)
    expected = (SOURCE_V + TARGET_V) * D + 2 * stack_parameters(cell, layers)
    expected += bridge * states * (H + 1) * H
    expected += (H + 1) * readout + (readout + 1) * TARGET_V if readout else (H + 1) * TARGET_V
    model = build(cell=cell, layers=layers, bridge=bridge, readout_units=readout)
    assert model.count_params() == expected


def test_equals_its_equations():
    """One layer of Elman cells with a bridge, the source read backwards; all of it in NumPy."""
    model = build(cell="simple_rnn", layers=1, bridge=True)
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    table, kernel, recurrent, bias, bridge, bridge_bias = encoder.get_weights()
    [target_table] = decoder.embedding.get_weights()
    cell, head = decoder.cell.get_weights(), decoder.head.get_weights()
    found = logits_of(model)
    for b in range(len(SOURCE)):
        h = np.zeros(H)
        for token in SOURCE[b][SOURCE[b] != 0][::-1]:
            h = np.tanh(table[token] @ kernel + h @ recurrent + bias)
        h = np.tanh(h @ bridge + bridge_bias)
        for t, token in enumerate(TOKENS[b]):
            h = np.tanh(target_table[token] @ cell[0] + h @ cell[1] + cell[2])
            np.testing.assert_allclose(found[b, t], head[0] @ h + head[1], rtol=1e-4, atol=1e-6)


def test_reading_backwards_is_reading_the_reversed_source():
    backwards, forwards = build(), build(reverse_source=False)
    forwards.set_weights(backwards.get_weights())
    reversed_source = np.array([[2, 6, 5, 4], [2, 5, 0, 0]], "int32")
    np.testing.assert_array_equal(logits_of(backwards), logits_of(forwards, reversed_source))
    assert np.abs(logits_of(backwards) - logits_of(forwards)).max() > 1e-4


def test_the_decoder_starts_in_the_last_states_of_the_encoder():
    model = build()
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    states = encoder(SOURCE)["states"]
    assert [tuple(state.shape) for state in states] == [(2, H)] * 4  # h, c of two layers
    direct = ops.convert_to_numpy(decoder(TOKENS, states))
    np.testing.assert_array_equal(direct, logits_of(model))
    assert np.abs(logits_of(model, SOURCE[:, ::-1]) - direct).max() > 1e-4
