"""Byte-pair encoding as a loop over tensors, Sennrich et al. 2016 (arXiv:1508.07909).

Start from characters; while some neighbours x_i, x_{i+1} concatenate to a piece of the vocabulary,
merge those whose piece has the lowest id (sentencepiece numbers pieces in the order in which it
learned them), the leftmost of equals:

    i* = argmin_i (id(x_i x_{i+1}), i)

As in sentencepiece, any two pieces may merge into a third, not only the two it was learned from.
"""

import tensorflow as tf

from seqkeras.constants import PAD, UNK
from seqkeras.data.tokenizers.tables import replace, static_table


class BPESegmenter(tf.Module):
    """Merges the characters of many runs at once, one merge per run and iteration.

    The time for a run grows with the square of its length, which is that of a word or less; ten
    thousand characters without a space take seconds.

    Args:
        vocabulary: list of str. Pieces in the order of their merges, after the special tokens.
    """

    def __init__(self, vocabulary):
        super().__init__()
        self._size = len(vocabulary)
        index = {piece: i for i, piece in enumerate(vocabulary) if i > UNK}
        merges = {
            index[piece[:cut]] * self._size + index[piece[cut:]]: i
            for piece, i in index.items()
            for cut in range(1, len(piece))
            if piece[:cut] in index and piece[cut:] in index
        }
        self._merges = static_table(merges, merges.values(), self._size)

    def segment(self, characters, runs):
        """Segments runs of characters.

        Args:
            characters: int32 `(M,)`. Ids of the characters of all runs, one run after another.
            runs: int32 `(M,)`. Number of every character's run: 0, ..., 0, 1, ..., 1, 2, ...

        Returns:
            int32 `(M,)`: ids of the pieces, each at its first character, `PAD` at the others.
        """
        places = tf.range(tf.size(characters))
        ids, *_ = tf.while_loop(
            lambda ids, places, tokens, runs: tf.size(places) > 0,
            self._merge,
            (characters, places, characters, runs),
            shape_invariants=(tf.TensorShape([None]),) * 4,
        )
        return ids

    def _merge(self, ids, places, tokens, runs):
        """Does every run's next merge; runs without one leave the loop.

        Args:
            ids: int32 `(M,)`. The result so far, at the places of the characters.
            places: int32 `(A,)`. Place in `ids` of every token of the runs still in the loop.
            tokens: int32 `(A,)`. Their ids.
            runs: int32 `(A,)`. Their runs, numbered from 0 without gaps.
        """
        following = tf.pad(tokens[1:], [[0, 1]])[: tf.size(tokens)]
        same_run = runs == tf.pad(runs[1:], [[0, 1]], constant_values=-1)[: tf.size(runs)]
        pairs = tf.cast(tokens, tf.int64) * self._size + tf.cast(following, tf.int64)
        merged = tf.where(same_run, self._merges.lookup(pairs), self._size)

        # The lowest piece, then the leftmost place: the minimum of one number that holds both.
        count = tf.size(tokens, tf.int64)
        order = tf.cast(merged, tf.int64) * count + tf.range(count)
        first = tf.math.segment_min(order, runs)  # (R,)
        merged, left = tf.cast(first // count, tf.int32), tf.cast(first % count, tf.int32)
        merges = merged < self._size
        merged, left = tf.boolean_mask(merged, merges), tf.boolean_mask(left, merges)
        right = left + 1

        ids = replace(ids, tf.gather(places, left), merged)
        ids = replace(ids, tf.gather(places, right), tf.fill(tf.shape(right), PAD))
        tokens = replace(tokens, left, merged)
        stays = replace(tf.gather(merges, runs), right, tf.zeros_like(right, tf.bool))
        runs = tf.gather(tf.cumsum(tf.cast(merges, tf.int32)) - 1, runs)
        return ids, *(tf.boolean_mask(x, stays) for x in (places, tokens, runs))
