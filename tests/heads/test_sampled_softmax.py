import itertools

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.heads.sampled_softmax import OBJECTIVES
from seqkeras.layers import SampledSoftmaxHead, SoftmaxHead, TokenEmbedding
from seqkeras.ops.sampled_softmax import candidate_scores, importance_loss
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

V, H, N = 9, 5, 6
RNG = np.random.default_rng(0)
ROWS, TABLE = (RNG.normal(size=(n, H)).astype("float32") for n in (N, V))
BIAS = RNG.normal(size=V).astype("float32")
LABELS = np.array([1, 2, 3, 1, 8, 5], "int32")
COUNTS = [0, 9, 4, 1, 30, 2, 5, 3, 3]


def shares(power=1.0):
    weights = np.maximum(COUNTS, 0.5) ** power
    return weights / weights.sum()


def logsumexp(x):
    return np.log(np.sum(np.exp(x)))


def softplus(x):
    return np.log1p(np.exp(x))


def by_hand(objective, samples, q):
    """The losses of ROWS, one row and one sample at a time."""
    losses = []
    for row, label in zip(ROWS.astype("float64"), LABELS, strict=True):
        s = TABLE @ row + BIAS
        c = s - np.log(len(samples) * q)
        others = [j for j in samples if j != label]
        total = logsumexp(np.array([c[label], *c[others]]))
        if objective in ("nce", "negative"):
            scores = c if objective == "nce" else s
            losses.append(softplus(-scores[label]) + sum(softplus(scores[j]) for j in samples))
            continue
        losses.append(total - c[label])
        if objective == "blackout":
            losses[-1] -= sum(np.log1p(-np.exp(c[j] - total)) for j in others)
    return losses


def head_with_samples(objective, samples, power=1.0, **options):
    head = SampledSoftmaxHead(V, objective, len(samples), COUNTS, power, **options)
    head.build((None, H))
    head.set_weights([TABLE, BIAS, *head.get_weights()[2:]])
    head.draw = lambda: ops.convert_to_tensor(samples)
    return head


@pytest.mark.covers("SampledSoftmaxHead", kind="oracle")
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
@pytest.mark.parametrize("power", [1.0, 0.75])
def test_losses_are_those_of_the_papers(objective, power):
    samples = np.array([4, 1, 4, 0, 7], "int32")  # with a repetition, and targets among them
    head = head_with_samples(objective, samples, power)
    found = ops.convert_to_numpy(head(ROWS, targets=LABELS, training=True))
    np.testing.assert_allclose(
        found, by_hand(objective, samples, shares(power)), rtol=1e-4, atol=1e-5
    )


def test_all_words_as_candidates_are_the_full_softmax():
    """Each of them drawn once and expected once; values and gradients."""

    def sampled(rows, table, bias):
        targets, samples, hits = candidate_scores(
            rows, LABELS, np.arange(V), lambda words: [ops.take(x, words, 0) for x in (table, bias)]
        )
        return ops.sum(importance_loss(targets, samples, hits) * WEIGHTS)

    def full(rows, table, bias):
        log_probs = ops.log_softmax(ops.matmul(rows, ops.transpose(table)) + bias)
        return -ops.sum(
            ops.take_along_axis(log_probs, LABELS[:, None].astype("int32"), -1)[:, 0] * WEIGHTS
        )

    WEIGHTS = RNG.normal(size=N).astype("float32")
    (value, found, _), (wanted_value, wanted, _) = (
        value_and_gradients(function, [ROWS, TABLE, BIAS]) for function in (sampled, full)
    )
    np.testing.assert_allclose(value, wanted_value, rtol=1e-5)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_blackout_with_all_others_weighs_the_full_softmax():
    """With V - 1 samples its p is exp(s) / q, normalised: Ji et al. 2015, equation 5."""
    (label,), row = LABELS[:1], ROWS[:1]
    samples = np.array([j for j in range(V) if j != label], "int32")
    head = head_with_samples("blackout", samples)
    s = TABLE @ row[0] + BIAS
    p = np.exp(s) / shares()
    p /= p.sum()
    found = float(head(row, targets=LABELS[:1], training=True)[0])
    assert found == pytest.approx(-np.log(p[label]) - np.log1p(-p[samples]).sum(), rel=1e-4)


@pytest.mark.parametrize("objective", ["nce", "negative"])
def test_the_best_scores_are_what_evaluation_takes_them_for(objective):
    """At the true log-probabilities the gradient, expected over data and noise, is zero."""
    p = RNG.dirichlet(np.ones(V))
    q, k = shares(0.75), 3
    best = np.log(p) if objective == "nce" else np.log(p) - np.log(k * q)
    head = SampledSoftmaxHead(V, objective, k, COUNTS, 0.75)
    head.build((None, 1))
    head.set_weights([np.zeros((V, 1)), best, *head.get_weights()[2:]])
    rows, every = np.ones((V, 1), "float32"), np.arange(V, dtype="int32")
    targets_of = ops.convert_to_tensor(p.astype("float32"))
    gradient = np.zeros(V)
    for j in range(V):
        # k times the same sample has the expected gradient of k samples, weighed by its share.
        head.draw = lambda j=j: ops.full((k,), j, "int32")

        def loss():
            # Not through the call: id 0 would be PAD, which is no target.
            losses = head._objective(
                ops.convert_to_tensor(rows), ops.convert_to_tensor(every), None, 0.0
            )
            return ops.sum(losses * targets_of)

        _, _, (_, of_bias) = value_and_gradients(loss, [], head.trainable_variables)
        gradient += q[j] * of_bias
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(ops.softmax(head(rows[:1])))[0], p, rtol=1e-4)


