import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import PaddingMask, ReverseSequence
from tests.contract import check_layer_contract, with_and_without_xla

IDS = np.array([[5, 3, 4, 2], [7, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]], "int32")


@pytest.mark.covers("PaddingMask", kind="oracle")
def test_padding_mask_is_true_on_real_tokens():
    mask = ops.convert_to_numpy(PaddingMask()(IDS))
    expected = [[column < length for column in range(4)] for length in (4, 2, 1, 0)]
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == bool


@pytest.mark.covers("ReverseSequence", kind="oracle")
def test_reverse_sequence_leaves_the_padding_on_the_right():
    expected = []
    for row in IDS.tolist():
        real = [token for token in row if token != 0]
        expected.append(real[::-1] + [0] * (len(row) - len(real)))
    np.testing.assert_array_equal(ops.convert_to_numpy(ReverseSequence()(IDS)), expected)


def test_reversed_twice_is_the_identity():
    reverse = ReverseSequence()
    np.testing.assert_array_equal(ops.convert_to_numpy(reverse(reverse(IDS))), IDS)


@pytest.mark.parametrize("layer", [PaddingMask, ReverseSequence])
def test_works_on_sequences_of_any_length(layer):
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, layer()(ids))
    for length in (1, 4):
        batch = IDS[:2, :length]
        expected = ops.convert_to_numpy(layer()(batch))
        np.testing.assert_array_equal(ops.convert_to_numpy(model(batch)), expected)


@pytest.mark.covers("PaddingMask", "ReverseSequence", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("layer", [PaddingMask, ReverseSequence])
def test_contract(layer, jit_compile):
    check_layer_contract(layer, {"ids": IDS}, parameters=0, jit_compile=jit_compile)
