import numpy as np
import pytest
from keras import ops

from seqkeras.layers import CharacterCNN, SpelledEmbedding
from tests.contract import check_layer_contract, with_and_without_xla

SPELLINGS = [[0, 0, 0], [1, 4, 2], [1, 5, 2], [1, 4, 2], [1, 2, 0]]
IDS = np.array([[1, 2, 3], [4, 0, 0], [2, 2, 0]], "int32")


def embedding(**options):
    return SpelledEmbedding(SPELLINGS, CharacterCNN(6, 3, {1: 2, 2: 3}), **options)


@pytest.mark.covers("SpelledEmbedding", kind="oracle")
def test_a_word_is_what_the_network_makes_of_its_characters():
    layer = embedding()
    found = ops.convert_to_numpy(layer(IDS))
    for b, row in enumerate(IDS):
        for t, word in enumerate(row):
            wanted = ops.convert_to_numpy(layer.network(np.array([SPELLINGS[word]], "int32")))[0]
            np.testing.assert_allclose(found[b, t], wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[0, 0], found[0, 2])  # two words of one spelling


def test_padding_is_masked_if_asked():
    assert embedding().compute_mask(IDS) is None
    mask = ops.convert_to_numpy(embedding(mask_zero=True).compute_mask(IDS))
    np.testing.assert_array_equal(mask, IDS != 0)


@pytest.mark.covers("SpelledEmbedding", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: embedding(mask_zero=True),
        {"inputs": IDS},
        parameters=6 * 3 + (3 * 2 + 2) + (6 * 3 + 3) + 2 * 5 * 6,
        jit_compile=jit_compile,
    )


@pytest.mark.parametrize("spellings", [[1, 2], [[0.5]], [[]]])
def test_bad_spellings_are_told(spellings):
    with pytest.raises(ValueError, match="spellings: expected integers .V, L."):
        SpelledEmbedding(spellings, CharacterCNN(6, 3, {1: 2}))
