"""Against the matrix written down entry by entry."""

import sys

import numpy as np
import pytest

from seqkeras.constants import PAD, START
from seqkeras.counts import sparse_nonnegative
from seqkeras.counts.hashing import hashed
from seqkeras.counts.ngrams import join_with_starts
from seqkeras.counts.skip_grams import count_skip_grams, skip_grams
from seqkeras.counts.sparse_nonnegative import _Adjustments, _left_out, _left_out_loss, _part
from tests.counts.checks import check_distributions
from tests.counts.exact_kneser_ney import toy_corpus

pytestmark = pytest.mark.tensorflow

V = 7
CORPUS = toy_corpus(np.random.default_rng(0), sentences=12, vocabulary_size=V)
WORDS = [w for w in range(V) if w not in (PAD, START)]
HISTORIES = [(), (3,), (4, 3), (6, 6, 6), (3, 4, 3, 4), (5, 5, 3, 6, 4)]
EVERY_KIND = pytest.mark.parametrize(
    ("order", "gaps"), [(1, False), (2, True), (3, False), (3, True), (4, False), (4, True)]
)


def contexts_of(history, kinds):
    """`(index of the kind, words)` of every context that lies in the text after START."""
    history = (START, *(int(w) for w in history))
    for index, (r, s, a) in enumerate(kinds):
        if r + (s if r else 0) + a <= len(history):
            end = len(history)
            remote = history[end - a - s - r : end - a - s] if r else ()
            yield index, (*remote, *history[end - a :]) if a else remote


class Naive:
    """The model with weights by kind and bucket, in plain Python."""

    def __init__(self, corpus, kinds, by_kind, by_bucket, by_context, by_word):
        self.kinds, self.by_kind, self.by_bucket = kinds, by_kind, by_bucket
        self.by_context, self.by_word = by_context, by_word
        self.counts, self.totals = {}, {}
        for sentence in corpus:
            for t, word in enumerate(sentence):
                for context in contexts_of(sentence[:t], kinds):
                    key = (context, int(word))
                    self.counts[key] = self.counts.get(key, 0) + 1
                    self.totals[context] = self.totals.get(context, 0) + 1

    def place(self, context):
        """Where a context stands among those of its kind, in the order of their words."""
        index, words = context
        if len(words) < 2:
            return words[0] if words else 0
        return sorted(w for i, w in self.totals if i == index).index(words)

    def entry(self, context, word, count, total):
        if not count or not total:
            return 0.0
        index = context[0]
        adjustment = self.by_kind[1 + index] + self.by_bucket[index][bucket(count), bucket(total)]
        adjustment += self.by_context[index][hashed(self.place(context), 2**16)]
        return np.exp(adjustment + self.by_word[index][word]) * count / total

    def distribution(self, history, left_out=None):
        p = {w: np.exp(self.by_kind[0]) / len(WORDS) for w in WORDS}
        for context in contexts_of(history, self.kinds):
            out = left_out is not None
            total = self.totals.get(context, 0) - out
            for w in WORDS:
                count = self.counts.get((context, w), 0) - (out and w == left_out)
                p[w] += self.entry(context, w, count, total)
        return np.array([p[w] for w in WORDS]) / sum(p.values())


def bucket(count):
    return count if count < 8 else 5 + int(np.log2(count))


def some_weights(kinds):
    rng = np.random.default_rng(3)
    shapes = (32, 32), (2**16,), (V,)
    by_kind = rng.normal(0, 0.5, 1 + len(kinds)).astype("float32")
    others = [rng.normal(0, 0.5, (len(kinds), *s)).astype("float32") for s in shapes]
    return by_kind, *others


def adjusted(kinds):
    """`_Adjustments` that are `some_weights`."""
    theta = _Adjustments(len(kinds), V)
    for variable, values in zip(theta.variables, some_weights(kinds), strict=True):
        variable.assign(values.reshape(variable.shape))
    return theta


