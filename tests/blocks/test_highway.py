import numpy as np
import pytest
from keras import ops

from seqkeras.layers import Highway
from tests.contract import check_layer_contract, with_and_without_xla

D = 4
X = np.random.default_rng(0).normal(size=(3, 2, D)).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.covers("Highway", kind="oracle")
def test_equals_the_equation():
    layer = Highway("tanh")
    found = ops.convert_to_numpy(layer(X))
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(bias, [0] * D + [-2] * D)
    for b, row in enumerate(X):
        for t, x in enumerate(row):
            gate = sigmoid(x @ kernel[:, D:] + bias[D:])
            y = gate * np.tanh(x @ kernel[:, :D] + bias[:D]) + (1 - gate) * x
            np.testing.assert_allclose(found[b, t], y, rtol=1e-5, atol=1e-6)


def test_a_closed_gate_is_the_identity():
    layer = Highway(gate_bias=-100.0)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(X)), X)


@pytest.mark.covers("Highway", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: Highway("tanh", gate_bias=0.5),
        {"inputs": X},
        parameters=2 * D * (D + 1),
        jit_compile=jit_compile,
    )
