"""A softmax of hidden state and n-grams at once; notes A Fig. 14, its rows "RNN + MaxEnt".

    logits_w = W_w h + b_w + sum_k theta_(h_k w)    over the k-grams h_k w that occurred, k = 2..n
    p(w)     = softmax(logits)_w

h_k are the last k-1 tokens. The n-grams are the features of a maximum-entropy model, which have
weights of their own straight to the output and are trained together with the network: Mikolov et
al. 2011, "Strategies for training large scale neural network language models" (ASRU).
There every n-gram that could be has a weight, by a hash; here those that occurred have one.
"""

import functools

import keras
import numpy as np
from keras import ops

from seqkeras.blocks.counted_model import check_sizes
from seqkeras.heads.base import shapes_agree
from seqkeras.heads.softmax import SoftmaxHead
from seqkeras.ops.crossentropy import masked_crossentropy
from seqkeras.ops.masks import real_tokens, zero_masked
from seqkeras.ops.ngrams import Successors, add_to_successors, assign_successors, ngram_places
from seqkeras.ops.require import ids_in_range, require_ids

_MULTIPLIER = np.int32(-1640531527)  # 2^32 / golden ratio, as int32, which wraps around


@keras.saving.register_keras_serializable(package="seqkeras")
class MaximumEntropyHead(SoftmaxHead):
    """`SoftmaxHead` whose logits have a weight for every n-gram that ends in the word, too.

    Without the hidden state (h = 0) it is a maximum-entropy n-gram model; with weights of 0, which
    it starts from, it is the softmax. Which n-grams there are is set by `from_counts` and saved
    with the weights; until then there are none. XLA can compile it on JAX only.

    Args:
        vocabulary_size: int > 0. V.
        sizes: Ints, how many k-grams there are of each order k = 2..n.
        slots: int or None. All n-grams share so many weights, by a hash of their place; None: each
            has its own.
        Others as in `SoftmaxHead`.

    Call arguments:
        inputs, targets, label_smoothing, training: As in `VocabularyHead`.
        recent: Integer tensor `(B, T, L)`, or `(B, L)` for inputs `(B, H)`: the last L = n-1 tokens
            before the one that is predicted, PAD where there are none, as `RecentTokens` gives
            them.

    Returns:
        As `VocabularyHead`. Training is exact.

    Raises:
        ValueError: as `SoftmaxHead`; for no order, sizes that are negative or slots below 1; where
            `recent` does not fit the inputs. Ids out of range fail when the graph runs, as
            `seqkeras.ops.require` says.

    Example:

    >>> from seqkeras.counts import count_ngrams
    >>> counts = count_ngrams([[4, 5, 2], [4, 2]], order=3, vocabulary_size=6)
    >>> head = MaximumEntropyHead.from_counts(counts)
    >>> head(np.ones((1, 2, 8)), recent=np.array([[[0, 4], [4, 5]]])).shape
    TensorShape([1, 2, 6])
    """

    def __init__(self, vocabulary_size, sizes, slots=None, **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        sizes = tuple(sizes)
        if not sizes:
            raise ValueError(
                "sizes: expected a number of k-grams for each order 2..n, n at least 2, got none."
            )
        check_sizes(sizes)
        if slots is not None and (not isinstance(slots, int) or slots < 1):
            raise ValueError(f"slots: expected an integer of at least 1 or None, got {slots!r}.")
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self.sizes = sizes
        self.slots = slots
        self._ngrams = None

    @classmethod
    def from_counts(cls, counts, **kwargs):
        """Returns a head with the n-grams of `seqkeras.counts.NGramCounts`; kwargs are its own."""
        head = cls(counts.vocabulary_size, [len(keys) for keys in counts.keys], **kwargs)
        head._ngrams = counts
        return head

    def build(self, inputs_shape, targets_shape=None, recent_shape=None):
        del recent_shape
        super().build(inputs_shape, targets_shape)
        self._successors, self._features = [], []
        shared = None if self.slots is None else self._ngram_weights("", self.slots)
        contexts = self.vocabulary_size
        for k, size in enumerate(self.sizes, start=2):
            begins = self._table(f"begins_{k}", contexts + 1)
            self._successors.append(Successors(begins, self._table(f"words_{k}", size)))
            self._features.append(self._ngram_weights(f"_{k}", size) if shared is None else shared)
            contexts = size
        if self._ngrams is not None:
            assign_successors(self._successors, self._ngrams.keys, self.vocabulary_size)
            self._ngrams = None

    def _table(self, name, size):
        return self.add_weight((size,), "zeros", dtype="int32", trainable=False, name=name)

    def _ngram_weights(self, name, size):
        # As the logits are: bfloat16 would round every weight to 3 digits.
        options = {"dtype": "float32", "autocast": False}
        return self.add_weight((size,), "zeros", name=f"ngram_weights{name}", **options)

    @property
    def ngram_weights(self):
        """List of variables, the weights theta of the n-grams, all 0 in the beginning."""
        return self._features[:1] if self.slots is not None else list(self._features)

    @property
    def own_start(self):
        return self.ngram_weights

    def call(self, inputs, targets=None, label_smoothing=0.0, training=False, recent=None):
        self._check(inputs, recent)
        if targets is None:
            return self._with_ngrams(super().call(inputs, training=training), recent)
        mask = real_tokens(targets)
        logits = super().call(zero_masked(inputs, mask), training=training)
        smoothing = label_smoothing if training else 0.0
        return masked_crossentropy(targets, self._with_ngrams(logits, recent), mask, smoothing)

    def _check(self, inputs, recent):
        expected = (*inputs.shape[:-1], len(self.sizes))
        got = () if recent is None else tuple(recent.shape)
        if not shapes_agree(got, expected) or not keras.backend.is_int_dtype(recent.dtype):
            dtype = None if recent is None else keras.backend.standardize_dtype(recent.dtype)
            got = None if recent is None else f"{dtype} of shape {got}"
            raise ValueError(
                f"{self.name}: expected recent, integers of shape {expected}, the tokens before "
                f"the next, got {got}. RecentTokens({len(self.sizes)}) makes them."
            )

    def _with_ngrams(self, logits, recent):
        """Returns the logits `(..., V)` plus the weights of the n-grams after `recent`."""
        ids = ids_in_range(ops.reshape(recent, (-1, len(self.sizes))), self.vocabulary_size)
        places = ngram_places(ids, self._successors[:-1])
        rows = ops.reshape(logits, (-1, self.vocabulary_size))
        parts = zip(places, self._successors, self._features, strict=True)
        for k, (contexts, table, weights) in enumerate(parts):
            at = None if self.slots is None else functools.partial(self._slot, k)
            rows = add_to_successors(rows, contexts[:, -1], table, weights, at)
        logits = ops.reshape(rows, ops.shape(logits))
        return require_ids(self.name, self.vocabulary_size, logits, recent)

    def _slot(self, k, places):
        """Returns the slots of k-grams, int32: a multiplicative hash of their places."""
        return ops.mod((places * len(self.sizes) + k) * _MULTIPLIER, self.slots)

    def compute_output_spec(
        self, inputs, targets=None, label_smoothing=0.0, training=False, recent=None
    ):
        self._check(inputs, recent)
        return super().compute_output_spec(inputs, targets, label_smoothing, training)

    def get_config(self):
        return {**super().get_config(), "sizes": list(self.sizes), "slots": self.slots}
