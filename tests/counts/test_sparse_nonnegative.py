"""Against the matrix written down entry by entry."""

import sys

import numpy as np
import pytest

from seqkeras.constants import PAD, START
from seqkeras.counts import count_ngrams, sparse_nonnegative
from seqkeras.counts.sparse_nonnegative import _Adjustments, _left_out, _left_out_loss, _orders
from tests.counts.checks import check_distributions
from tests.counts.exact_kneser_ney import toy_corpus

pytestmark = pytest.mark.tensorflow

V = 7
CORPUS = toy_corpus(np.random.default_rng(0), sentences=12, vocabulary_size=V)
WORDS = [w for w in range(V) if w not in (PAD, START)]


def n_grams(corpus, order):
    """How often each n-gram occurs, and how often each context goes on, by tuple of words."""
    counts, totals = {}, {}
    for sentence in corpus:
        padded = (START, *(int(w) for w in sentence))
        for t in range(1, len(padded)):
            for k in range(min(order, t + 1)):
                context = padded[t - k : t]
                counts[*context, padded[t]] = counts.get((*context, padded[t]), 0) + 1
                totals[context] = totals.get(context, 0) + 1
    return counts, totals


def bucket(count):
    return count if count < 8 else 5 + int(np.log2(count))


def contexts_of(history, order):
    history = (START, *history)
    return [history[len(history) - k :] for k in range(min(order, len(history) + 1))]


class Naive:
    """The model with weights by order and bucket, in plain Python."""

    def __init__(self, corpus, order, by_order, by_bucket):
        self.counts, self.totals = n_grams(corpus, order)
        self.order, self.by_order, self.by_bucket = order, by_order, by_bucket

    def entry(self, context, word, count, total):
        if not count or not total:
            return 0.0
        k = len(context)
        adjustment = self.by_order[k + 1] + self.by_bucket[k][bucket(count), bucket(total)]
        return np.exp(adjustment) * count / total

    def distribution(self, history, left_out=None):
        nothing = np.exp(self.by_order[0])
        p = {w: nothing / len(WORDS) for w in WORDS}
        for context in contexts_of(history, self.order):
            out = left_out is not None
            total = self.totals.get(context, 0) - out
            for w in WORDS:
                count = self.counts.get((*context, w), 0) - (out and w == left_out)
                p[w] += self.entry(context, w, count, total)
        return np.array([p[w] for w in WORDS]) / sum(p.values())


def some_weights(order):
    rng = np.random.default_rng(3)
    by_order = rng.normal(0, 0.5, order + 1).astype("float32")
    return by_order, rng.normal(0, 0.5, (order, 32, 32)).astype("float32")


def adjusted(counts):
    """`_Adjustments` that are `some_weights`."""
    theta = _Adjustments(counts)
    by_order, by_bucket = some_weights(counts.order)
    theta.variables[0].assign(by_order)
    theta.variables[1].assign(by_bucket.reshape(counts.order, -1))
    return theta


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_every_position_leaves_itself_out(order):
    counts = count_ngrams(CORPUS, order, V)
    orders = _orders(counts)
    seen = [_left_out(o) for o in orders]
    found = float(_left_out_loss(orders, seen, adjusted(counts), counts))
    naive = Naive(CORPUS, order, *some_weights(order))
    expected = [
        -np.log(naive.distribution(s[:t], left_out=w)[WORDS.index(w)])
        for s in CORPUS
        for t, w in enumerate(s)
    ]
    assert found == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_tables_are_the_matrix(order, monkeypatch):
    counts = count_ngrams(CORPUS, order, V)
    theta = adjusted(counts)
    module = sys.modules["seqkeras.counts.sparse_nonnegative"]  # its function has its name
    monkeypatch.setattr(module, "_Adjustments", lambda _: theta)
    model = sparse_nonnegative(counts, steps=0)
    naive = Naive(CORPUS, order, *some_weights(order))
    for history in [(), (3,), (4, 3), (6, 6, 6), (3, 4, 3, 4), (5, 5, 3, 6, 4)]:
        np.testing.assert_allclose(
            model.distribution(history)[2:], naive.distribution(history), rtol=1e-5
        )


def test_without_adjustments_it_is_the_mean_of_relative_frequencies():
    model = sparse_nonnegative(count_ngrams(CORPUS, 3, V), steps=0)
    counts, totals = n_grams(CORPUS, 3)
    for history in [(), (3,), (4, 3), (3, 4, 3, 4)]:
        seen = [c for c in contexts_of(history, 3) if c in totals]
        rows = [[counts.get((*c, w), 0) / totals[c] for w in WORDS] for c in seen]
        expected = np.mean([[1 / len(WORDS)] * len(WORDS), *rows], axis=0)
        np.testing.assert_allclose(model.distribution(history)[2:], expected, rtol=1e-5)


def test_learning_helps_on_text_that_was_not_counted():
    rng = np.random.default_rng(5)
    corpus = toy_corpus(rng, sentences=400, vocabulary_size=30)
    counts, unseen = count_ngrams(corpus[:300], 4, 30), corpus[300:]
    before, after = (sparse_nonnegative(counts, steps).log_probs(unseen) for steps in (0, 60))
    assert after.mean() > before.mean() + 0.05


def test_every_distribution_sums_to_1():
    model = sparse_nonnegative(count_ngrams(CORPUS, 5, V), steps=5)
    check_distributions(model)


def test_a_negative_number_of_steps_raises():
    with pytest.raises(ValueError, match="expected at least 0, got -1"):
        sparse_nonnegative(count_ngrams(CORPUS, 2, V), steps=-1)
