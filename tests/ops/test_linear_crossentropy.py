import numpy as np
import pytest
from keras import ops

from seqkeras.ops.linear_crossentropy import _composed, linear_crossentropy
from tests.gradients import value_and_gradients

N, D, V = 6, 4, 9
RNG = np.random.default_rng(0)
ROWS, TABLE = (RNG.normal(size=(n, D)).astype("float32") for n in (N, V))
BIAS = RNG.normal(size=V).astype("float32")
LABELS = np.array([1, 8, 3, 1, 0, 5], "int32")
UPSTREAM = np.array([0.5, -1.0, 2.0, 0.25, 0.0, 1.0], "float32")

smoothings = pytest.mark.parametrize("smoothing", [0.0, 0.1])


@smoothings
@pytest.mark.parametrize("shift", [0.0, 100.0, -100.0])
def test_losses_are_those_of_smoothed_targets(smoothing, shift):
    found = ops.convert_to_numpy(
        linear_crossentropy(ROWS, TABLE, BIAS + np.float32(shift), LABELS, smoothing)
    )
    z = ROWS.astype("float64") @ TABLE.T + BIAS
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    q = (1 - smoothing) * np.eye(V)[LABELS] + smoothing / V
    np.testing.assert_allclose(found, -(q * log_p).sum(-1), rtol=1e-4, atol=1e-4)


@smoothings
def test_gradients_are_those_of_the_plain_form(smoothing):
    def weighted(function):
        return value_and_gradients(
            lambda *x: ops.sum(
                ops.convert_to_tensor(UPSTREAM)
                * function(*x, ops.convert_to_tensor(LABELS), smoothing)
            ),
            [ROWS, TABLE, BIAS],
        )[1]

    for found, wanted in zip(*map(weighted, (linear_crossentropy, _composed)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@smoothings
def test_no_bias_is_a_bias_of_zero(smoothing):
    def measured(*bias):
        return value_and_gradients(
            lambda rows, table: ops.sum(
                ops.convert_to_tensor(UPSTREAM)
                * linear_crossentropy(rows, table, *bias, ops.convert_to_tensor(LABELS), smoothing)
            ),
            [ROWS, TABLE],
        )

    without, zero = measured(None), measured(ops.zeros((V,)))
    np.testing.assert_allclose(without[0], zero[0], rtol=1e-6)
    for a, b in zip(without[1], zero[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_certain_row_has_no_gradient_to_speak_of():
    table = np.float32(1000) * np.eye(D, dtype="float32")
    rows, labels = np.eye(D, dtype="float32"), np.arange(D, dtype="int32")
    value, gradients, _ = value_and_gradients(
        lambda *x: ops.sum(linear_crossentropy(*x, ops.convert_to_tensor(labels))),
        [rows, table, np.zeros(D, "float32")],
    )
    assert value == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0.0)


def test_half_precision_comes_near():
    half = [ops.cast(x, "bfloat16") for x in (ROWS, TABLE)]
    found = linear_crossentropy(*half, BIAS, LABELS, 0.1)
    assert "float32" in str(found.dtype)
    wanted = ops.convert_to_numpy(linear_crossentropy(ROWS, TABLE, BIAS, LABELS, 0.1))
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=0.05, atol=0.05)


def test_no_rows_have_no_losses():
    assert linear_crossentropy(ROWS[:0], TABLE, BIAS, LABELS[:0]).shape == (0,)
