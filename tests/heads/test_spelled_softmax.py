import numpy as np
import pytest
from keras import ops

from seqkeras.layers import CharacterCNN, SpelledSoftmaxHead, TokenEmbedding
from tests.contract import check_layer_contract, with_and_without_xla

H = 5
SPELLINGS = [[0, 0, 0], [1, 4, 2], [1, 5, 2], [1, 4, 2], [1, 2, 0], [1, 3, 2], [1, 5, 4], [4, 5, 2]]
V = len(SPELLINGS)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, H)).astype("float32")
TARGETS = np.array([[1, 2, 3, 4], [5, 7, 0, 0], [6, 0, 0, 0]], "int32")


def network():
    return CharacterCNN(6, 3, {1: 4, 2: 6}, output_dim=H)


def head_of(correction_dim=None, **options):
    head = SpelledSoftmaxHead(V, SPELLINGS, network(), correction_dim, **options)
    head.build(X.shape)
    head.set_weights([RNG.normal(size=w.shape) for w in head.weights])
    return head


@pytest.mark.covers("SpelledSoftmaxHead", kind="oracle")
@pytest.mark.parametrize("correction_dim", [None, 2])
def test_logits_are_products_with_each_word_by_itself(correction_dim):
    head = head_of(correction_dim)
    found = ops.convert_to_numpy(head(X))
    for word, spelling in enumerate(SPELLINGS):
        vector = ops.convert_to_numpy(head.network(np.array([spelling], "int32")))[0]
        if correction_dim:
            corrections = ops.convert_to_numpy(head.corrections)
            vector = vector + corrections[word] @ ops.convert_to_numpy(head.correction_kernel)
        np.testing.assert_allclose(found[..., word], X @ vector, rtol=1e-3, atol=1e-4)


def test_equal_spellings_tie_and_a_correction_tells_them_apart():
    plain, corrected = (ops.convert_to_numpy(head_of(dim)(X)) for dim in (None, 2))
    np.testing.assert_allclose(plain[..., 1], plain[..., 3], rtol=1e-5)
    assert not np.allclose(corrected[..., 1], corrected[..., 3])


def test_a_correction_of_zero_is_none_and_adds_at_most_its_rank():
    head = head_of(2)
    rows = RNG.normal(size=(50, H)).astype("float32")
    with_it = ops.convert_to_numpy(head(rows))
    head.corrections.assign(np.zeros((V, 2)))
    without = ops.convert_to_numpy(head(rows))
    bare = SpelledSoftmaxHead(V, SPELLINGS, head.network)
    np.testing.assert_allclose(without, ops.convert_to_numpy(bare(rows)), rtol=1e-5, atol=1e-6)
    assert np.linalg.matrix_rank(with_it - without, tol=1e-3) == 2


def test_training_on_all_words_is_exact():
    """With each word drawn once, expected once, and no two of one spelling as a row's target."""
    head = head_of(2, samples=V, counts=[1] * V)
    head.draw = lambda: ops.arange(V)
    exact = ops.convert_to_numpy(head(X, targets=TARGETS))
    found = ops.convert_to_numpy(head(X, targets=TARGETS, training=True))
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.covers("SpelledSoftmaxHead", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    cnn = 6 * 3 + (3 * 4 + 4) + (6 * 6 + 6) + 2 * 10 * 11 + 10 * H
    check_layer_contract(
        lambda: SpelledSoftmaxHead(V, SPELLINGS, network(), 2, samples=3, seed=1),
        {"inputs": X},
        parameters=cnn + V * 2 + 2 * H,
        jit_compile=jit_compile,
    )


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="spellings: expected 9, one for each word, got 8"):
        SpelledSoftmaxHead(9, SPELLINGS, network())
    with pytest.raises(ValueError, match="tied_to: expected None"):
        SpelledSoftmaxHead(V, SPELLINGS, network(), tied_to=TokenEmbedding(V, H))
    with pytest.raises(ValueError, match="vectors have the size 4 of the inputs, got 5"):
        SpelledSoftmaxHead(V, SPELLINGS, network())(X[..., :4])