def test_the_bias_falls_as_more_is_sampled():
    """The expected gradient, over all that can be drawn, against that of the full softmax."""

    def expected_gradient(k):
        head = head_with_samples("importance", np.zeros(k, "int32"))
        total = 0.0
        for drawn in itertools.product(range(V), repeat=k):
            head.draw = lambda drawn=drawn: ops.convert_to_tensor(np.array(drawn, "int32"))
            _, (of_rows,), _ = value_and_gradients(
                lambda x: ops.sum(head(x, targets=LABELS, training=True)), [ROWS]
            )
            total = total + np.prod(shares()[list(drawn)]) * of_rows
        return total

    p = np.exp(ROWS @ TABLE.T + BIAS)
    p /= p.sum(-1, keepdims=True)
    full = (p - np.eye(V)[LABELS]) @ TABLE
    one, two = (np.abs(expected_gradient(k) - full).mean() for k in (1, 2))
    assert 0.01 < two < 0.8 * one


@pytest.mark.parametrize("counts", [COUNTS, None])
def test_words_are_drawn_as_often_as_they_should(counts):
    head = SampledSoftmaxHead(V, samples=20_000, counts=counts, power=0.5, seed=3)
    found = np.bincount(ops.convert_to_numpy(head.draw()), minlength=V)
    ranks = np.arange(V)
    weights = np.maximum(COUNTS, 0.5) if counts else np.log((ranks + 2) / (ranks + 1))
    expected = weights**0.5 / np.sum(weights**0.5) * head.samples
    assert np.sum((found - expected) ** 2 / expected) < 26.1  # chi-square, 8 degrees, p = 0.001


def test_every_step_draws_anew_and_a_seed_fixes_it():
    first, again = (SampledSoftmaxHead(V, samples=50, seed=4) for _ in range(2))
    a, b, c = (ops.convert_to_numpy(head.draw()).tolist() for head in (first, first, again))
    assert a == c != b


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_evaluation_is_the_full_softmax(objective):
    head = head_with_samples(objective, np.array([1], "int32"))
    full = SoftmaxHead(V)
    full.build((None, H))
    full.set_weights([TABLE, BIAS])
    wanted = ops.convert_to_numpy(full(ROWS))
    if objective == "negative":
        wanted = wanted + np.log(shares())
    np.testing.assert_allclose(ops.convert_to_numpy(head(ROWS)), wanted, rtol=1e-4, atol=1e-5)
    losses = ops.convert_to_numpy(head(ROWS, targets=LABELS))
    exact = [logsumexp(row) - row[label] for row, label in zip(wanted, LABELS, strict=True)]
    np.testing.assert_allclose(losses, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("objective", ["nce", "negative"])
def test_scores_that_are_judged_alone_start_where_they_belong(objective):
    """From words that are all as likely, and from the words' shares; no loss is far from 0."""
    head = SampledSoftmaxHead(V, objective, 50, COUNTS, seed=1)
    zeros = np.zeros((2, H), "float32")
    p = ops.convert_to_numpy(ops.softmax(head(zeros)))
    np.testing.assert_allclose(
        p, [shares() if objective == "negative" else np.full(V, 1 / V)] * 2, rtol=1e-4
    )
    losses = ops.convert_to_numpy(head(zeros, targets=np.array([3, 5]), training=True))
    assert (losses < 10).all()


def test_a_tied_head_trains_the_embedding():
    embedding = TokenEmbedding(V, H)
    head = SampledSoftmaxHead(V, samples=4, tied_to=embedding, seed=1)
    head(ROWS)
    assert [w.path for w in head.trainable_variables] == [
        v.path for v in (head.bias, embedding.embeddings)
    ]
    _, _, (_, of_table) = value_and_gradients(
        lambda: ops.sum(head(ROWS, targets=LABELS, training=True)),
        [],
        [head.bias, embedding.embeddings],
    )
    assert np.any(dense(of_table)[LABELS] != 0)


def dense(gradient):
    return np.asarray(keras.ops.convert_to_tensor(gradient))


@pytest.mark.covers("SampledSoftmaxHead", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    check_layer_contract(
        lambda: SampledSoftmaxHead(V, "negative", 3, COUNTS, power=0.75, seed=3),
        {"inputs": RNG.normal(size=(3, 4, H)).astype("float32")},
        parameters=(H + 1) * V,
        jit_compile=jit_compile,
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"objective": "hinge"}, "objective: expected one of .*, got 'hinge'"),
        ({"samples": 0}, "samples: expected at least 1, got 0"),
        ({"counts": COUNTS[1:]}, "counts: expected 9 numbers >= 0"),
    ],
)
def test_bad_options_are_told(options, match):
    with pytest.raises(ValueError, match=match):
        SampledSoftmaxHead(V, **options)
