"""N-gram models as tables: what every estimator of `seqkeras.counts` makes of counts.

    p(w | h) = a(hw) + b(h) p(w | h')       h' = h without its first word

a is 0 where hw did not occur; b is 1, and p(w | h) = p(w | h'), where h did not. All logarithms are
natural: nats.
"""

import dataclasses

import numpy as np

from seqkeras.constants import START
from seqkeras.counts.ngrams import find_keys, join_with_starts, longer_keys


@dataclasses.dataclass(frozen=True, eq=False)
class Level:
    """The k-grams of one order k >= 2.

    Attributes:
        keys: int64 `(M_k,)`, as in `NGramCounts`.
        shares: float64 `(M_k,)`. a(hw) of each k-gram hw.
        backoffs: float64 `(M_(k-1),)`. b(h) of each (k-1)-gram h.
    """

    keys: np.ndarray
    shares: np.ndarray
    backoffs: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class NGramTables:
    """The tables of a model; `kneser_ney` and `maximum_entropy` make them, the layer `NGram` runs
    them in a graph.

    Attributes:
        vocabulary_size: int. V.
        unigram: float64 `(V,)`. p(w); 0 for PAD and START.
        levels: Tuple of `Level`, of the orders 2..n.
    """

    vocabulary_size: int
    unigram: np.ndarray
    levels: tuple

    @property
    def order(self):
        return 1 + len(self.levels)

    def log_probs(self, sequences):
        """Returns the log-probability of every token, float64 `(N,)`, in nats.

        Args:
            sequences: List of integer arrays, as for `count_ngrams`: without START.

        Returns:
            The tokens' log-probabilities, sequence after sequence; -inf for what cannot be.

        Raises:
            ValueError: for ids that no sequence may hold.
        """
        ids = join_with_starts(sequences, self.vocabulary_size)
        p = self.unigram[ids]
        nodes = ids
        for level in self.levels:
            contexts = np.concatenate([[-1], nodes[:-1]])
            nodes = find_keys(level.keys, longer_keys(nodes, ids, self.vocabulary_size))
            p = at_places(level.backoffs, contexts, 1.0) * p + at_places(level.shares, nodes, 0.0)
        with np.errstate(divide="ignore"):
            return np.log(p[ids != START])

    def distribution(self, context):
        """Returns the probability of every next id, float64 `(V,)`; it sums to 1.

        Args:
            context: Integers, a sequence's tokens so far, of any number; START is put before them.

        Raises:
            ValueError: for ids that no sequence may hold.
        """
        ids = join_with_starts([context], self.vocabulary_size)
        p = self.unigram.copy()
        nodes = ids
        for level in self.levels:
            h = nodes[-1]
            if h < 0:
                break
            begin, end = np.searchsorted(level.keys, np.array([h, h + 1]) * self.vocabulary_size)
            p *= level.backoffs[h]
            p[level.keys[begin:end] % self.vocabulary_size] += level.shares[begin:end]
            nodes = find_keys(level.keys, longer_keys(nodes, ids, self.vocabulary_size))
        return p


def at_places(table, places, otherwise):
    """Returns the entries at places, and `otherwise` where a place is -1."""
    return np.where(places >= 0, table[places], otherwise) if len(table) else otherwise


def frozen(array):
    """Returns a view of an array that nobody can write to."""
    array = array.view()
    array.setflags(write=False)
    return array
