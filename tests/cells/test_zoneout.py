import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.cells.layer_norm import LayerNormGRUCell, LayerNormLSTMCell
from seqkeras.cells.lstmp import ProjectedLSTMCell
from seqkeras.cells.peephole_lstm import PeepholeLSTMCell
from seqkeras.cells.zoneout import ZoneoutCell
from seqkeras.layers import RNN, GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from tests.cells.cell_checks import (
    MASK,
    X,
    check_one_step_at_a_time,
    check_runs_in_keras,
    check_unrolled_equals_looped,
    over_time,
)
from tests.cells.numpy_cells import elman, gru_reset_after, lstm, randomized, run
from tests.contract import check_layer_contract, with_and_without_xla

N, M = 4, 2  # units, features
RNG = np.random.default_rng(1)
H0, C0 = RNG.normal(size=(2, 3, N)).astype("float32")
MAKERS = {
    "SimpleRNNCell": lambda: SimpleRNNCell(N),
    "LSTMCell": lambda: LSTMCell(N),
    "GRUCell": lambda: GRUCell(N),
    "PeepholeLSTMCell": lambda: PeepholeLSTMCell(N),
    "ProjectedLSTMCell": lambda: ProjectedLSTMCell(N, 3),
    "LayerNormLSTMCell": lambda: LayerNormLSTMCell(N),
    "LayerNormGRUCell": lambda: LayerNormGRUCell(N),
}
EVERY_CELL = pytest.mark.parametrize("make_cell", MAKERS.values(), ids=MAKERS)
STEPS = [("SimpleRNNCell", elman), ("LSTMCell", lstm), ("GRUCell", gru_reset_after)]


def zoned(step, masks):
    """The NumPy step with zoneout: `masks` holds, for each state, a mask `(T, B, H)` or a rate."""
    times = iter(range(X.shape[1]))

    def zoned_step(x_t, states, weights):
        t = next(times)
        _, new = step(x_t, states, weights)
        kept = [d if np.isscalar(d) else d[t] for d in masks]
        states = [d * old + (1 - d) * s for d, old, s in zip(kept, states, new, strict=True)]
        return states[0], states

    return zoned_step


def rates_of(cell):
    return [0.3, 0.6][: len(cell.get_initial_state(1))]


@pytest.mark.covers("ZoneoutCell", kind="contract")
def test_contract():
    check_layer_contract(
        lambda: ZoneoutCell(LSTMCell(N, unit_forget_bias=False), rates=[0.05, 0.5], seed=3),
        {"inputs": X[:, 0], "states": [H0, C0]},
        parameters=4 * (N * (N + M) + N),
    )


