import numpy as np
import pytest
from keras import ops

from seqkeras.ops import ngrams
from seqkeras.ops.ngrams import NGramTable

V = 6


def numpy(x):
    return ops.convert_to_numpy(x)


def table(contexts, entries, rng):
    """An `NGramTable` of entries (context's place, word), with random a and b."""
    entries = sorted(entries)
    begins = [sum(context < h for context, _ in entries) for h in range(contexts + 1)]
    return NGramTable(
        ops.convert_to_tensor(np.array(begins, "int32")),
        ops.convert_to_tensor(np.array([word for _, word in entries], "int32")),
        ops.convert_to_tensor(rng.random(len(entries)).astype("float32")),
        ops.convert_to_tensor(rng.random(contexts).astype("float32")),
    )


def random_tables(seed, shares=(0.4, 0.1)):
    """Tables of pairs and triples, and their entries as lists."""
    rng = np.random.default_rng(seed)
    pairs = [(h, w) for h in range(V) for w in range(V) if rng.random() < shares[0]]
    triples = [(h, w) for h in range(len(pairs)) for w in range(V) if rng.random() < shares[1]]
    return [table(V, pairs, rng), table(len(pairs), triples, rng)], [pairs, triples]


def place(entries, context, word):
    return entries.index((context, word)) if (context, word) in entries else -1


@pytest.mark.parametrize("seed", range(3))
def test_find_successors_finds_what_a_list_has(seed):
    (pairs, _), (entries, _) = random_tables(seed)
    contexts, words = np.meshgrid(np.arange(-1, V), np.arange(V))
    found = ngrams.find_successors(contexts.astype("int32"), words.astype("int32"), pairs)
    expected = [
        [place(entries, h, w) for h, w in zip(*row, strict=True)]
        for row in zip(contexts.tolist(), words.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(numpy(found), expected)
    assert numpy(found).dtype == "int32"


@pytest.mark.parametrize("entries", [[(0, 0)], [(0, 5)], [(5, 3)], [(2, w) for w in range(V)]])
def test_find_successors_at_the_edges(entries):
    one = table(V, entries, np.random.default_rng(0))
    contexts, words = np.meshgrid(np.arange(V, dtype="int32"), np.arange(V, dtype="int32"))
    found = numpy(ngrams.find_successors(contexts, words, one))
    assert {(h, w) for h in range(V) for w in range(V) if found[w, h] >= 0} == set(entries)
    assert sorted(found[found >= 0]) == list(range(len(entries)))


def test_places_are_of_the_ngrams_that_end_there():
    tables, (pairs, triples) = random_tables(4, shares=(0.7, 0.5))
    ids = np.random.default_rng(5).integers(0, V, (4, 9)).astype("int32")
    ones, twos, threes = map(numpy, ngrams.ngram_places(ids, tables))
    np.testing.assert_array_equal(ones, ids)
    assert (twos[:, 0] == -1).all()
    assert (threes[:, :2] == -1).all()
    for row, (two, three) in zip(ids.tolist(), zip(twos, threes, strict=True), strict=True):
        for t in range(1, 9):
            assert two[t] == place(pairs, row[t - 1], row[t])
            assert three[t] == place(triples, two[t - 1], row[t])
    assert (threes >= 0).any()


def backed_off(context, word, unigram, tables, entries):
    """p of a word after places (1-gram, pair) of a context, as the recursion says."""
    p = unigram[word]
    for h, of_order, listed in zip(context, tables, entries, strict=True):
        if h >= 0:
            at = place(listed, h, word)
            share = numpy(of_order.shares)[at] if at >= 0 else 0.0
            p = share + numpy(of_order.backoffs)[h] * p
    return p


@pytest.mark.parametrize("per_row", [1, 2, 256])
def test_distributions_and_single_probabilities_are_the_recursion(monkeypatch, per_row):
    monkeypatch.setattr(ngrams, "_SUCCESSORS_PER_ROW", per_row)  # of the list: many parts, or one
    tables, entries = random_tables(6, shares=(0.6, 0.4))
    unigram = np.random.default_rng(7).random(V).astype("float32")
    ones = np.array([0, 1, 2, 3, 4, 5, 5, 0], "int32")
    twos = np.array([3, -1, 0, len(entries[0]) - 1, -1, 7, -1, 3], "int32")
    expected = [
        [backed_off(context, w, unigram, tables, entries) for w in range(V)]
        for context in zip(ones.tolist(), twos.tolist(), strict=True)
    ]
    places = [ones, twos, twos]
    found = numpy(ngrams.ngram_distributions(places, unigram, tables))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    for w in range(V):
        targets = np.full_like(ones, w)
        single = ngrams.ngram_probabilities(places, targets, unigram, tables)
        np.testing.assert_allclose(numpy(single), found[:, w], rtol=1e-6)


def test_an_order_without_ngrams_changes_nothing():
    rng = np.random.default_rng(8)
    tables = [table(V, [], rng)._replace(backoffs=np.ones(V, "float32")), table(0, [], rng)]
    unigram = np.full(V, 1 / V, "float32")
    places = ngrams.ngram_places(np.array([[1, 2, 3]], "int32"), tables)
    assert (numpy(places[1]) == -1).all()
    assert (numpy(places[2]) == -1).all()
    flat = [ops.reshape(x, (-1,)) for x in places]
    found = numpy(ngrams.ngram_distributions(flat, unigram, tables))
    np.testing.assert_allclose(found, np.tile(unigram, (3, 1)))
