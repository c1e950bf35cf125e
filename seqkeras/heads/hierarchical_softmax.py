"""Hierarchical softmax; the equations are in `ops/tree_softmax.py`, the trees in `heads/trees.py`.

Conventions: a node's score speaks for its left child; -log p in nats.
"""

import keras
from keras import ops

from seqkeras.heads.base import VocabularyHead
from seqkeras.heads.trees import balanced_tree, huffman_tree
from seqkeras.heads.word_counts import check_counts, word_weights
from seqkeras.ops.linear_crossentropy import vocabulary_logits
from seqkeras.ops.tree_softmax import leaf_log_probs, path_losses


@keras.saving.register_keras_serializable(package="seqkeras")
class HierarchicalSoftmaxHead(VocabularyHead):
    """A distribution over V words that trains in log V decisions for each target.

    Exact in training, too: the loss is -log p, of a model that is not the softmax's. Which words
    share a node matters; by frequency (Huffman), frequent words are near the root, which is what
    makes it fast, not what makes it good.

    Args:
        vocabulary_size: int > 1. V.
        tree: "balanced", or "huffman".
        counts: V numbers >= 0, how often each word occurs, for "huffman", or None: the words are
            sorted by falling frequency, which is taken to follow Zipf's law.

    Call arguments and returns: as in `VocabularyHead`; the logits are log-probabilities.

    Raises:
        ValueError: for an unknown tree, or counts that are not V numbers >= 0.

    Example:

    >>> import numpy as np
    >>> head = HierarchicalSoftmaxHead(50, "huffman")
    >>> hidden, targets = np.ones((2, 3, 4)), np.array([[4, 5, 6], [7, 0, 0]])
    >>> head(hidden, targets, training=True).shape, head(hidden).shape
    (TensorShape([2, 3]), TensorShape([2, 3, 50]))
    """

    def __init__(self, vocabulary_size, tree="huffman", counts=None, **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        if vocabulary_size < 2:
            raise ValueError(f"vocabulary_size: expected at least 2, got {vocabulary_size}.")
        if tree not in ("balanced", "huffman"):
            raise ValueError(f"tree: expected 'balanced' or 'huffman', got {tree!r}.")
        if counts is not None and tree == "balanced":
            raise ValueError("counts: only a 'huffman' tree has a use for them.")
        self.tree = tree
        self.counts = check_counts(counts, vocabulary_size)
        if tree == "balanced":
            self.ways = balanced_tree(vocabulary_size)
        else:
            self.ways = huffman_tree(word_weights(self.counts, vocabulary_size))

    def build(self, inputs_shape, targets_shape=None):
        del targets_shape
        nodes = self.vocabulary_size - 1
        self.table = self.add_weight((nodes, inputs_shape[-1]), "glorot_uniform", name="table")
        self.bias = self.add_weight((nodes,), "zeros", name="bias")

    def _logits(self, hidden):
        scores = vocabulary_logits(hidden, self.table, self.bias)
        rows = leaf_log_probs(ops.reshape(scores, (-1, self.vocabulary_size - 1)), self.ways)
        return ops.reshape(rows, (*ops.shape(hidden)[:-1], self.vocabulary_size))

    def _objective(self, rows, labels, real, smoothing):
        del real, smoothing
        return path_losses(rows, labels, self.ways.nodes, self.ways.turns, self.table, self.bias)

    def get_config(self):
        return {**super().get_config(), "tree": self.tree, "counts": self.counts}
