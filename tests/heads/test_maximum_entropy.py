import numpy as np
import pytest
from keras import ops

from seqkeras.constants import END, PAD, START
from seqkeras.counts import count_ngrams, maximum_entropy
from seqkeras.layers import MaximumEntropyHead, RecentTokens, TokenEmbedding
from tests.contract import check_layer_contract
from tests.counts.exact_kneser_ney import toy_corpus
from tests.gradients import value_and_gradients

V, H, B, T = 8, 4, 3, 9
RNG = np.random.default_rng(0)
STREAM = np.concatenate(toy_corpus(np.random.default_rng(1), sentences=30, vocabulary_size=V))
IDS = np.stack([np.concatenate([[END], STREAM[i : i + T - 1]]) for i in (0, 20, 40)])
X = RNG.normal(size=(B, T, H)).astype("float32")


def counted(order):
    return count_ngrams([STREAM], order, V)


def made(order, slots=None, **options):
    """A head with weights drawn at random, and the tokens before each prediction."""
    head = MaximumEntropyHead.from_counts(counted(order), slots=slots, **options)
    recent = RecentTokens(order - 1)(IDS)
    head(X, recent=recent)
    for weight in head.trainable_weights:
        weight.assign(RNG.normal(size=weight.shape))
    return head, recent


def occurring(order):
    """The k-grams of the stream as a set of tuples, k = 2..n."""
    return {
        tuple(STREAM[i : i + k].tolist())
        for k in range(2, order + 1)
        for i in range(len(STREAM) - k + 1)
    }


