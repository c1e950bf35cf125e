"""Batches of about equally many tokens, as tf.data, for `fit` and `evaluate`.

A pair of rows becomes three, here for the target `a b` (0 is PAD, 1 START, 2 END):

    x["source"]     s1 s2 s3 2  0
    x["target_in"]  1  a  b  0        what the decoder is fed: the target one step later
    y               a  b  2  0        what it should answer

`planned_batches.py` says which rows sit together and in which order the batches come.
"""

import numpy as np
import tensorflow as tf

from seqkeras.constants import PAD, START
from seqkeras.data.planned_batches import PlannedBatches
from seqkeras.data.plans import Planner


class TokenBatches(PlannedBatches):
    """Batches of encoded pairs of like lengths, bounded by tokens and not by rows.

    Every epoch holds every example exactly once, in `steps_per_epoch` batches, the same number in
    each epoch, so that `fit` neither stops early nor runs dry. Epochs differ in the order of the
    batches and in which examples share one. They depend on (seed, epoch) only: a run that knows
    its epoch and step goes on with the batch that it would have had.

    Args:
        encoded: `EncodedPairs`, of at least one pair.
        tokens_per_batch: int. The most padded positions of a batch: neither `source` nor
            `target_in` is larger.
        seed: int, not negative. Draws the shuffling of all epochs.
        feed_targets: If True, x also has y, as "targets", for a model `with_targets`.

    Attributes:
        steps_per_epoch: int. The number of batches of every epoch of `dataset`.

    Raises:
        ValueError: there is no pair, or one has a side longer than `tokens_per_batch`.

    Example:

    >>> import numpy as np
    >>> from seqkeras.data import EncodedPairs, TokenBatches
    >>> rows, splits = np.array([7, 8, 2, 9, 2], np.int32), np.array([0, 3, 5])
    >>> encoded = EncodedPairs(rows, splits, rows, splits, pair_index=np.arange(2))
    >>> batches = TokenBatches(encoded, tokens_per_batch=6, seed=1)
    >>> ((x, y),) = batches.evaluation_dataset()
    >>> x["target_in"].numpy()
    array([[1, 9, 0],
           [1, 7, 8]], dtype=int32)

    Training goes by the step, and the batches are shuffled already:
    `model.fit(batches.dataset(), steps_per_epoch=batches.steps_per_epoch, shuffle=False)`.
    """

    def __init__(self, encoded, tokens_per_batch, seed, feed_targets=False):
        _check_budget(encoded, tokens_per_batch)
        lengths = (encoded.source_lengths, encoded.target_lengths)
        super().__init__(Planner(*lengths, tokens_per_batch, seed))
        self._feed_targets = feed_targets
        with tf.device("CPU"):  # where tf.data runs, also on a machine with an accelerator
            self._source = _ragged(encoded.source_values, encoded.source_splits)
            self._target = _ragged(encoded.target_values, encoded.target_splits)

    def _batch(self, examples):
        source = tf.gather(self._source, examples).to_tensor(PAD)  # (B, S)
        y = tf.gather(self._target, examples).to_tensor(PAD)  # (B, T)
        start = tf.fill([tf.shape(y)[0], 1], START)
        shifted = tf.concat([start, y[:, :-1]], axis=1)
        # In a row shorter than T the shift leaves END as an input whose answer is PAD: drop it.
        target_in = tf.where(y == PAD, PAD, shifted)
        x = {"source": source, "target_in": target_in}
        return (x | {"targets": y} if self._feed_targets else x), y


def _ragged(values, splits):
    return tf.RaggedTensor.from_row_splits(tf.constant(values), tf.constant(splits))


def _check_budget(encoded, tokens_per_batch):
    if not len(encoded.pair_index):
        raise ValueError("there is no pair to batch: expected EncodedPairs of at least one")
    lengths = np.maximum(encoded.source_lengths, encoded.target_lengths)
    longest = int(lengths.argmax())
    if lengths[longest] > tokens_per_batch:
        raise ValueError(
            f"tokens_per_batch={tokens_per_batch} is less than the {lengths[longest]} tokens of "
            f"pair {encoded.pair_index[longest] + 1}, END included. Raise tokens_per_batch to at "
            f"least that, or encode with a max_length of at most {tokens_per_batch}."
        )
