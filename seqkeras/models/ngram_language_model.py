"""A model that is counted as a `keras.Model` like any other language model."""

import keras

from seqkeras.blocks.ngram import NGram
from seqkeras.blocks.sparse_matrix import SparseMatrix


def ngram_language_model(tables):
    """Builds the language model of n-grams or skip-grams that were counted.

    Args:
        tables: `seqkeras.counts.NGramTables`, such as `kneser_ney` returns, or a
            `seqkeras.counts.SparseNonNegative`, of one stream in which END stands between texts.

    Returns:
        A functional `keras.Model`, tokens `(B, T)` int32 to float32 log-probabilities `(B, T, V)`
        of the token after each: what `language_model` returns, without a weight to train.
        `carry_states`, `LanguageModelSteps`, `TextScorer` and `TextGenerator` take it.

    Example:

    >>> import numpy as np
    >>> from seqkeras.counts import count_ngrams, kneser_ney
    >>> counts = count_ngrams([[4, 5, 2, 4, 2]], order=2, vocabulary_size=6)
    >>> model = ngram_language_model(kneser_ney(counts, discounts=[0.5, 0.5]))
    >>> model(np.array([[2, 4]])).shape
    TensorShape([1, 2, 6])
    """
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    kind = NGram if hasattr(tables, "levels") else SparseMatrix
    return keras.Model(tokens, kind.from_tables(tables, name="ngram")(tokens), name="ngrams")
