import numpy as np
import pytest
from keras import ops

from seqkeras.layers import AdaptiveSoftmaxHead
from tests.contract import check_layer_contract
from tests.heads.exact import check_exact_gradients

V, H, CUTOFFS = 11, 8, (3, 7)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, H)).astype("float32")
TARGETS = np.array([[1, 2, 3, 6], [7, 10, 0, 0]], "int32")


def random_head(cutoffs=CUTOFFS, factor=2.0):
    head = AdaptiveSoftmaxHead(V, cutoffs, factor)
    head.build(X.shape)
    head.set_weights([RNG.normal(size=w.shape) for w in head.weights])
    return head


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


@pytest.mark.covers("AdaptiveSoftmaxHead", kind="oracle")
def test_probabilities_are_those_of_the_equations():
    head = random_head()
    table, bias, *tails = head.get_weights()
    first = softmax(X @ table.T + bias)
    wanted = [first[..., :3]]
    for i in range(2):
        projection, table, bias = tails[3 * i : 3 * i + 3]
        assert projection.shape == (H, H // 2 ** (i + 1))
        wanted.append(first[..., 3 + i, None] * softmax(X @ projection @ table.T + bias))
    wanted = np.concatenate(wanted, axis=-1)
    found = np.exp(ops.convert_to_numpy(head(X)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("cutoffs", [(), (3,), CUTOFFS])
def test_losses_are_exact_in_training_too(training, cutoffs):
    head = random_head(cutoffs)
    log_probs = ops.convert_to_numpy(head(X))
    wanted = -np.take_along_axis(log_probs, TARGETS[..., None], -1)[..., 0] * (TARGETS > 0)
    found = ops.convert_to_numpy(head(X, targets=TARGETS, training=training))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("targets", [TARGETS, np.minimum(TARGETS, 2)], ids=["all", "short list"])
def test_training_has_the_gradients_of_the_exact_loss(targets):
    check_exact_gradients(random_head(), X, targets, RNG)


def test_without_clusters_it_is_a_softmax():
    head = random_head(cutoffs=())
    table, bias = head.get_weights()
    wanted = np.log(softmax(X @ table.T + bias))
    np.testing.assert_allclose(ops.convert_to_numpy(head(X)), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.covers("AdaptiveSoftmaxHead", kind="contract")
def test_contract():
    check_layer_contract(
        lambda: AdaptiveSoftmaxHead(V, CUTOFFS, factor=2.0),
        {"inputs": X},
        parameters=(H + 1) * 5 + H * 4 + 5 * 4 + H * 2 + 3 * 4,
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"cutoffs": (7, 3)}, "cutoffs: expected ascending numbers between 0 and 11, got .7, 3."),
        ({"cutoffs": (0, 3)}, "cutoffs: expected ascending numbers"),
        ({"cutoffs": (11,)}, "cutoffs: expected ascending numbers"),
        ({"factor": 0.5}, "factor: expected at least 1, got 0.5"),
    ],
)
def test_bad_options_are_told(options, match):
    with pytest.raises(ValueError, match=match):
        AdaptiveSoftmaxHead(V, **options)
