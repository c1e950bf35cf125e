import numpy as np
import pytest
from keras import ops

from seqkeras.layers import SoftmaxHead
from tests.contract import check_layer_contract, with_and_without_xla

B, T, H, R, V = 3, 4, 5, 2, 7
X = np.random.default_rng(0).normal(size=(B, T, H)).astype("float32")


@pytest.mark.covers("SoftmaxHead", kind="oracle")
@pytest.mark.parametrize("readout_units", [None, R])
def test_logits_equal_the_equation(readout_units):
    head = SoftmaxHead(V, readout_units)
    found = ops.convert_to_numpy(head(X))
    *readout, kernel, bias = [ops.convert_to_numpy(w) for w in head.weights]
    for b in range(B):
        for t in range(T):
            hidden = np.tanh(X[b, t] @ readout[0] + readout[1]) if readout_units else X[b, t]
            np.testing.assert_allclose(found[b, t], hidden @ kernel + bias, rtol=1e-4, atol=1e-6)


def test_one_step_is_a_step_of_the_sequence():
    head = SoftmaxHead(V, R)
    whole = ops.convert_to_numpy(head(X))
    np.testing.assert_allclose(ops.convert_to_numpy(head(X[:, 1])), whole[:, 1], atol=1e-6)


def test_logits_are_float32_under_mixed_precision():
    head = SoftmaxHead(V, R, dtype="mixed_bfloat16")
    assert head(X).dtype == "float32"
    assert head.readout.compute_dtype == head.logits.compute_dtype == "bfloat16"


def test_dropout_comes_after_the_readout_and_only_in_training():
    """With W = I, what was dropped from the hidden layer shows as zeros among the logits."""
    head = SoftmaxHead(R, R, dropout=0.5, seed=1)
    head.build(X.shape)
    head.logits.kernel.assign(np.eye(R))
    plain = ops.convert_to_numpy(head(X))
    dropped = ops.convert_to_numpy(head(X, training=True))
    zero = dropped == 0
    assert 0 < zero.sum() < zero.size
    np.testing.assert_allclose(dropped[~zero], 2 * plain[~zero], rtol=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(head(X, training=False)), plain)


@pytest.mark.parametrize("size", [0, -3])
def test_vocabulary_size_must_be_positive(size):
    with pytest.raises(
        ValueError, match=f"vocabulary_size: expected a positive integer, got {size}"
    ):
        SoftmaxHead(size)


@pytest.mark.covers("SoftmaxHead", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("readout_units", [None, R])
def test_contract(readout_units, jit_compile):
    width = readout_units or H
    check_layer_contract(
        lambda: SoftmaxHead(V, readout_units, seed=3),
        {"inputs": X},
        parameters=(H + 1) * R * (readout_units is not None) + (width + 1) * V,
        jit_compile=jit_compile,
    )