@with_and_without_xla
def test_contract_over_time(jit_compile):
    check_layer_contract(
        lambda: RNN(ZoneoutCell(GRUCell(N), 0.2), return_sequences=True, return_state=True),
        {"sequences": X, "initial_state": [H0]},
        parameters=3 * N * (N + M + 2),
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("ZoneoutCell", kind="oracle")
@pytest.mark.parametrize(("name", "step"), STEPS)
def test_without_training_the_states_are_mixed_by_the_rates(name, step):
    cell = MAKERS[name]()
    layer = over_time(ZoneoutCell(cell, rates_of(cell)))
    zeros = [np.zeros((len(X), N))] * len(rates_of(cell))
    expected, states = run(zoned(step, rates_of(cell)), layer.get_weights(), X, zeros)
    for ours, oracle in zip(layer(X), (expected, *states), strict=True):
        np.testing.assert_allclose(ours, oracle, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_in_training_the_states_are_kept_where_the_masks_say(name, step):
    """A twin with the same seed shows the masks that the layer draws."""
    layer, twin = (
        over_time(ZoneoutCell(cell, rates_of(cell), seed=5))
        for cell in (MAKERS[name](), MAKERS[name]())
    )
    _, *masks = (np.asarray(a) for a in twin.cell.project(X.swapaxes(0, 1), training=True))
    assert all(set(np.unique(d)) == {0.0, 1.0} for d in masks)
    zeros = [np.zeros((len(X), N))] * len(masks)
    expected, states = run(zoned(step, masks), layer.get_weights(), X, zeros)
    for ours, oracle in zip(layer(X, training=True), (expected, *states), strict=True):
        np.testing.assert_allclose(ours, oracle, rtol=1e-5, atol=1e-6)


def test_masks_are_drawn_for_every_step_unit_and_state_at_its_rate():
    cell = ZoneoutCell(LSTMCell(50), rates=[0.1, 0.5], seed=1)
    x = np.zeros((30, 20, M), "float32")  # time-major
    cell.build((20, M))
    assert len(cell.project(x)) == 1
    z, d_h, d_c = (np.asarray(a) for a in cell.project(x, training=True))
    assert (z.shape, d_h.shape, d_c.shape) == ((30, 20, 200), (30, 20, 50), (30, 20, 50))
    for d, rate in ((d_h, 0.1), (d_c, 0.5)):  # 30,000 draws: a deviation of at most 0.003
        assert abs(d.mean() - rate) < 0.015
        assert np.ptp(d, axis=0).any(axis=1).all(), "a mask stays the same over time"


@EVERY_CELL
def test_at_rate_zero_it_is_its_cell(make_cell):
    plain, layer = over_time(make_cell()), over_time(ZoneoutCell(make_cell(), 0.0))
    layer.set_weights(plain.get_weights())
    for training in (False, True):
        for ours, expected in zip(layer(X, training=training), plain(X), strict=True):
            # Two programs for a compiler, and layer normalisation enlarges what they round.
            np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@EVERY_CELL
def test_near_rate_one_the_states_stay(make_cell):
    layer = over_time(ZoneoutCell(make_cell(), 1 - 1e-9, seed=1))
    initial = [RNG.normal(size=(len(X), size)).astype("float32") for size in layer.state_size]
    for training in (False, True):
        _, *last = layer(X, initial_state=initial, training=training)
        for ours, first in zip(last, initial, strict=True):
            np.testing.assert_allclose(ours, first, rtol=1e-6, atol=1e-7)


@EVERY_CELL
def test_gradients_are_those_of_the_unrolled_loop(make_cell):
    check_unrolled_equals_looped(lambda: ZoneoutCell(make_cell(), 0.3, seed=4))


@pytest.mark.parametrize("check", [check_runs_in_keras, check_one_step_at_a_time])
def test_does_what_every_cell_does(check):
    check(lambda: ZoneoutCell(LSTMCell(N), [0.1, 0.5]))


def test_inference_is_the_mean_of_training_for_one_step():
    """The states are linear in the masks, so this is exact, not an approximation."""
    layer = over_time(ZoneoutCell(LSTMCell(N), [0.3, 0.6], seed=2))
    initial = [np.repeat(s[:1], 20_000, axis=0) for s in (H0, C0)]
    x = np.repeat(X[:1, :1], 20_000, axis=0)
    _, *trained = layer(x, initial_state=initial, training=True)
    _, *expected = layer(x[:1], initial_state=[s[:1] for s in initial])
    for ours, mean in zip(trained, expected, strict=True):
        np.testing.assert_allclose(np.mean(ours, axis=0), mean[0], atol=0.03)


def test_masked_steps_keep_the_states():
    layer = over_time(ZoneoutCell(GRUCell(N), 0.4))
    outputs, last = layer(X, mask=MASK)
    for row, length in enumerate(MASK.sum(axis=1)):
        _, expected = layer(X[row : row + 1, :length])
        np.testing.assert_allclose(last[row], expected[0], rtol=1e-5, atol=1e-6)


def test_dropout_of_the_cell_still_works():
    """All of the inputs dropped, and the masks of zoneout drawn beside it."""
    layer = over_time(
        ZoneoutCell(LSTMCell(N, dropout=1 - 1e-9, recurrent_dropout=0.5), 0.3, seed=1)
    )
    assert layer.cell.draw_noise(2, training=True).shape == (2, N)
    layer.cell.cell.recurrent_dropout = 0.0
    twin = over_time(ZoneoutCell(LSTMCell(N), 0.3, seed=1))
    twin.set_weights(layer.get_weights())
    expected = twin(np.zeros_like(X), training=True)
    for ours, oracle in zip(layer(X, training=True), expected, strict=True):
        np.testing.assert_allclose(ours, oracle, rtol=1e-5, atol=1e-6)


def test_masks_follow_their_seed_and_change_with_every_call():
    layers = [over_time(ZoneoutCell(GRUCell(N), 0.5, seed=7)) for _ in range(2)]
    layers[1].set_weights(layers[0].get_weights())
    first, again = (np.asarray(layers[0](X, training=True)[0]) for _ in range(2))
    np.testing.assert_array_equal(layers[1](X, training=True)[0], first)
    assert np.abs(first - again).max() > 1e-3


@pytest.mark.tensorflow
def test_a_stack_of_cells_draws_masks_in_every_step():
    cells = [ZoneoutCell(GRUCell(N), 1 - 1e-9, seed=s) for s in (1, 2)]
    layer = randomized(RNN(StackedRNNCells(cells), return_state=True), X)
    output, *_ = layer(X, training=True)
    np.testing.assert_allclose(output, np.zeros((3, N)), atol=1e-6)


def test_layers_stack_and_learn():
    model = keras.Sequential(
        [RNN(ZoneoutCell(LSTMCell(N), [0.1, 0.5], seed=s), return_sequences=True) for s in (1, 2)]
    )
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    model.build((None, None, M))  # neither the batch size nor the number of steps is known
    before = [np.array(v) for v in model.trainable_weights]
    model.fit(X, RNG.normal(size=(3, 5, N)), verbose=0)
    for variable, old in zip(model.trainable_weights, before, strict=True):
        assert not np.array_equal(variable, old), variable.path


class Readout(SimpleRNNCell):
    """A cell whose output is not its state."""

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h, states = super().advance(z_t, states, weights, noise, dot)
        return 2.0 * h, states


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ZoneoutCell(LSTMCell(N), 1.0), "expected rates in \\[0, 1\\)"),
        (lambda: ZoneoutCell(LSTMCell(N), [0.1]), "expected one number or 2"),
        (lambda: ZoneoutCell(keras.layers.LSTMCell(N), 0.1), "expected a cell of seqkeras.layers"),
        (lambda: ZoneoutCell(RNN(GRUCell(N)), 0.1), "ZoneoutCell: expected a cell"),
        (lambda: ZoneoutCell(StackedRNNCells([GRUCell(N)]), 0.1), "each cell of a stack by itself"),
        (lambda: ZoneoutCell(Readout(N), 0.1)(X[:, 0], [H0]), "whose output is its first state"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
