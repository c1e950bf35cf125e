"""An n-gram language model in a graph; notes A Fig. 14, its row "Interpolated KN 5-gram".

    p(w_t | w_<t) = a(h w_t) + b(h) p(w_t | h')
    h = w_(t-n+1)..w_(t-1),  h' = h without its first word

`seqkeras.counts` has the estimates of a and b, and the same model in NumPy and float64.
"""

import itertools

import keras
import numpy as np
from keras import ops

from seqkeras.blocks.counted_model import CountedModel, check_sizes, log_of
from seqkeras.constants import PAD
from seqkeras.ops.ngrams import (
    NGramTable,
    assign_successors,
    ngram_distributions,
    ngram_places,
    ngram_probabilities,
)
from seqkeras.ops.uniform_words import uniform_words


@keras.saving.register_keras_serializable(package="seqkeras")
class NGram(CountedModel):
    """Predicts the next token by a table of n-grams; counted, not trained.

    It scores like any language model, so it can be mixed with a trained one, exported and served.
    Its tables are weights that do not train. Until they are set, every token is as likely. XLA can
    compile it on JAX only, but for `score`.

    Args:
        vocabulary_size: int. V.
        sizes: Ints, how many k-grams there are of each order k = 2..n; none for a model of words
            without context.

    Call arguments:
        inputs: Integer ids `(B, T)`, from 0 to V-1: START, then the tokens so far. A prediction
            depends on the last n-1 of them. A row that does not begin with START is a text whose
            beginning is not known.

    Returns:
        Log-probabilities `(B, T, V)` of the token after each, in nats, in float32 under every
        dtype policy. What cannot be, PAD, START and words of probability 0, gets -1e30: its
        probability is exactly 0, and masked sums stay finite.

    Masking: the output carries a mask that is False at PAD; a mask of the input is joined to it. At
        masked positions the output means nothing.

    Raises:
        ValueError: for sizes that are negative or do not fit int32, inputs that are no integers
            `(B, T)`, tables of other sizes. Ids out of range fail when the graph runs, as
            `seqkeras.ops.require` says.

    Example:

    >>> from seqkeras.counts import count_ngrams, kneser_ney
    >>> counts = count_ngrams([[4, 5, 2], [4, 2]], order=2, vocabulary_size=6)
    >>> layer = NGram.from_tables(kneser_ney(counts, discounts=[0.5, 0.5]))
    >>> log_probs = layer(np.array([[1, 4]]))
    >>> np.exp(log_probs[0, -1]).round(3)
    array([0.   , 0.   , 0.484, 0.047, 0.109, 0.359], dtype=float32)
    """

    def __init__(self, vocabulary_size, sizes, **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        check_sizes(sizes)
        if any(longer and not shorter for shorter, longer in itertools.pairwise(sizes)):
            raise ValueError(
                f"sizes: expected no k-grams behind an order that has none, got {tuple(sizes)}."
            )
        self.sizes = tuple(sizes)

    @property
    def order(self):
        """n, of the longest n-grams."""
        return 1 + len(self.sizes)

    @property
    def context_length(self):
        """How many ids before its own a prediction depends on, at most."""
        return max(len(self.sizes) - 1, 0)

    @classmethod
    def from_tables(cls, tables, **kwargs):
        """Returns a layer of these `seqkeras.counts.NGramTables`; kwargs are a layer's."""
        layer = cls(tables.vocabulary_size, [len(level.keys) for level in tables.levels], **kwargs)
        layer.set_tables(tables)
        return layer

    def build(self, inputs_shape=None):
        if self.built:
            return
        size = self.vocabulary_size
        self._unigram = self._table("unigram", uniform_words(size).astype("float32"))
        self._tables = []
        contexts = size
        for k, count in enumerate(self.sizes, start=2):
            self._tables.append(
                NGramTable(
                    self._table(f"begins_{k}", np.zeros(contexts + 1, "int32")),
                    self._table(f"words_{k}", np.zeros(count, "int32")),
                    self._table(f"shares_{k}", np.zeros(count, "float32")),
                    self._table(f"backoffs_{k}", np.ones(contexts, "float32")),
                )
            )
            contexts = count
        self.built = True

    def set_tables(self, tables):
        """Takes over `seqkeras.counts.NGramTables` of this layer's sizes."""
        expected = (self.vocabulary_size, self.sizes)
        got = (tables.vocabulary_size, tuple(len(level.keys) for level in tables.levels))
        if got != expected:
            raise ValueError(
                f"{self.name}: expected tables of vocabulary size and sizes {expected}, got {got}. "
                "NGram.from_tables makes a layer that fits."
            )
        self.build()
        self._unigram.assign(tables.unigram.astype("float32"))
        keys = [level.keys for level in tables.levels]
        assign_successors(self._tables, keys, self.vocabulary_size)
        for ours, level in zip(self._tables, tables.levels, strict=True):
            ours.shares.assign(level.shares.astype("float32"))
            ours.backoffs.assign(level.backoffs.astype("float32"))

    def call(self, inputs):
        self._check("inputs", inputs)
        ids = self._in_range(inputs)
        places = [ops.reshape(x, (-1,)) for x in ngram_places(ids, self._tables)]
        p = ngram_distributions(places, self._unigram, self._tables)
        p = ops.reshape(p, (*ops.shape(inputs), self.vocabulary_size))
        return self._require_range(log_of(p), inputs)

    def score(self, inputs, targets):
        """Returns the log-probability of each target, `(B, T)`, without a tensor `(B, T, V)`.

        Args:
            inputs: As in the call.
            targets: Integer ids `(B, T)`, the token after each input.

        Returns:
            Float32 `(B, T)`, in nats: the call's entries at the targets, but 0 where the target is
            PAD, so that a sum over a row is that of the sequence.
        """
        self._check("inputs", inputs)
        self._check("targets", targets)
        self.build()
        words = self._in_range(targets)
        places = ngram_places(self._in_range(inputs), self._tables)
        p = ngram_probabilities(places, words, self._unigram, self._tables)
        scores = ops.where(ops.equal(targets, PAD), 0.0, log_of(p))
        return self._require_range(scores, inputs, targets)

    def get_config(self):
        return {**super().get_config(), "sizes": list(self.sizes)}
