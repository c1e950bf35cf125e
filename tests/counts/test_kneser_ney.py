from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from seqkeras.constants import END, PAD, SPECIAL_TOKENS, START, UNK
from seqkeras.counts import count_ngrams, kneser_ney
from tests.counts.exact_kneser_ney import ExactKneserNey, toy_corpus

V = 9
CORPUS = toy_corpus(np.random.default_rng(0))
ONE = [[Fraction(k, 10)] * 3 for k in (3, 5, 7, 9)]
THREE = [[Fraction(k, 10), Fraction(k, 7), Fraction(k, 4)] for k in (3, 5, 7, 9)]


def exact(order, discounts, corpus=CORPUS):
    return ExactKneserNey(corpus, discounts[:order], V)


def model(order, discounts="modified", corpus=CORPUS):
    if not isinstance(discounts, str):
        discounts = [[float(d) for d in row] for row in discounts[:order]]
    return kneser_ney(count_ngrams(corpus, order, V), discounts)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("discounts", [ONE, THREE], ids=["one", "three"])
def test_probabilities_equal_exact_fractions(order, discounts):
    ours, oracle = model(order, discounts), exact(order, discounts)
    sentences = [*CORPUS[:6], (8, 8, END), (3, 8, 3, 3, 3, END), (7, 7, 7, 7, END)]
    found = ours.log_probs(sentences)
    expected = [oracle.p(w, (START, *s[:t])) for s in sentences for t, w in enumerate(s)]
    np.testing.assert_allclose(np.exp(found), [float(p) for p in expected], rtol=1e-12)
    for context in [(), (3,), (8,), (5, 3), (3, 8), (8, 3), (3, 3, 4), (6, 4, 3, 3, 5, 4, 3)]:
        p = [float(oracle.p(w, (START, *context))) for w in oracle.words]
        np.testing.assert_allclose(ours.distribution(context)[2:], p, rtol=1e-12)


