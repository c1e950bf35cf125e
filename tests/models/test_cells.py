import numpy as np
import pytest

from seqkeras.cells.gru import GRUCell
from seqkeras.cells.rnn import RNN
from seqkeras.models.cells import CELLS, make_cell


@pytest.mark.parametrize("name", sorted(CELLS))
def test_every_name_is_a_cell_that_runs(name):
    output = RNN(make_cell(name, 4))(np.ones((2, 3, 5), "float32"))
    assert output.shape[0] == 2
    assert np.isfinite(np.asarray(output)).all()


def test_a_function_makes_the_cell_too():
    assert make_cell(GRUCell, 3).units == 3


def test_the_two_grus_differ_where_their_names_say():
    assert make_cell("gru", 3).reset_after is False
    assert make_cell("gru_reset_after", 3).reset_after is True


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(ValueError, match="'gru'.*got 'gruu'"):
        make_cell("gruu", 3)
