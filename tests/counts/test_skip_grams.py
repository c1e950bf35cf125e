"""Against loops over all positions."""

import collections

import numpy as np
import pytest

from seqkeras.constants import START
from seqkeras.counts.ngrams import join_with_starts
from seqkeras.counts.skip_grams import SkipGram, count_skip_grams, find_contexts, skip_grams
from tests.counts.exact_kneser_ney import toy_corpus

V = 7
CORPUS = toy_corpus(np.random.default_rng(0), sentences=12, vocabulary_size=V)
IDS = join_with_starts(CORPUS, V)


def contexts(kind):
    """The context of every position that has one, as a tuple of words, by position in `IDS`."""
    found, begin = {}, 0
    for t, word in enumerate(IDS.tolist()):
        if word == START:
            begin = t
            continue
        r, s, a = kind
        places = [*range(t - a - s - r, t - a - s), *range(t - a, t)]
        if all(begin <= place for place in places):
            found[t] = tuple(IDS[place] for place in places)
    return found


def spelled_out(keys):
    """The tuples of words that the last of the arrays of keys stands for."""
    grams = [(w,) for w in range(V)]
    for level in keys:
        grams = [(*grams[key // V], int(key % V)) for key in level]
    return grams


@pytest.mark.parametrize("kind", skip_grams(5), ids=str)
def test_counts_and_places_are_those_of_loops(kind):
    counts = count_skip_grams(IDS, kind, V)
    wanted = {t: (*context, IDS[t]) for t, context in contexts(kind).items()}
    grams = spelled_out(counts.keys)
    found = {gram: n for gram, n in zip(grams, counts.counts.tolist(), strict=True) if n}
    assert found == collections.Counter(wanted.values())
    for t, place in enumerate(counts.places):
        assert grams[place] == wanted[t] if t in wanted else place == -1


@pytest.mark.parametrize("kind", skip_grams(4), ids=str)
def test_contexts_are_found_where_they_occurred(kind):
    keys = count_skip_grams(IDS, kind, V).keys
    other = join_with_starts(toy_corpus(np.random.default_rng(1), 12, V), V)
    found = find_contexts(other, kind, keys, V)
    grams = spelled_out(keys[:-1]) if keys else [()]
    begin = 0
    for t, word in enumerate(other.tolist()):
        begin = t if word == START else begin
        places = [t - d for d in kind.distances]
        if word == START:
            continue
        context = tuple(other[p] for p in places) if all(p >= begin for p in places) else None
        wanted = grams.index(context) if context in grams else -1
        assert found[t] == wanted


def test_the_kinds_lie_among_the_last_words():
    kinds = skip_grams(5)
    assert kinds[:5] == [SkipGram(0, 0, k) for k in range(5)]
    assert len(set(kinds)) == len(kinds) == 5 + 10
    assert all(max(kind.distances, default=0) <= 4 for kind in kinds)
    assert SkipGram(2, 1, 1).distances == (4, 3, 1)
    assert skip_grams(5, gaps=False) == kinds[:5]
    assert skip_grams(1) == [SkipGram(0, 0, 0)]
    with pytest.raises(ValueError, match="order: expected at least 1, got 0"):
        skip_grams(0)
