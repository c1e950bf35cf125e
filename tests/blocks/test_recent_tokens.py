import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.constants import PAD
from seqkeras.layers import RecentTokens
from tests.contract import MaskProbe, check_layer_contract

IDS = np.array([[5, 6, 7, 8], [4, 4, 5, 0], [9, 3, 3, 9]], "int32")


@pytest.mark.covers("RecentTokens", kind="oracle")
@pytest.mark.parametrize("length", [1, 2, 4, 6])
def test_every_position_has_the_tokens_up_to_it(length):
    found = ops.convert_to_numpy(RecentTokens(length)(IDS))
    for b, row in enumerate(IDS.tolist()):
        for t in range(len(row)):
            wanted = ([PAD] * length + row[: t + 1])[-length:]
            assert found[b, t].tolist() == wanted
    assert found.dtype == "int32"


@pytest.mark.covers("RecentTokens", kind="contract")
def test_contract():
    check_layer_contract(lambda: RecentTokens(3), {"inputs": IDS}, parameters=0)


class Masked(keras.layers.Layer):
    """Ids as they are, with a mask that is False at PAD."""

    def call(self, ids):
        return ids

    def compute_mask(self, ids, mask=None):
        return ids != PAD


def test_a_mask_is_passed_on():
    tokens = keras.Input((None,), dtype="int32")
    recent = RecentTokens(2)(Masked()(tokens))
    model = keras.Model(tokens, MaskProbe()(recent))
    np.testing.assert_array_equal(ops.convert_to_numpy(model(IDS)), IDS != PAD)


def test_nothing_and_one_token():
    assert RecentTokens(2)(np.zeros((2, 0), "int32")).shape == (2, 0, 2)
    assert ops.convert_to_numpy(RecentTokens(2)(np.array([[7]]))).tolist() == [[[PAD, 7]]]


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="length: expected a positive integer, got 0"):
        RecentTokens(0)
    with pytest.raises(ValueError, match=r"expected integer ids \(B, T\), got float32"):
        RecentTokens(2)(np.ones((2, 3), "float32"))
