"""Every layer in one flat namespace, as in `keras.layers`."""

from seqkeras.attention.bahdanau import BahdanauAttention
from seqkeras.attention.dot import DotAttention, GeneralAttention, ScaledDotAttention
from seqkeras.blocks.autoregressive_decoder import AutoregressiveDecoder
from seqkeras.blocks.deep_bidirectional import DeepBidirectional
from seqkeras.blocks.masking import PaddingMask, ReverseSequence
from seqkeras.blocks.pooling import LengthMask, SequencePooling
from seqkeras.blocks.pyramid import HalveTime, PyramidalStack
from seqkeras.blocks.recurrent_stack import RecurrentStack
from seqkeras.cells.attention_cell import AttentionCell
from seqkeras.cells.bidirectional import Bidirectional
from seqkeras.cells.elman import Elman, ElmanCell
from seqkeras.cells.gru import GRU, GRUCell
from seqkeras.cells.irnn import IRNN, IRNNCell
from seqkeras.cells.layer_norm import (
    LayerNormGRU,
    LayerNormGRUCell,
    LayerNormLSTM,
    LayerNormLSTMCell,
)
from seqkeras.cells.lstm import LSTM, LSTMCell
from seqkeras.cells.lstmp import ProjectedLSTM, ProjectedLSTMCell
from seqkeras.cells.orthogonal import OrthogonalRNN, OrthogonalRNNCell
from seqkeras.cells.peephole_lstm import PeepholeLSTM, PeepholeLSTMCell
from seqkeras.cells.rnn import RNN
from seqkeras.cells.simple_rnn import SimpleRNN, SimpleRNNCell
from seqkeras.cells.stacked import StackedRNNCells
from seqkeras.cells.unitary import UnitaryRNN, UnitaryRNNCell
from seqkeras.cells.zoneout import ZoneoutCell
from seqkeras.heads.softmax import SoftmaxHead

__all__ = [
    "GRU",
    "IRNN",
    "LSTM",
    "RNN",
    "AttentionCell",
    "AutoregressiveDecoder",
    "BahdanauAttention",
    "Bidirectional",
    "DeepBidirectional",
    "DotAttention",
    "Elman",
    "ElmanCell",
    "GRUCell",
    "GeneralAttention",
    "HalveTime",
    "IRNNCell",
    "LSTMCell",
    "LayerNormGRU",
    "LayerNormGRUCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "LengthMask",
    "OrthogonalRNN",
    "OrthogonalRNNCell",
    "PaddingMask",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "ProjectedLSTM",
    "ProjectedLSTMCell",
    "PyramidalStack",
    "RecurrentStack",
    "ReverseSequence",
    "ScaledDotAttention",
    "SequencePooling",
    "SimpleRNN",
    "SimpleRNNCell",
    "SoftmaxHead",
    "StackedRNNCells",
    "UnitaryRNN",
    "UnitaryRNNCell",
    "ZoneoutCell",
]
