"""The cells that are compared, and how each is trained on each task: the one place for both.

Unless a row below says otherwise everything is as in Arjovsky et al. 2016 (arXiv:1511.06464), §5,
and the code that its authors published: RMSProp with decay 0.9, learning rate 1e-3, gradients
clipped at 1 (theirs element by element, here the global norm) but for the unitary RNN; 128 units,
and on the copy task fewer for the cells with larger kernels, so that none wins by its size.
Gated cells learn to add by Adam at 3e-3: with T = 50 an LSTM is below 0.001 after 3,000
steps of it, and still at 0.15 after as many of RMSProp at 1e-3 (validation examples, seed 1).
The paper's unitary RNN has 512 units for adding and pixels. Here it has 128: multiplied out, as a
CPU wants it, its matrix costs what a dense one does.

Initialisation is the cells' own: IRNN as in Le et al. 2015 (arXiv:1504.00941), forget gates from 1
on (Jozefowicz et al. 2015), orthogonal recurrent kernels elsewhere (Saxe et al. 2014,
arXiv:1312.6120), but for "simple_rnn", the plain tanh RNN that the others are measured against. The
orthogonal RNN starts with rotations by any angle, which suits what must be told apart by its place
(copy), or, as "orthogonal_small_angles", by at most pi/8, which suits what must add up. The gates
of "chrono_lstm" and "chrono_gru" start slow enough for the length of the task (Tallec & Ollivier
2018, arXiv:1804.11188), and their input kernels with variance 1 / D, as such gates let in little of
an input: of a pixel, with `glorot_uniform`, nearly nothing. They learn pixels by Adam.
"""

import math
from typing import Literal, NamedTuple

from seqkeras.cells.chrono import ChronoGRU, ChronoLSTM
from seqkeras.cells.gru import GRUCell
from seqkeras.cells.lstm import LSTMCell
from seqkeras.cells.orthogonal import OrthogonalRNNCell, PlaneRotations
from seqkeras.cells.simple_rnn import SimpleRNNCell
from seqkeras.models.cells import CELLS as COMMON_CELLS

_CELLS = COMMON_CELLS | {
    "simple_rnn": lambda units: SimpleRNNCell(units, recurrent_initializer="glorot_uniform"),
    "orthogonal_init": lambda units: SimpleRNNCell(units, recurrent_initializer="orthogonal"),
    "orthogonal_small_angles": lambda units: OrthogonalRNNCell(
        units, recurrent_initializer=PlaneRotations(math.pi / 8)
    ),
    "dropout_lstm": lambda units: LSTMCell(units, recurrent_dropout=0.1),
}
# Cells that want to know the number of steps, too.
_OF_LENGTH = {
    "chrono_lstm": lambda units, length: LSTMCell(
        units, kernel_initializer="lecun_normal", bias_initializer=ChronoLSTM(length)
    ),
    "chrono_gru": lambda units, length: GRUCell(
        units,
        reset_after=False,
        kernel_initializer="lecun_normal",
        bias_initializer=ChronoGRU(length),
    ),
}
NAMES = (*_CELLS, *_OF_LENGTH)
_GATED = [cell for cell in NAMES if "lstm" in cell or "gru" in cell]

CellName = Literal[NAMES]


def make_cell(name, units, length):
    """Returns a cell by its name, for sequences of so many steps."""
    if name in _OF_LENGTH:
        return _OF_LENGTH[name](units, length)
    return _CELLS[name](units)


class Recipe(NamedTuple):
    """How a cell is trained on a task.

    Attributes:
        units: int.
        learning_rate: float.
        clip_norm: float, largest global norm of the gradient; 0.0: no clipping.
        optimizer: "rmsprop" or "adam".
    """

    units: int = 128
    learning_rate: float = 1e-3
    clip_norm: float = 1.0
    optimizer: str = "rmsprop"


_OF_TASK = {"adding": Recipe(), "mnist": Recipe(), "copy": Recipe(units=80)}

# What differs for a cell on a task; "*" for every task. The first that is found counts.
_OF_CELL = {
    ("copy", "unitary"): {"units": 128, "clip_norm": 0.0},
    ("*", "unitary"): {"clip_norm": 0.0},
    **{("adding", cell): {"optimizer": "adam", "learning_rate": 3e-3} for cell in _GATED},
    **{("mnist", cell): {"optimizer": "adam"} for cell in _OF_LENGTH},
    **{("copy", cell): {"units": 40} for cell in NAMES if "lstm" in cell},
    **{("copy", cell): {"units": 46} for cell in NAMES if "gru" in cell},
}


def recipe(task, cell):
    """Returns the `Recipe` of a cell on a task, both by name."""
    changes = _OF_CELL.get((task, cell)) or _OF_CELL.get(("*", cell), {})
    return _OF_TASK[task]._replace(**changes)
