"""Every layer in one flat namespace, as in `keras.layers`."""

from seqkeras.attention.bahdanau import BahdanauAttention
from seqkeras.attention.dot import DotAttention, GeneralAttention, ScaledDotAttention
from seqkeras.blocks.autoregressive_decoder import AutoregressiveDecoder
from seqkeras.blocks.masking import PaddingMask, ReverseSequence
from seqkeras.cells.attention_cell import AttentionCell
from seqkeras.cells.bidirectional import Bidirectional
from seqkeras.cells.gru import GRU, GRUCell
from seqkeras.cells.lstm import LSTM, LSTMCell
from seqkeras.cells.rnn import RNN
from seqkeras.cells.simple_rnn import SimpleRNN, SimpleRNNCell
from seqkeras.cells.stacked import StackedRNNCells
from seqkeras.heads.softmax import SoftmaxHead

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AttentionCell",
    "AutoregressiveDecoder",
    "BahdanauAttention",
    "Bidirectional",
    "DotAttention",
    "GRUCell",
    "GeneralAttention",
    "LSTMCell",
    "PaddingMask",
    "ReverseSequence",
    "ScaledDotAttention",
    "SimpleRNN",
    "SimpleRNNCell",
    "SoftmaxHead",
    "StackedRNNCells",
]
