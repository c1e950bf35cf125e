"""Batches after an epoch plan, as tf.data: what `TokenBatches` and `SequenceBatches` share.

`plans.py` decides in NumPy, once an epoch, which rows sit together. Gathering and padding them are
TensorFlow kernels and run ahead of the training loop, which therefore does not wait for Python.
"""

import numpy as np
import tensorflow as tf

from seqkeras.data.endless import BATCHES_AHEAD, without_end


class PlannedBatches:
    """Base of batches of like lengths; a subclass gathers and pads them, in `_batch`.

    Args:
        planner: `Planner`.

    Attributes:
        steps_per_epoch: int. The number of batches of every epoch of `dataset`.
    """

    def __init__(self, planner):
        self._planner = planner
        self.steps_per_epoch = planner.steps

    def dataset(self, epoch=0, step=0):
        """Returns the batches of all epochs from a position on, without end.

        Args:
            epoch: int. The epoch to begin with, counted from 0.
            step: int. Its first batch, counted from 0. Steps past the epoch's end count into the
                next ones, so `dataset(step=n)` leaves out the first n batches of the run.

        Returns:
            `tf.data.Dataset` of `(x, y)`, as the subclass makes them, padded on the right. Their
            sizes differ from batch to batch.
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
        # The first prefetch plans an epoch during the one before it, the second gathers batches.
        return without_end(epochs.map(plan).prefetch(1).flat_map(batches).prefetch(BATCHES_AHEAD))

    def evaluation_dataset(self):
        """Returns the batches `(x, y)` of one epoch in a fixed order, without shuffling.

        Examples of like length share a batch here too, so the order is not that of the text.
        """
        examples, splits = self._planner.sorted()
        with tf.device("CPU"):
            examples, splits = tf.constant(examples), tf.constant(splits)
        steps = tf.data.Dataset.range(len(splits) - 1)
        batches = steps.map(lambda i: self._batch(examples[splits[i] : splits[i + 1]]))
        return batches.prefetch(BATCHES_AHEAD)

    def padding_share(self, epoch=0):
        """Returns the share of padding among all positions of an epoch."""
        return self._planner.padding_share(self._planner.shuffled(epoch))

    def _batch(self, examples):
        """Returns `(x, y)` of the examples with these indices, an int64 tensor `(B,)`."""
        raise NotImplementedError