@EVERY_KIND
def test_every_position_leaves_itself_out(order, gaps):
    kinds, ids = skip_grams(order, gaps), join_with_starts(CORPUS, V)
    parts = [_part(count_skip_grams(ids, kind, V), ids, V) for kind in kinds]
    seen = [_left_out(part) for part in parts]
    found = float(_left_out_loss(parts, seen, adjusted(kinds), V))
    naive = Naive(CORPUS, kinds, *some_weights(kinds))
    expected = [
        -np.log(naive.distribution(s[:t], left_out=w)[WORDS.index(w)])
        for s in CORPUS
        for t, w in enumerate(s)
    ]
    assert found == pytest.approx(np.mean(expected), rel=1e-5)


@EVERY_KIND
def test_the_tables_are_the_matrix(order, gaps, monkeypatch):
    kinds = skip_grams(order, gaps)
    module = sys.modules["seqkeras.counts.sparse_nonnegative"]  # its function has its name
    monkeypatch.setattr(module, "_Adjustments", lambda *_: adjusted(kinds))
    model = sparse_nonnegative(CORPUS, order, V, gaps, steps=0)
    naive = Naive(CORPUS, kinds, *some_weights(kinds))
    for history in HISTORIES:
        wanted = naive.distribution(history)
        np.testing.assert_allclose(model.distribution(history)[2:], wanted, rtol=1e-5)
        next_words = [[*history, w] for w in WORDS]
        found = [model.log_probs([words])[-1] for words in next_words]
        np.testing.assert_allclose(np.exp(found), wanted, rtol=1e-5)


@pytest.mark.parametrize("gaps", [False, True])
def test_without_adjustments_it_is_the_mean_of_relative_frequencies(gaps):
    kinds = skip_grams(3, gaps)
    model = sparse_nonnegative(CORPUS, 3, V, gaps, steps=0)
    naive = Naive(CORPUS, kinds, *(0 * weights for weights in some_weights(kinds)))
    for history in HISTORIES:
        seen = [c for c in contexts_of(history, kinds) if c in naive.totals]
        rows = [[naive.counts.get((c, w), 0) / naive.totals[c] for w in WORDS] for c in seen]
        expected = np.mean([[1 / len(WORDS)] * len(WORDS), *rows], axis=0)
        np.testing.assert_allclose(model.distribution(history)[2:], expected, rtol=1e-5)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("corpus", [[[4]], [[4, 5, 2], [4, 2]]])
def test_text_that_is_shorter_than_the_order(corpus, gaps):
    model = sparse_nonnegative(corpus, 6, V, gaps, steps=2)
    check_distributions(model)
    assert np.isfinite(model.log_probs(corpus)).all()


def test_learning_helps_on_text_that_was_not_counted():
    corpus = toy_corpus(np.random.default_rng(5), sentences=400, vocabulary_size=30)
    counted, unseen = corpus[:300], corpus[300:]
    before, after = (
        sparse_nonnegative(counted, 4, 30, steps=steps).log_probs(unseen) for steps in (0, 60)
    )
    assert after.mean() > before.mean() + 0.05


def test_gaps_help_where_the_word_between_says_nothing():
    rng = np.random.default_rng(6)
    pairs, noise = rng.integers(3, 9, 400), rng.integers(9, 40, 400)
    corpus = [[p, n, p, 2] for p, n in zip(pairs.tolist(), noise.tolist(), strict=True)]
    without, with_gaps = (
        sparse_nonnegative(corpus[:300], 3, 40, gaps).log_probs(corpus[300:]).mean()
        for gaps in (False, True)
    )
    assert with_gaps > without + 0.2


@pytest.mark.parametrize("gaps", [False, True])
def test_every_distribution_sums_to_1(gaps):
    check_distributions(sparse_nonnegative(CORPUS, 5, V, gaps, steps=5))


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="steps: expected at least 0, got -1"):
        sparse_nonnegative(CORPUS, 2, V, steps=-1)
    with pytest.raises(ValueError, match="variance: expected more than 0, got 0"):
        sparse_nonnegative(CORPUS, 2, V, variance=0)
    with pytest.raises(ValueError, match="expected at least one token to count, got none"):
        sparse_nonnegative([[]], 2, V)
