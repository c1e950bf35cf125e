"""Recurrent cells by name: what `cell` means in every model and pipeline.

Biases of the layer-normalised cells start at random: on a series that begins with zeros every sum
is zero, where layer norm's gradient is 1 / sqrt(epsilon), at every step, until it overflows.
"""

from seqkeras.cells.elman import ElmanCell
from seqkeras.cells.gru import GRUCell
from seqkeras.cells.irnn import IRNNCell
from seqkeras.cells.layer_norm import LayerNormGRUCell, LayerNormLSTMCell
from seqkeras.cells.lstm import LSTMCell
from seqkeras.cells.lstmp import ProjectedLSTMCell
from seqkeras.cells.orthogonal import OrthogonalRNNCell
from seqkeras.cells.peephole_lstm import PeepholeLSTMCell
from seqkeras.cells.simple_rnn import SimpleRNNCell
from seqkeras.cells.unitary import UnitaryRNNCell
from seqkeras.cells.zoneout import ZoneoutCell

CELLS = {
    "simple_rnn": SimpleRNNCell,
    "sigmoid_rnn": lambda units: SimpleRNNCell(units, activation="sigmoid"),
    "elman": lambda units: ElmanCell(
        units, "sigmoid", output_units=units, output_activation="tanh"
    ),
    "irnn": IRNNCell,
    "orthogonal": OrthogonalRNNCell,
    "unitary": UnitaryRNNCell,
    "lstm": LSTMCell,
    "peephole_lstm": PeepholeLSTMCell,
    "lstmp": lambda units: ProjectedLSTMCell(units, max(units // 2, 1)),
    "layer_norm_lstm": lambda units: LayerNormLSTMCell(units, bias_initializer="random_normal"),
    "zoneout_lstm": lambda units: ZoneoutCell(LSTMCell(units), rates=0.15),
    "gru": lambda units: GRUCell(units, reset_after=False),  # the notes' form
    "gru_reset_after": lambda units: GRUCell(units, reset_after=True),  # Keras' form
    "layer_norm_gru": lambda units: LayerNormGRUCell(units, bias_initializer="random_normal"),
    "zoneout_gru": lambda units: ZoneoutCell(GRUCell(units, reset_after=False), rates=0.15),
}


def make_cell(cell, units):
    """Returns a cell of `units` from its name, or from a function `units -> cell`."""
    if callable(cell):
        return cell(units)
    if cell not in CELLS:
        raise ValueError(f"cell: expected one of {sorted(CELLS)} or a function, got {cell!r}.")
    return CELLS[cell](units)