def test_a_stream_equals_exact_fractions():
    stream = [tuple(w for s in CORPUS for w in s)]
    ours, oracle = model(3, THREE, stream), exact(3, THREE, stream)
    text = (3, END, 4, 3, END, 8, END)
    expected = [oracle.p(w, (START, *text[:t])) for t, w in enumerate(text)]
    np.testing.assert_allclose(np.exp(ours.log_probs([text])), np.array(expected, float), 1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("kind", ["single", "modified"])
def test_discounts_come_from_counts_of_counts(order, kind):
    size = 400  # words enough that some are rare
    corpus = toy_corpus(np.random.default_rng(3), sentences=300, vocabulary_size=size)
    counts = count_ngrams(corpus, order, size)
    oracle = ExactKneserNey(corpus, [[0, 0, 0]] * order, size)
    found = kneser_ney(counts, kind).discounts
    for k in range(1, order + 1):
        n1, n2, n3, n4 = oracle.counts_of_counts(k)
        y = Fraction(n1, n1 + 2 * n2)
        expected = [y, y, y]
        if kind == "modified":
            ratios = (Fraction(n2, n1), Fraction(n3, n2), Fraction(n4, n3))
            expected = [j - (j + 1) * y * r for j, r in enumerate(ratios, start=1)]
        np.testing.assert_allclose(found[k - 1], [float(d) for d in expected], rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_every_distribution_sums_to_1(order):
    ours = model(order, [[0.9, 1.5, 2.5]] * order)
    rng = np.random.default_rng(1)
    seen = [s[:t] for s in CORPUS for t in range(len(s))]
    unseen = [rng.integers(2, V, n) for n in range(12)]
    for context in [*seen, *unseen, rng.integers(2, V, 1000), [END], [8]]:
        p = ours.distribution(context)
        assert abs(p.sum() - 1.0) < 1e-12
        assert p[PAD] == p[START] == 0.0
        assert (np.delete(p, [PAD, START]) > 0.0).all()


def test_distribution_and_log_probs_agree():
    ours = model(4, THREE)
    for sentence in CORPUS[:8]:
        expected = [np.log(ours.distribution(sentence[:t])[w]) for t, w in enumerate(sentence)]
        np.testing.assert_allclose(ours.log_probs([sentence]), expected, rtol=1e-12)


def test_only_the_last_words_count():
    ours = model(3, THREE)
    long = np.random.default_rng(2).integers(2, V, 5000)
    expected = ours.distribution([8, 8, *long[-2:]])
    np.testing.assert_array_equal(ours.distribution(long), expected)


def test_an_unknown_context_leaves_the_shorter_one():
    ours = model(3, THREE)
    unigram = ours.distribution([8])  # id 8 never occurs
    np.testing.assert_allclose(unigram, ours.unigram)
    np.testing.assert_array_equal(ours.distribution([3, 8]), unigram)


def test_discounts_of_zero_are_relative_frequencies():
    ours = model(2, [[0] * 3] * 2, [(4, 5, END), (4, 4, END), (5, END)])
    expected = np.zeros(V)
    expected[[4, 5, END]] = 1 / 3
    np.testing.assert_allclose(ours.distribution([4]), expected, rtol=1e-12)
    assert ours.log_probs([[4, 4, 6]])[2] == -np.inf


def test_shards_give_the_same_model():
    counts = count_ngrams(CORPUS[:11], 3, V) + count_ngrams(CORPUS[11:], 3, V)
    added = kneser_ney(counts, [0.5, 0.6, 0.7])
    whole = model(3, [[0.5] * 3, [0.6] * 3, [0.7] * 3])
    np.testing.assert_array_equal(added.log_probs(CORPUS), whole.log_probs(CORPUS))


def test_one_token():
    ours = model(3, THREE, [(END,)])
    p = ours.distribution([])
    assert np.argmax(p) == END
    assert abs(p.sum() - 1.0) < 1e-12
    assert ours.log_probs([[END]]).shape == (1,)
    assert ours.log_probs([]).shape == (0,)


def test_the_tables_are_immutable():
    ours = model(2, THREE)
    for table in (ours.unigram, ours.discounts, ours.levels[0].shares, ours.levels[0].backoffs):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1.0
    with pytest.raises(AttributeError):
        ours.unigram = None


@pytest.mark.parametrize("call", ["log_probs", "distribution"])
@pytest.mark.parametrize("wrong", [V, -1, PAD, START])
def test_ids_out_of_range_raise(call, wrong):
    ours = model(2, THREE)
    with pytest.raises(ValueError, match=f"expected ids from 0 to {V - 1} .* got {wrong}"):
        ours.log_probs([[3, wrong]]) if call == "log_probs" else ours.distribution([3, wrong])


@pytest.mark.parametrize(
    ("discounts", "message"),
    [
        ("good", "expected one of .'modified', 'single'. or numbers, got 'good'"),
        ("modified", r"order 1: modified .* got \[0, 0, 0, 1\] .* give the discounts as"),
        ("single", r"order 1: single discounts need n-grams of each of the counts \[1\]"),
        ([0.5], "expected one number or three for each of 2 orders"),
        ([0.5, [0.5, 0.5]], "expected one number or three"),
        ([0.5, [1.1, 1, 1]], "from 0 to 1 for a count of 1, got 1.1 for order 2"),
        ([0.5, [0.5, -1, 1]], "from 0 to 2 for a count of 2, got -1 for order 2"),
        ([float("nan"), 0.5], "got nan for order 1"),
    ],
)
def test_discounts_that_cannot_be_had_raise(discounts, message):
    counts = count_ngrams([(4, 4, 4, 4)], 2, V)
    counts = counts if not isinstance(discounts, str) else count_ngrams([(4,)] * 4, 1, V)
    with pytest.raises(ValueError, match=message):
        kneser_ney(counts, discounts)


def read_ptb(folder):
    """Ids of the three splits, END behind every line, and V."""
    texts = {
        split: Path(folder / "ptb" / f"ptb.{split}.txt").read_text("utf-8").splitlines()
        for split in ("train", "valid", "test")
    }
    words = sorted({word for line in texts["train"] for word in line.split()} - {"<unk>"})
    ids = {"<unk>": UNK, **{w: i for i, w in enumerate(words, start=len(SPECIAL_TOKENS))}}
    coded = {
        split: [[*map(ids.__getitem__, line.split()), END] for line in lines]
        for split, lines in texts.items()
    }
    return coded, len(words) + len(SPECIAL_TOKENS)


@pytest.mark.realdata
def test_penn_treebank_perplexity(data_dir):
    """141.2 is the 5-gram of Mikolov et al. 2011 (Interspeech)."""
    coded, size = read_ptb(data_dir)
    assert size == 10_000 + 2  # PAD and START stand beside the words
    ours = kneser_ney(count_ngrams(coded["train"], 5, size), "modified")
    log_probs = ours.log_probs(coded["test"])
    assert len(log_probs) == 82_430
    assert np.exp(-log_probs.mean()) <= 141.2
