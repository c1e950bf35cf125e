import numpy as np
import pytest

from seqkeras.constants import END, START
from seqkeras.counts import NGramCounts, count_ngrams
from tests.counts.exact_kneser_ney import toy_corpus, windows

V = 9


def as_dictionaries(counts):
    """The counts of every order, by the words of the n-grams."""
    size = counts.vocabulary_size
    grams = [(w,) for w in range(size)]
    found = [{g: c for g, c in zip(grams, counts.counts[0].tolist(), strict=True) if c}]
    for keys, values in zip(counts.keys, counts.counts[1:], strict=True):
        grams = [(*grams[key // size], key % size) for key in keys.tolist()]
        found.append(dict(zip(grams, values.tolist(), strict=True)))
    return found


def assert_same(counts, other):
    assert counts.vocabulary_size == other.vocabulary_size
    for mine, its in zip(counts.keys, other.keys, strict=True):
        np.testing.assert_array_equal(mine, its)
    for mine, its in zip(counts.counts, other.counts, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_counts_are_those_of_every_window(order):
    corpus = toy_corpus(np.random.default_rng(0))
    found = as_dictionaries(count_ngrams(corpus, order, V))
    for k in range(1, order + 1):
        grams = [gram for sentence in corpus for gram in windows(sentence, k)]
        assert found[k - 1] == {gram: grams.count(gram) for gram in set(grams)}


def test_no_ngram_reaches_into_another_sentence():
    _, pairs, triples = as_dictionaries(count_ngrams([[4, END], [5, 6, END]], 3, V))
    assert pairs == {(START, 4): 1, (4, END): 1, (START, 5): 1, (5, 6): 1, (6, END): 1}
    assert triples == {(START, 4, END): 1, (START, 5, 6): 1, (5, 6, END): 1}


def test_a_text_as_one_sequence_is_a_stream():
    _, pairs = as_dictionaries(count_ngrams([[4, END, 5, 6, END]], 2, V))
    assert pairs[END, 5] == 1
    assert (START, 5) not in pairs


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("cut", [1, 13, 39])
def test_counts_of_shards_add_up_exactly(order, cut):
    corpus = toy_corpus(np.random.default_rng(1))
    whole = count_ngrams(corpus, order, V)
    added = count_ngrams(corpus[:cut], order, V) + count_ngrams(corpus[cut:], order, V)
    assert_same(added, whole)


def test_three_shards_add_up_in_any_order():
    corpus = toy_corpus(np.random.default_rng(2))
    a, b, c = (count_ngrams(corpus[i::3], 3, V) for i in range(3))
    assert_same((a + b) + c, c + (b + a))


def test_one_token_and_empty_sequences():
    (ones, pairs) = as_dictionaries(count_ngrams([[], [END], []], 2, V))
    assert ones == {(END,): 1}
    assert pairs == {(START, END): 1}
    counts = count_ngrams([[END]], 4, V)  # longer n-grams than there are
    assert [len(c) for c in counts.counts] == [V, 1, 0, 0]
    assert_same(counts + counts, count_ngrams([[END], [END]], 4, V))


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([[4, 9]], "ids from 0 to 8 without PAD .0. and START .1., .* got 9"),
        ([[4], [-1]], "got -1"),
        ([[0]], "got 0"),
        ([[4, 1]], "got 1"),
        ([[4], [4.0]], "sequence 1: expected integer ids .N,., got float64"),
        ([[[4]]], "sequence 0: expected integer ids .N,., got int64 of shape .1, 1."),
        ([], "expected at least one token to count, got none"),
        ([[], []], "expected at least one token"),
    ],
)
def test_errors_name_the_sequence_and_the_id(sequences, message):
    with pytest.raises(ValueError, match=message):
        count_ngrams(sequences, 2, V)


def test_other_errors():
    with pytest.raises(ValueError, match="order: expected at least 1, got 0"):
        count_ngrams([[4]], 0, V)
    with pytest.raises(ValueError, match="same order and vocabulary size to add, got .1, 9. and"):
        count_ngrams([[4]], 1, V) + count_ngrams([[4]], 2, V)
    with pytest.raises(ValueError, match="got .2, 9. and .2, 10."):
        count_ngrams([[4]], 2, V) + count_ngrams([[4]], 2, V + 1)
    assert isinstance(count_ngrams([[4]], 2, V), NGramCounts)
