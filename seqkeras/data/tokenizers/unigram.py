"""Unigram segmentation by the Viterbi algorithm, Kudo 2018 (arXiv:1804.10959), equation 7.

    x* = argmax over segmentations x of sum_i log p(x_i)

by the recursion over the ends e of pieces, with the last piece of length l:

    best[e] = max_l best[e - l] + score(characters[e - l : e])

An unknown character costs 10 more than the worst piece, and of equally good last pieces the
longest is taken, both as in sentencepiece.
"""

import numpy as np
import tensorflow as tf

from seqkeras.constants import PAD, UNK
from seqkeras.data.tokenizers.tables import replace, static_table

_UNKNOWN_PENALTY = 10.0
_DEAD = -1  # the trie node from which no piece can be reached
_ROOT = 0


class UnigramSegmenter(tf.Module):
    """Finds the most probable pieces of many runs at once, one character per iteration.

    Args:
        vocabulary: list of str. Pieces, after the special tokens.
        scores: list of float. Their log probabilities; those of special tokens are not read.
    """

    def __init__(self, vocabulary, scores):
        super().__init__()
        self._size = len(vocabulary)
        index = {piece: i for i, piece in enumerate(vocabulary) if i > UNK}
        scores = np.array(scores, np.float32)
        unknown = scores[UNK + 1 :].min() - np.float32(_UNKNOWN_PENALTY)
        scores[: UNK + 1] = -np.inf  # PAD stands for "no such piece" below
        scores[UNK] = unknown
        self._scores = tf.constant(scores)
        self._longest = max(map(len, index))
        # Lengths from the longest to 1: the first of several maxima is the longest piece.
        self._lengths = tf.range(self._longest, 0, -1)
        self._build_trie(index)

    def _build_trie(self, index):
        """Makes the trie of the pieces read backwards: a node is a suffix of a piece."""
        nodes = {"": _ROOT}
        edges = {}
        for piece in index:
            for start in reversed(range(len(piece))):
                suffix = piece[start:]
                if suffix not in nodes:
                    nodes[suffix] = len(nodes)
                    edges[nodes[suffix[1:]] * self._size + index[suffix[0]]] = nodes[suffix]
        self._edges = static_table(edges, edges.values(), _DEAD)
        self._piece_at_node = tf.constant([index.get(suffix, PAD) for suffix in nodes], tf.int32)

    def segment(self, characters, runs):
        """Segments runs of characters.

        Args:
            characters: int32 `(M,)`. Ids of the characters of all runs, one run after another.
            runs: int32 `(M,)`. Number of every character's run: 0, ..., 0, 1, ..., 1, 2, ...

        Returns:
            int32 `(M,)`: ids of the pieces, each at its last character, `PAD` at the others.
        """
        ends = tf.math.segment_max(tf.range(tf.size(runs)), runs)  # (R,), of the last characters
        starts = tf.pad(ends + 1, [[1, 0]])[:-1]
        pieces = self._pieces_ending_at(characters, tf.gather(starts, runs))
        choice = self._forward(tf.gather(self._scores, pieces), starts, ends)
        last = self._backward(tf.gather(self._lengths, choice), starts, ends)
        return tf.where(last, tf.gather(pieces, choice, batch_dims=1), PAD)

    def _pieces_ending_at(self, characters, starts):
        """Returns the piece of every end and length, `(M, L)` as `_lengths`; `PAD` where none."""
        places = tf.range(tf.size(characters))
        nodes = tf.fill(tf.shape(characters), _ROOT)
        pieces = []
        for length in range(self._longest):
            before = places - length
            steps = tf.cast(tf.gather(characters, tf.maximum(before, 0)), tf.int64)
            nodes = self._edges.lookup(tf.cast(nodes, tf.int64) * self._size + steps)
            nodes = tf.where(before >= starts, nodes, _DEAD)
            found = tf.gather(self._piece_at_node, tf.maximum(nodes, _ROOT))
            pieces.append(tf.where(nodes == _DEAD, PAD, found))
        pieces[0] = tf.where(characters == UNK, UNK, pieces[0])
        return tf.stack(pieces[::-1], axis=1)

    def _forward(self, scores, starts, ends):
        """Returns the column of the best last piece for every end, int32 `(M,)`."""

        def step(best, choice, places, starts, ends):
            before = places[:, None] - self._lengths  # (R, L), the end of the text before a piece
            at_start = before < starts[:, None]
            path = tf.where(at_start, 0.0, tf.gather(best, tf.maximum(before, 0)))
            path += tf.gather(scores, places)
            best = replace(best, places, tf.reduce_max(path, axis=1))
            choice = replace(choice, places, tf.argmax(path, axis=1, output_type=tf.int32))
            goes_on = places < ends
            return best, choice, *(tf.boolean_mask(x, goes_on) for x in (places + 1, starts, ends))

        count = tf.shape(scores)[:1]
        _, choice, *_ = tf.while_loop(
            lambda best, choice, places, starts, ends: tf.size(places) > 0,
            step,
            (tf.zeros(count), tf.zeros(count, tf.int32), starts, starts, ends),
            shape_invariants=(tf.TensorShape([None]),) * 5,
        )
        return choice

    def _backward(self, lengths, starts, ends):
        """Returns where the best segmentation's pieces end, bool `(M,)`."""

        def step(last, places, starts):
            last = replace(last, places, tf.ones_like(places, tf.bool))
            places -= tf.gather(lengths, places)
            goes_on = places >= starts
            return last, tf.boolean_mask(places, goes_on), tf.boolean_mask(starts, goes_on)

        last, *_ = tf.while_loop(
            lambda last, places, starts: tf.size(places) > 0,
            step,
            (tf.zeros_like(lengths, tf.bool), ends, starts),
            shape_invariants=(tf.TensorShape([None]),) * 3,
        )
        return last
