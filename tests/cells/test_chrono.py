import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.cells.chrono import ChronoGRU, ChronoLSTM
from seqkeras.cells.peephole_lstm import PeepholeLSTM
from seqkeras.layers import GRU, LSTM

UNITS, LONGEST = 2000, 100.0


def bias_of(layer):
    layer.build((None, None, 3))
    return ops.convert_to_numpy(layer.cell.bias)


@pytest.mark.parametrize("kind", [LSTM, PeepholeLSTM])
def test_an_lstm_keeps_for_as_many_steps_as_were_drawn(kind):
    i, f, c, o = np.split(bias_of(kind(UNITS, bias_initializer=ChronoLSTM(LONGEST, seed=1))), 4)
    steps = np.exp(f)
    assert steps.min() >= 1.0
    assert steps.max() <= LONGEST - 1
    # U[1, 99]: mean 50, standard deviation 98 / sqrt(12); of the mean of 2000, 0.63.
    assert abs(steps.mean() - 50) < 4 * 98 / np.sqrt(12 * UNITS)
    np.testing.assert_array_equal(i, -f)
    assert not c.any()
    assert not o.any()


@pytest.mark.parametrize("reset_after", [False, True])
def test_the_gru_keeps_by_its_update_gate(reset_after):
    initializer = ChronoGRU(LONGEST, seed=1)
    bias = bias_of(GRU(UNITS, reset_after=reset_after, bias_initializer=initializer))
    if reset_after:
        bias, recurrent = bias
        assert not recurrent.any()
    z, r, c = np.split(bias, 3)
    assert abs(np.exp(z).mean() - 50) < 4 * 98 / np.sqrt(12 * UNITS)
    assert not r.any()
    assert not c.any()


def test_a_state_decays_with_its_time_constant():
    """Without input and recurrent weights c_t = f^t c_0, f = tau / (1 + tau)."""
    layer = LSTM(
        8, bias_initializer=ChronoLSTM(50, seed=1), recurrent_initializer="zeros", return_state=True
    )
    layer.build((1, None, 1))
    tau = np.exp(np.split(ops.convert_to_numpy(layer.cell.bias), 4)[1])
    start = [np.zeros((1, 8), "float32"), np.ones((1, 8), "float32")]
    _, _, c = layer(np.zeros((1, 20, 1), "float32"), initial_state=start)
    np.testing.assert_allclose(ops.convert_to_numpy(c)[0], (tau / (1 + tau)) ** 20, rtol=1e-4)


def test_without_it_the_forget_gate_starts_at_one():
    _, f, _, _ = np.split(bias_of(LSTM(4)), 4)
    np.testing.assert_array_equal(f, 1.0)


def test_each_build_draws_anew_unless_a_seed_is_given():
    draws = [ops.convert_to_numpy(ChronoGRU(10, seed)((30,))) for seed in (None, None, 1, 1)]
    assert (draws[0] != draws[1]).any()
    np.testing.assert_array_equal(draws[2], draws[3])
    one = ChronoGRU(10)
    assert (ops.convert_to_numpy(one((30,))) != ops.convert_to_numpy(one((30,)))).any()


@pytest.mark.parametrize("initializer", [ChronoLSTM(20, seed=2), ChronoGRU(20)])
def test_it_survives_a_config(initializer):
    config = keras.saving.serialize_keras_object(initializer)
    twin = keras.saving.deserialize_keras_object(config)
    assert type(twin) is type(initializer)
    assert twin.get_config() == initializer.get_config()


@pytest.mark.parametrize("longest", [2, 0, -1.0, float("nan")])
def test_too_short_a_dependency_raises(longest):
    with pytest.raises(ValueError, match="longest: expected more than 2 steps"):
        ChronoLSTM(longest)


@pytest.mark.parametrize(
    ("kind", "shape"), [(ChronoLSTM, (6,)), (ChronoGRU, (8,)), (ChronoGRU, ())]
)
def test_the_bias_of_another_cell_raises(kind, shape):
    with pytest.raises(ValueError, match="units columns, got the shape"):
        kind(10)(shape)