def places(order):
    """The place of each k-gram among those of its order: sorted by its words."""
    found = {}
    for k in range(2, order + 1):
        counts = counted(order)
        grams = [(w,) for w in range(V)]
        for keys in counts.keys[: k - 1]:
            grams = [(*grams[key // V], int(key % V)) for key in keys]
        found |= {gram: place for place, gram in enumerate(grams)}
    return found


@pytest.mark.covers("MaximumEntropyHead", kind="oracle")
@pytest.mark.parametrize("order", [2, 3, 5])
def test_logits_are_those_of_the_network_and_of_every_ngram(order):
    head, recent = made(order)
    found = ops.convert_to_numpy(head(X, recent=recent))
    table, bias = ops.convert_to_numpy(head.table), ops.convert_to_numpy(head.bias)
    weights = [ops.convert_to_numpy(w) for w in head.ngram_weights]
    place, seen = places(order), occurring(order)
    for b in range(B):
        for t in range(T):
            wanted = table @ X[b, t] + bias
            for k in range(2, order + 1):
                for w in range(V):
                    gram = (*IDS[b, max(t - k + 2, 0) : t + 1].tolist(), w)
                    if gram in seen and len(gram) == k:
                        wanted[w] += weights[k - 2][place[gram]]
            np.testing.assert_allclose(found[b, t], wanted, rtol=1e-4, atol=1e-4)


def test_without_the_hidden_state_it_is_the_maximum_entropy_model():
    order = 3
    head, recent = made(order)
    model = maximum_entropy(counted(order), steps=20)
    head.own_table.assign(np.zeros((V, H)))
    bias = np.array(model.weights[0])
    bias[[PAD, START]] = -1e9
    head.bias.assign(bias)
    for ours, theirs in zip(head.ngram_weights, model.weights[1:], strict=True):
        ours.assign(theirs)
    p = ops.convert_to_numpy(ops.softmax(head(X, recent=recent)))
    for b in range(B):
        for t in range(2, T):  # before that the model's contexts would begin with START
            np.testing.assert_allclose(p[b, t], model.distribution(IDS[b, : t + 1]), atol=1e-5)


def test_with_no_weights_yet_it_is_the_softmax():
    head = MaximumEntropyHead.from_counts(counted(4))
    found = ops.convert_to_numpy(head(X, recent=RecentTokens(3)(IDS)))
    table = ops.convert_to_numpy(head.table)
    np.testing.assert_allclose(found, X @ table.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("slots", [None, 7])
def test_gradients_of_the_weights(slots):
    """p - onehot, summed over all predictions in which an n-gram could have taken part."""
    order = 3
    head, recent = made(order, slots)
    targets = RNG.integers(3, V, size=(B, T))
    targets[1, 4:] = PAD
    upstream = RNG.normal(size=(B, T)).astype("float32")

    def loss(x):
        return ops.sum(upstream * head(x, targets=targets, training=True, recent=recent))

    variables = head.ngram_weights
    _, _, by_weights = value_and_gradients(loss, [X], variables)
    p = ops.convert_to_numpy(ops.softmax(head(X, recent=recent)))
    place, seen = places(order), occurring(order)
    wanted = [np.zeros(w.shape) for w in variables]
    for b in range(B):
        for t in range(T):
            if targets[b, t] == PAD:
                continue
            for k in (2, 3):
                for w in range(V):
                    gram = (*IDS[b, max(t - k + 2, 0) : t + 1].tolist(), w)
                    if gram in seen and len(gram) == k:
                        error = p[b, t, w] - (w == targets[b, t])
                        at = place[gram] if slots is None else slot(place[gram], k, order, slots)
                        wanted[0 if slots else k - 2][at] += upstream[b, t] * error
    for found, expected in zip(by_weights, wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_losses_are_those_of_the_logits():
    head, recent = made(3)
    targets = RNG.integers(3, V, size=(B, T))
    targets[0, 2:] = PAD
    log_p = ops.convert_to_numpy(ops.log_softmax(head(X, recent=recent)))
    wanted = np.where(
        targets == PAD, 0.0, -np.take_along_axis(log_p, targets[..., None], -1)[..., 0]
    )
    for training in (False, True):
        found = head(X, targets=targets, training=training, recent=recent)
        np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=1e-4, atol=1e-5)


def test_padding_full_of_garbage_changes_nothing():
    head, recent = made(3)
    targets = np.full((B, T), 4)
    targets[:, 5:] = PAD
    garbage = X.copy()
    garbage[:, 5:] = np.nan
    found = ops.convert_to_numpy(head(garbage, targets=targets, training=True, recent=recent))
    wanted = ops.convert_to_numpy(head(X, targets=targets, training=True, recent=recent))
    np.testing.assert_array_equal(found, wanted)


def test_one_step_is_a_step_of_the_sequence():
    head, recent = made(4)
    whole = ops.convert_to_numpy(head(X, recent=recent))
    step = head(X[:, 3], recent=recent[:, 3])
    np.testing.assert_allclose(ops.convert_to_numpy(step), whole[:, 3], rtol=1e-5, atol=1e-5)


def slot(place, k, order, slots):
    """A multiplicative hash, in 32 bits that wrap around."""
    product = (place * (order - 1) + k - 2) * -1640531527
    return ((product + 2**31) % 2**32 - 2**31) % slots


def test_slots_are_shared_by_all_orders():
    head, recent = made(4, slots=5)
    (weights,) = head.ngram_weights
    assert weights.shape == (5,)
    before = ops.convert_to_numpy(head(X, recent=recent))
    for index in range(5):
        changed = np.zeros(5)
        changed[index] = 1.0
        weights.assign_add(changed)
        after = ops.convert_to_numpy(head(X, recent=recent))
        assert (after > before + 0.5).any(), "nothing has this slot"
        before = after


def test_it_can_be_tied_to_an_embedding():
    embedding = TokenEmbedding(V, H)
    head = MaximumEntropyHead.from_counts(counted(2), tied_to=embedding)
    head(X, recent=RecentTokens(1)(IDS))
    assert head.table is embedding.embeddings


def test_n_grams_longer_than_the_text():
    """There are none: an order without entries."""
    counts = count_ngrams([[4, 5]], 5, V)
    head = MaximumEntropyHead.from_counts(counts)
    found = head(X, recent=RecentTokens(4)(IDS))
    assert np.isfinite(ops.convert_to_numpy(found)).all()


@pytest.mark.covers("MaximumEntropyHead", kind="contract")
@pytest.mark.parametrize("slots", [None, 20])
def test_contract(slots):
    counts = counted(3)
    ngrams = slots or sum(len(keys) for keys in counts.keys)
    check_layer_contract(
        lambda: MaximumEntropyHead.from_counts(counts, slots=slots, seed=3),
        {"inputs": X, "recent": ops.convert_to_numpy(RecentTokens(2)(IDS))},
        parameters=(H + 1) * V + ngrams,
    )


@pytest.mark.tensorflow  # JAX gives NaN in a graph, as `require` says
def test_ids_out_of_range_fail():
    head = MaximumEntropyHead.from_counts(counted(2))
    with pytest.raises(Exception, match="expected ids from 0 to 7, got others"):
        head(X, recent=np.full((B, T, 1), V))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "mixed_bfloat16"])
def test_the_weights_of_ngrams_are_float32_whatever_the_rest_is(dtype):
    head = MaximumEntropyHead.from_counts(counted(3), dtype=dtype)
    found = head(X, recent=RecentTokens(2)(IDS))
    assert found.dtype == "float32"
    assert {w.dtype for w in head.ngram_weights} == {"float32"}


def test_what_does_not_fit_is_told():
    head = MaximumEntropyHead(V, [3, 2])
    for recent, got in [
        (None, "None"),
        (RecentTokens(3)(IDS), r"int32 of shape \(3, 9, 3\)"),
        (RecentTokens(2)(IDS)[:, :4], r"int32 of shape \(3, 4, 2\)"),
        (RecentTokens(2)(IDS)[:1], r"int32 of shape \(1, 9, 2\)"),
        (np.zeros((B, T, 2), "float32"), r"float32 of shape \(3, 9, 2\)"),
    ]:
        message = rf"expected recent, integers of shape \(3, 9, 2\).*got {got}.*RecentTokens\(2\)"
        with pytest.raises(ValueError, match=message):
            head(X, recent=recent)
    with pytest.raises(ValueError, match="sizes: expected a number of k-grams"):
        MaximumEntropyHead.from_counts(counted(1))
    with pytest.raises(ValueError, match="slots: expected an integer of at least 1 or None, got 0"):
        MaximumEntropyHead(V, [3], slots=0)
