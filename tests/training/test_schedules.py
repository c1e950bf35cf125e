import keras
import numpy as np
import pytest

from seqkeras.training.schedules import InverseSquareRoot, build_schedule


def test_inverse_square_root_is_vaswanis():
    d_model, warmup = 512, 40
    schedule = InverseSquareRoot((d_model * warmup) ** -0.5, warmup)
    for n in (1, 7, 39, 40, 41, 1000):
        paper = d_model**-0.5 * min(n**-0.5, n * warmup**-1.5)
        np.testing.assert_allclose(schedule(n - 1), paper, rtol=1e-5)


def test_cosine_rises_to_the_peak_and_falls_to_zero():
    schedule = build_schedule("cosine", 0.5, warmup_steps=10, total_steps=110)
    np.testing.assert_allclose([schedule(s) for s in (0, 5, 10)], [0, 0.25, 0.5], atol=1e-6)
    np.testing.assert_allclose([schedule(s) for s in (60, 110, 500)], [0.25, 0, 0], atol=1e-6)
    without = build_schedule("cosine", 0.5, total_steps=100)
    np.testing.assert_allclose([without(s) for s in (0, 50, 100)], [0.5, 0.25, 0], atol=1e-6)


def test_constant_is_a_number_that_an_optimizer_takes():
    optimizer = keras.optimizers.SGD(build_schedule("constant", 1))
    assert float(optimizer.learning_rate) == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "linear"}, "known: constant, inverse_square_root, cosine"),
        ({"name": "constant", "warmup_steps": 5}, "no warm-up"),
        ({"name": "inverse_square_root"}, "warmup_steps >= 1"),
        ({"name": "cosine"}, "total_steps"),
        ({"name": "cosine", "warmup_steps": 9, "total_steps": 9}, "total_steps"),
    ],
)
def test_what_does_not_fit_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_schedule(peak=1.0, **arguments)


def test_config_round_trip():
    schedule = InverseSquareRoot(0.3, 20)
    config = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(config)
    assert [float(again(s)) for s in (0, 30)] == [float(schedule(s)) for s in (0, 30)]
