import numpy as np
import pytest
from keras import ops

from seqkeras.layers import HierarchicalSoftmaxHead
from tests.contract import check_layer_contract, with_and_without_xla
from tests.heads.exact import check_exact_gradients

V, H = 7, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, H)).astype("float32")
TARGETS = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [6, 0, 0, 0]], "int32")
COUNTS = [0, 9, 4, 1, 30, 2, 5]
KINDS = [{"tree": "balanced"}, {"tree": "huffman"}, {"tree": "huffman", "counts": COUNTS}]


def random_head(**options):
    head = HierarchicalSoftmaxHead(V, **options)
    head.build(X.shape)
    head.set_weights([RNG.normal(size=w.shape) for w in head.weights])
    return head


def by_walking(head, hidden, word):
    """log p of a word, decision by decision."""
    table, bias = head.get_weights()
    log_p = 0.0
    for node, turn in zip(head.ways.nodes[word], head.ways.turns[word], strict=True):
        if turn:
            log_p += -np.log1p(np.exp(-turn * (hidden @ table[node] + bias[node])))
    return log_p


@pytest.mark.covers("HierarchicalSoftmaxHead", kind="oracle")
@pytest.mark.parametrize("options", KINDS)
def test_every_probability_is_the_product_of_its_decisions(options):
    head = random_head(**options)
    found = ops.convert_to_numpy(head(X))
    wanted = [[[by_walking(head, x, w) for w in range(V)] for x in row] for row in X]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("training", [False, True])
def test_losses_are_exact_in_training_too(options, training):
    head = random_head(**options)
    log_probs = ops.convert_to_numpy(head(X))
    wanted = -np.take_along_axis(log_probs, TARGETS[..., None], -1)[..., 0] * (TARGETS > 0)
    found = ops.convert_to_numpy(head(X, targets=TARGETS, training=training))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_training_has_the_gradients_of_the_exact_loss():
    check_exact_gradients(random_head(tree="huffman", counts=COUNTS), X, TARGETS, RNG)


@pytest.mark.covers("HierarchicalSoftmaxHead", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("options", KINDS[1:])
def test_contract(options, jit_compile):
    check_layer_contract(
        lambda: HierarchicalSoftmaxHead(V, **options),
        {"inputs": X},
        parameters=(H + 1) * (V - 1),
        jit_compile=jit_compile,
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"tree": "binary"}, "tree: expected 'balanced' or 'huffman', got 'binary'"),
        ({"tree": "balanced", "counts": COUNTS}, "only a 'huffman' tree"),
        ({"counts": COUNTS[1:]}, "counts: expected 7 numbers >= 0"),
        ({"counts": [-1, *COUNTS[1:]]}, "counts: expected 7 numbers >= 0"),
        ({"counts": [0] * V}, "not all 0"),
        ({"counts": [np.nan, *COUNTS[1:]]}, "counts: expected 7 numbers >= 0"),
    ],
)
def test_bad_options_are_told(options, match):
    with pytest.raises(ValueError, match=match):
        HierarchicalSoftmaxHead(V, **options)


def test_a_tree_needs_two_words():
    with pytest.raises(ValueError, match="expected at least 2, got 1"):
        HierarchicalSoftmaxHead(1)
