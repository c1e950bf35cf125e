import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.constants import END, START
from seqkeras.layers import BahdanauAttention
from seqkeras.models import attention_seq2seq, decoding_parts
from seqkeras.models.attention_seq2seq import PRESETS
from seqkeras.training.losses import TokenCrossentropy

SOURCE_V, TARGET_V, D, H = 8, 7, 5, 4
SOURCE = np.array([[4, 5, 6, 2], [5, 2, 0, 0]], "int32")
TOKENS = np.array([[1, 4, 5], [1, 3, 0]], "int32")
INPUTS = {"source": SOURCE, "target_in": TOKENS}


def build(**options):
    keras.utils.set_random_seed(1)
    return attention_seq2seq(SOURCE_V, TARGET_V, embedding_dim=D, units=H, **options)


def gates(blocks, inputs):
    return blocks * H * (inputs + H + 1)


def test_number_of_parameters_of_the_default():
    """Two GRU directions; the context (2H) enters the GRU and the readout."""
    memory = 2 * H
    expected = (SOURCE_V + TARGET_V) * D
    expected += 2 * gates(3, D)
    expected += (2 * H + 1) * H  # the bridge
    expected += (H + memory + 2) * H  # the score: W, U, b, w
    expected += gates(3, D + memory)
    expected += (H + memory + 1) * H + (H + 1) * TARGET_V  # readout and logits
    assert build().count_params() == expected


def test_number_of_parameters_with_maps_layers_and_input_feeding():
    model = build(
        cell="lstm",
        encoder_layers=2,
        decoder_layers=2,
        attention="general",
        query="current",
        memory_units=3,
        readout_units=6,
    )
    expected = (SOURCE_V + TARGET_V) * D
    expected += 2 * gates(4, D) + 2 * gates(4, 2 * H)
    expected += 4 * (4 * H + 1) * H  # from h and c of both directions to those of two layers
    expected += 2 * H * 3  # T of the memory
    expected += H * 3  # W of the general score
    expected += gates(4, D + H) + gates(4, H)  # y_{l-1} enters the first
    expected += (3 + H) * H  # tanh([v; h] W)
    expected += (H + 1) * 6 + (6 + 1) * TARGET_V
    assert model.count_params() == expected


def test_equals_its_equations():
    """Elman cells, (2)-(8) of the notes, in NumPy."""
    model = build(cell="simple_rnn", memory_units=3)
    encoder = model.get_layer("encoder").get_weights()
    table, forward, backward, bridge = encoder[0], encoder[1:4], encoder[4:7], encoder[7:]
    decoder = model.get_layer("decoder")
    [target_table] = decoder.embedding.get_weights()
    kernel, recurrent, bias = decoder.cell.cell.get_weights()
    kernel_q, kernel_k, score_bias, w = decoder.cell.attention.get_weights()
    [feature_map] = decoder.cell.memory_map.get_weights()
    out, out_bias, readout, readout_bias = decoder.head.get_weights()
    found, weights = decoding_parts(model).attend(SOURCE, TOKENS)
    for b in range(len(SOURCE)):
        x = table[SOURCE[b][SOURCE[b] != 0]]
        runs = []
        for direction, steps in ((forward, x), (backward, x[::-1])):
            h = np.zeros(H)
            hs = []
            for x_t in steps:
                h = np.tanh(x_t @ direction[0] + h @ direction[1] + direction[2])
                hs.append(h)
            runs.append(hs)
        memory = np.concatenate([runs[0], runs[1][::-1]], axis=1)  # (2)
        h = np.tanh(np.concatenate([runs[0][-1], runs[1][-1]]) @ bridge[0] + bridge[1])
        f = memory @ feature_map  # (5)
        for t, token in enumerate(TOKENS[b]):
            e = np.tanh(h @ kernel_q + f @ kernel_k + score_bias) @ w[:, 0]  # (6)
            alpha = np.exp(e) / np.exp(e).sum()  # (7)
            v = alpha @ f  # (8)
            h = np.tanh(np.concatenate([target_table[token], v]) @ kernel + h @ recurrent + bias)
            hidden = np.tanh(np.concatenate([h, v]) @ readout + readout_bias)
            logits = out @ hidden + out_bias
            log_probs = logits - np.log(np.exp(logits).sum())
            np.testing.assert_allclose(weights[b, t, : len(x)], alpha, atol=1e-5)
            np.testing.assert_allclose(found[b, t], log_probs, atol=1e-5)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_build(name):
    model = build(**PRESETS[name])
    assert model(INPUTS).shape == (2, 3, TARGET_V)


@pytest.mark.parametrize("attention", ["dot", "scaled_dot"])
def test_dot_products_want_a_memory_of_the_size_of_the_query(attention):
    assert build(attention=attention, memory_units=H)(INPUTS).shape == (2, 3, TARGET_V)
    with pytest.raises(ValueError, match="query and key of one size"):
        build(attention=attention)


def test_attention_by_function():
    model = build(attention=lambda units: BahdanauAttention(units + 2))
    assert model.get_layer("decoder").cell.attention.units == H + 2


def test_an_unknown_attention_raises():
    with pytest.raises(ValueError, match="attention: expected one of .*'bahdanau'.* got 'soft'"):
        build(attention="soft")


def test_an_encoder_without_a_layer_raises():
    with pytest.raises(ValueError, match="encoder_layers: expected at least 1, got 0"):
        build(encoder_layers=0)


def synthetic(rng, batch, length, reverse):
    """Random words of `length` letters, to be copied or reversed."""
    letters = rng.integers(4, 12, size=(batch, length)).astype("int32")
    end = np.full((batch, 1), END, "int32")
    target = letters[:, ::-1] if reverse else letters
    target = np.concatenate([target, end], axis=1)
    start = np.full((batch, 1), START, "int32")
    target_in = np.concatenate([start, target[:, :-1]], axis=1)
    return {"source": np.concatenate([letters, end], axis=1), "target_in": target_in}, target


@pytest.mark.parametrize("reverse", [False, True], ids=["copy", "reverse"])
def test_attention_learns_where_to_look(reverse):
    """Trained to copy, target t looks at source t; to reverse, at the mirrored one."""
    keras.utils.set_random_seed(4)
    model = attention_seq2seq(12, 12, embedding_dim=16, units=24, dropout=0.0)
    model.compile(keras.optimizers.Adam(0.02), TokenCrossentropy())
    rng = np.random.default_rng(1)
    data = [synthetic(rng, 64, 6, reverse) for _ in range(250)]
    for x, y in data:
        model.train_on_batch(x, y)
    x, y = synthetic(rng, 32, 6, reverse)
    log_probs, weights = decoding_parts(model).attend(x["source"], x["target_in"])
    assert np.mean(ops.convert_to_numpy(log_probs).argmax(-1) == y) > 0.95
    looks_at = ops.convert_to_numpy(weights).argmax(-1)[:, :6]
    diagonal = np.arange(6)[::-1] if reverse else np.arange(6)
    assert np.mean(looks_at == diagonal) > 0.9
