"""Labelled sequences -> padded batches, for `fit` and `evaluate` of a classifier.

x["sequence"]   (B, T) int32 ids, or (B, T, D) float32 values, zeros behind the end of each
x["length"]     (B,)   real steps
y               (B,)   the class
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seqkeras.data.planned_batches import PlannedBatches
from seqkeras.data.plans import Planner


class LabelledSequences(NamedTuple):
    """N sequences end to end, in the `row_splits` form of `tf.RaggedTensor`, and their classes.

    Attributes:
        values: int32 array of ids, or float32 array `(*, D)`.
        splits: int64 array `(N + 1,)`. Where the sequences begin and end.
        labels: int32 array `(N,)`.
    """

    values: np.ndarray
    splits: np.ndarray
    labels: np.ndarray


def join_sequences(sequences, labels):
    """Returns `LabelledSequences` of a list of arrays `(T,)` or `(T, D)` and their classes."""
    splits = np.cumsum([0, *(len(sequence) for sequence in sequences)])
    return LabelledSequences(np.concatenate(sequences), splits, np.array(labels, np.int32))


class SequenceBatches(PlannedBatches):
    """Batches of sequences of like lengths, bounded by padded steps and not by rows.

    Args:
        sequences: `LabelledSequences`, of at least one sequence, none empty.
        steps_per_batch: int. The most padded steps of a batch, B T.
        seed: int, not negative. Draws the shuffling of all epochs.

    Raises:
        ValueError: there is no sequence, or one is empty or longer than `steps_per_batch`.

    Example:

    >>> import numpy as np
    >>> series = join_sequences([np.ones((3, 2), "float32"), np.ones((1, 2), "float32")], [1, 0])
    >>> batches = SequenceBatches(series, steps_per_batch=6, seed=1)
    >>> ((x, y),) = batches.evaluation_dataset()
    >>> x["sequence"].shape, x["length"].numpy(), y.numpy()
    (TensorShape([2, 3, 2]), array([1, 3], dtype=int32), array([0, 1], dtype=int32))
    """

    def __init__(self, sequences, steps_per_batch, seed):
        lengths = np.diff(sequences.splits)
        _check_lengths(lengths, steps_per_batch)
        super().__init__(Planner(lengths, lengths, steps_per_batch, seed))
        with tf.device("CPU"):  # where tf.data runs, also on a machine with an accelerator
            self._sequences = tf.RaggedTensor.from_row_splits(
                tf.constant(sequences.values), tf.constant(sequences.splits)
            )
            self._labels = tf.constant(sequences.labels)

    def _batch(self, examples):
        rows = tf.gather(self._sequences, examples)
        length = tf.cast(rows.row_lengths(), tf.int32)
        return {"sequence": rows.to_tensor(), "length": length}, tf.gather(self._labels, examples)


def _check_lengths(lengths, steps_per_batch):
    if not len(lengths):
        raise ValueError(
            "there is no sequence to batch: expected LabelledSequences of at least one"
        )
    if lengths.min() < 1:
        raise ValueError(f"sequence {lengths.argmin() + 1} is empty: expected at least one step")
    if lengths.max() > steps_per_batch:
        raise ValueError(
            f"steps_per_batch={steps_per_batch} is less than the {lengths.max()} steps of sequence "
            f"{lengths.argmax() + 1}. Raise steps_per_batch to at least that, or cut the sequences."
        )
