"""Estimators that count: sequences of ids -> counts -> the tables of layers."""

from seqkeras.counts.cache import UnigramCache
from seqkeras.counts.continuous_cache import ContinuousCache
from seqkeras.counts.kneser_ney import KneserNey, kneser_ney
from seqkeras.counts.maximum_entropy import MaximumEntropy, maximum_entropy
from seqkeras.counts.ngrams import NGramCounts, count_ngrams
from seqkeras.counts.skip_grams import SkipGram, skip_grams
from seqkeras.counts.sparse_nonnegative import SparseNonNegative, sparse_nonnegative
from seqkeras.counts.tables import NGramTables

__all__ = [
    "ContinuousCache",
    "KneserNey",
    "MaximumEntropy",
    "NGramCounts",
    "NGramTables",
    "SkipGram",
    "SparseNonNegative",
    "UnigramCache",
    "count_ngrams",
    "kneser_ney",
    "maximum_entropy",
    "skip_grams",
    "sparse_nonnegative",
]
