"""Batches of about equally many tokens, as tf.data, for `fit` and `evaluate`.

A pair of rows becomes three, here for the target `a b` (0 is PAD, 1 START, 2 END):

    x["source"]     s1 s2 s3 2  0
    x["target_in"]  1  a  b  0        what the decoder is fed: the target one step later
    y               a  b  2  0        what it should answer

`plans.py` decides in NumPy, once an epoch, which rows sit together. Gathering and padding them are
TensorFlow kernels and run ahead of the training loop, which therefore does not wait for Python.
"""

import numpy as np
import tensorflow as tf

from seqkeras.constants import PAD, START
from seqkeras.data.plans import Planner

_BATCHES_AHEAD = 16


class TokenBatches:
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

    def __init__(self, encoded, tokens_per_batch, seed):
        _check_budget(encoded, tokens_per_batch)
        self._planner = Planner(
            encoded.source_lengths, encoded.target_lengths, tokens_per_batch, seed
        )
        self.steps_per_epoch = self._planner.steps
        with tf.device("CPU"):  # where tf.data runs, also on a machine with an accelerator
            self._source = _ragged(encoded.source_values, encoded.source_splits)
            self._target = _ragged(encoded.target_values, encoded.target_splits)

    def dataset(self, epoch=0, step=0):
        """Returns the batches of all epochs from a position on, without end.

        Args:
            epoch: int. The epoch to begin with, counted from 0.
            step: int. Its first batch, counted from 0. Steps past the epoch's end count into the
                next ones, so `dataset(step=n)` leaves out the first n batches of the run.

        Returns:
            `tf.data.Dataset` of `(x, y)`; x holds `source` `(B, S)` and `target_in` `(B, T)`, y is
            `(B, T)`, all int32 and padded on the right. B, S and T differ from batch to batch.
        """
        if epoch < 0 or step < 0:
            raise ValueError(f"epoch and step count from 0; got epoch={epoch}, step={step}")
        first_epoch, first_step = divmod(epoch * self.steps_per_epoch + step, self.steps_per_epoch)

        # Pure, but left stateful: else tf.data would plan several epochs at once, in parallel.
        def plan(epoch):
            examples, splits = tf.numpy_function(
                self._planner.shuffled, [epoch], [tf.int64, tf.int64]
            )
            examples.set_shape([None])
            splits.set_shape([self.steps_per_epoch + 1])
            return epoch, examples, splits

        def batches(epoch, examples, splits):
            begin = tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)
            steps = tf.data.Dataset.range(begin, self.steps_per_epoch)
            return steps.map(lambda i: self._batch(examples[splits[i] : splits[i + 1]]))

        epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        # The first prefetch plans an epoch during the one before it, the second gathers batches.
        return (
            epochs.map(plan).prefetch(1).flat_map(batches).prefetch(_BATCHES_AHEAD).apply(endless)
        )

    def evaluation_dataset(self):
        """Returns the batches `(x, y)` of one epoch in a fixed order, without shuffling.

        Examples of like length share a batch here too, so the order is not that of the text.
        """
        examples, splits = self._planner.sorted()
        with tf.device("CPU"):
            examples, splits = tf.constant(examples), tf.constant(splits)
        steps = tf.data.Dataset.range(len(splits) - 1)
        batches = steps.map(lambda i: self._batch(examples[splits[i] : splits[i + 1]]))
        return batches.prefetch(_BATCHES_AHEAD)

    def padding_share(self, epoch=0):
        """Returns the share of padding among all source and target positions of an epoch."""
        return self._planner.padding_share(self._planner.shuffled(epoch))

    def _batch(self, examples):
        source = tf.gather(self._source, examples).to_tensor(PAD)  # (B, S)
        y = tf.gather(self._target, examples).to_tensor(PAD)  # (B, T)
        start = tf.fill([tf.shape(y)[0], 1], START)
        shifted = tf.concat([start, y[:, :-1]], axis=1)
        # In a row shorter than T the shift leaves END as an input whose answer is PAD: drop it.
        target_in = tf.where(y == PAD, PAD, shifted)
        return {"source": source, "target_in": target_in}, y


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
