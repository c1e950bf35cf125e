"""Every layer in one flat namespace, as in `keras.layers`."""

from seqkeras.attention.bahdanau import BahdanauAttention
from seqkeras.attention.dot import DotAttention, GeneralAttention, ScaledDotAttention
from seqkeras.attention.grouped_query import GroupQueryAttention
from seqkeras.attention.hard import HardAttention
from seqkeras.attention.keras_attention import AdditiveAttention, Attention
from seqkeras.attention.mlp import MLPAttention
from seqkeras.attention.multi_head import MultiHeadAttention
from seqkeras.attention.reinforce_loss import ReinforceLoss
from seqkeras.attention.relative import RelativePositionBias
from seqkeras.blocks.autoregressive_decoder import AutoregressiveDecoder
from seqkeras.blocks.character_cnn import CharacterCNN
from seqkeras.blocks.deep_bidirectional import DeepBidirectional
from seqkeras.blocks.feed_forward import FeedForward
from seqkeras.blocks.highway import Highway
from seqkeras.blocks.layer_normalization import LayerNormalization
from seqkeras.blocks.masking import PaddingMask, ReverseSequence
from seqkeras.blocks.ngram import NGram
from seqkeras.blocks.pooling import LengthMask, SequencePooling
from seqkeras.blocks.positions import LearnedPositions, SinusoidalPositions
from seqkeras.blocks.pyramid import HalveTime, PyramidalStack
from seqkeras.blocks.recent_tokens import RecentTokens
from seqkeras.blocks.recurrent_stack import RecurrentStack
from seqkeras.blocks.residual import Residual
from seqkeras.blocks.set_attention import (
    InducedSetAttentionBlock,
    MultiheadAttentionBlock,
    PoolingByMultiheadAttention,
    SetAttentionBlock,
)
from seqkeras.blocks.sparse_matrix import SparseMatrix
from seqkeras.blocks.spelled_embedding import SpelledEmbedding
from seqkeras.blocks.token_embedding import TokenEmbedding
from seqkeras.blocks.transformer_layer import TransformerLayer
from seqkeras.blocks.transformer_stack import TransformerStack
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
from seqkeras.heads.adaptive_softmax import AdaptiveSoftmaxHead
from seqkeras.heads.character_lstm import CharacterLSTMHead
from seqkeras.heads.hierarchical_softmax import HierarchicalSoftmaxHead
from seqkeras.heads.maximum_entropy import MaximumEntropyHead
from seqkeras.heads.sampled_softmax import SampledSoftmaxHead
from seqkeras.heads.softmax import SoftmaxHead
from seqkeras.heads.spelled_softmax import SpelledSoftmaxHead

__all__ = [
    "GRU",
    "IRNN",
    "LSTM",
    "RNN",
    "AdaptiveSoftmaxHead",
    "AdditiveAttention",
    "Attention",
    "AttentionCell",
    "AutoregressiveDecoder",
    "BahdanauAttention",
    "Bidirectional",
    "CharacterCNN",
    "CharacterLSTMHead",
    "DeepBidirectional",
    "DotAttention",
    "Elman",
    "ElmanCell",
    "FeedForward",
    "GRUCell",
    "GeneralAttention",
    "GroupQueryAttention",
    "HalveTime",
    "HardAttention",
    "HierarchicalSoftmaxHead",
    "Highway",
    "IRNNCell",
    "InducedSetAttentionBlock",
    "LSTMCell",
    "LayerNormGRU",
    "LayerNormGRUCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "LayerNormalization",
    "LearnedPositions",
    "LengthMask",
    "MLPAttention",
    "MaximumEntropyHead",
    "MultiHeadAttention",
    "MultiheadAttentionBlock",
    "NGram",
    "OrthogonalRNN",
    "OrthogonalRNNCell",
    "PaddingMask",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "PoolingByMultiheadAttention",
    "ProjectedLSTM",
    "ProjectedLSTMCell",
    "PyramidalStack",
    "RecentTokens",
    "RecurrentStack",
    "ReinforceLoss",
    "RelativePositionBias",
    "Residual",
    "ReverseSequence",
    "SampledSoftmaxHead",
    "ScaledDotAttention",
    "SequencePooling",
    "SetAttentionBlock",
    "SimpleRNN",
    "SimpleRNNCell",
    "SinusoidalPositions",
    "SoftmaxHead",
    "SparseMatrix",
    "SpelledEmbedding",
    "SpelledSoftmaxHead",
    "StackedRNNCells",
    "TokenEmbedding",
    "TransformerLayer",
    "TransformerStack",
    "UnitaryRNN",
    "UnitaryRNNCell",
    "ZoneoutCell",
]
