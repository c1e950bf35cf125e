"""An n-gram language model in a graph; notes A Fig. 14, its row "Interpolated KN 5-gram".

    p(w_t | w_<t) = a(h w_t) + b(h) p(w_t | h')
    h = w_(t-n+1)..w_(t-1),  h' = h without its first word

`seqkeras.counts` has the estimates of a and b, and the same model in NumPy and float64.
"""

import itertools

import keras
import numpy as np
from keras import ops

from seqkeras.constants import PAD, START
from seqkeras.ops.masks import HIDDEN, both, real_tokens
from seqkeras.ops.ngrams import (
    NGramTable,
    ngram_distributions,
    ngram_places,
    ngram_probabilities,
    successors,
)
from seqkeras.ops.require import require

_SMALLEST = 1e-37  # a probability whose logarithm float32 still has


@keras.saving.register_keras_serializable(package="seqkeras")
class NGram(keras.Layer):
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
        super().__init__(**kwargs)
        smallest = max(PAD, START) + 2
        if not isinstance(vocabulary_size, int) or vocabulary_size < smallest:
            raise ValueError(
                f"vocabulary_size: expected an integer of at least {smallest}, got "
                f"{vocabulary_size!r}."
            )
        for size in sizes:
            if not isinstance(size, int) or not 0 <= size < 2**31 - 1:
                raise ValueError(
                    f"sizes: expected integers from 0 to 2**31 - 2, got {tuple(sizes)}."
                )
        if any(longer and not shorter for shorter, longer in itertools.pairwise(sizes)):
            raise ValueError(
                f"sizes: expected no k-grams behind an order that has none, got {tuple(sizes)}."
            )
        self.vocabulary_size = vocabulary_size
        self.sizes = tuple(sizes)
        self.supports_masking = True
        self.supports_jit = keras.backend.backend() != "tensorflow"

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
        self._unigram = self._table("unigram", (size,), "float32", 1.0 / (size - 2))
        self._tables = []
        contexts = size
        for k, count in enumerate(self.sizes, start=2):
            self._tables.append(
                NGramTable(
                    self._table(f"begins_{k}", (contexts + 1,), "int32", 0),
                    self._table(f"words_{k}", (count,), "int32", 0),
                    self._table(f"shares_{k}", (count,), "float32", 0.0),
                    self._table(f"backoffs_{k}", (contexts,), "float32", 1.0),
                )
            )
            contexts = count
        self.built = True

    def _table(self, name, shape, dtype, value):
        def initializer(shape, dtype=None):
            filled = np.full(shape, value, dtype)
            if name == "unigram":
                filled[[PAD, START]] = 0.0
            return filled

        # Under mixed precision bfloat16 would round every probability to 3 digits.
        return self.add_weight(
            shape, initializer, dtype=dtype, trainable=False, autocast=False, name=name
        )

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
        for ours, level in zip(self._tables, tables.levels, strict=True):
            found = successors(level.keys, len(level.backoffs), self.vocabulary_size)
            ours.begins.assign(found.begins)
            ours.words.assign(found.words)
            ours.shares.assign(level.shares.astype("float32"))
            ours.backoffs.assign(level.backoffs.astype("float32"))

    def call(self, inputs):
        self._check("inputs", inputs)
        ids = self._in_range(inputs)
        places = [ops.reshape(x, (-1,)) for x in ngram_places(ids, self._tables)]
        p = ngram_distributions(places, self._unigram, self._tables)
        p = ops.reshape(p, (*ops.shape(inputs), self.vocabulary_size))
        return self._require_range(_log(p), inputs)

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
        scores = ops.where(ops.equal(targets, PAD), 0.0, _log(p))
        return self._require_range(scores, inputs, targets)

    def _in_range(self, ids):
        return ops.clip(ops.cast(ids, "int32"), 0, self.vocabulary_size - 1)

    def _require_range(self, log_probs, *ids):
        """Returns log_probs, and fails if there are ids out of range."""
        message = f"{self.name}: expected ids from 0 to {self.vocabulary_size - 1}, got others."
        for x in ids:
            fine = ops.all(ops.logical_and(x >= 0, x < self.vocabulary_size))
            log_probs = require(fine, message, log_probs)
        return log_probs

    def _check(self, name, ids):
        dtype = keras.backend.standardize_dtype(ids.dtype)
        if not keras.backend.is_int_dtype(dtype) or len(ids.shape) != 2:
            raise ValueError(
                f"{self.name}: expected integer {name} (B, T), got {dtype} of shape "
                f"{tuple(ids.shape)}."
            )

    def compute_mask(self, inputs, mask=None):
        return both(mask, real_tokens(inputs))

    def compute_output_spec(self, inputs):
        self._check("inputs", inputs)
        return keras.KerasTensor((*inputs.shape, self.vocabulary_size), dtype="float32")

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape, self.vocabulary_size)

    def get_config(self):
        config = {"vocabulary_size": self.vocabulary_size, "sizes": list(self.sizes)}
        return {**super().get_config(), **config}


def _log(p):
    """Returns log p, and -1e30 where p is 0."""
    return ops.where(p > 0.0, ops.log(ops.maximum(p, _SMALLEST)), HIDDEN)
