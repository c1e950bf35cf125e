"""Keras' tests of its recurrent layers and cells, run on ours; and their configs, exchanged."""

import keras
import pytest

import seqkeras.layers
from tests.keras_drop_in.borrowed import FUSED, LOOP, REPLACED, keras_tests

LAYERS = ("SimpleRNN", "LSTM", "GRU")
CELLS = ("SimpleRNNCell", "LSTMCell", "GRUCell")

# Keras' tests train on generators, which cannot be shuffled, without saying so.
pytestmark = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")

SimpleRNNTest = keras_tests("rnn.simple_rnn_test", FUSED)
LSTMTest = keras_tests("rnn.lstm_test", FUSED)
GRUTest = keras_tests("rnn.gru_test", FUSED)
RNNTest = keras_tests(
    "rnn.rnn_test",
    LOOP,
    without_kernel=[
        "test_compute_output_shape_single_state",
        "test_compute_output_shape_two_states",
        "test_dynamic_shapes",
        "test_serialization",
    ],
)
StackedRNNCellsTest = keras_tests("rnn.stacked_rnn_cells_test", LOOP)
DropoutRNNCellTest = keras_tests(
    "rnn.dropout_rnn_cell_test", LOOP, without_kernel=["test_seed_tracking"]
)
BidirectionalTest = keras_tests(
    "rnn.bidirectional_test",
    FUSED,
    excepted={
        "test_fused_lstm_eligibility": "the private method `_can_attempt_fused_lstm`",
        "test_fused_gru_eligibility": "the private method `_can_attempt_fused_gru`",
    },
    without_kernel=["test_keeps_use_cudnn"],
)


def test_our_layers_are_in_place():
    assert {"RNN", "StackedRNNCells", "Bidirectional", *LAYERS, *CELLS} <= set(REPLACED)


@pytest.mark.parametrize("name", LAYERS + CELLS)
def test_a_config_of_keras_makes_our_layer_and_comes_back(name):
    options = {"use_bias": False, "kernel_regularizer": "l2", "dropout": 0.25, "seed": 3}
    if name in LAYERS:
        options |= {"activity_regularizer": "l1", "go_backwards": True, "return_sequences": True}
    config = getattr(keras.layers, name)(4, **options).get_config()
    config.setdefault("seed", 3)  # Keras' SimpleRNN has the option, but forgets it
    ours = getattr(seqkeras.layers, name).from_config(config).get_config()
    assert {option: ours[option] for option in config} == config


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_use_cudnn_is_one_of_three(name):
    layer = getattr(seqkeras.layers, name)
    assert layer(4).use_cudnn == "auto"
    assert layer.from_config(layer(4, use_cudnn=False).get_config()).use_cudnn is False
    with pytest.raises(ValueError, match="expected \"auto\", True or False, got 'always'"):
        layer(4, use_cudnn="always")
