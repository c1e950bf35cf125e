"""Batches by their number in the run, without end: what every resumable data source ends in."""

import numpy as np
import tensorflow as tf

BATCHES_AHEAD = 16


def batches_from(first, batch):
    """Returns the dataset of `batch(i)` for i = first, first + 1, ..., an int64 tensor."""
    positions = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
    return without_end(positions.map(batch).prefetch(BATCHES_AHEAD))


def without_end(dataset):
    """Tells `fit` that a dataset has no end, which tf.data cannot know."""
    return dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
