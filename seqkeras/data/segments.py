"""Long sequences in segments, for truncated backpropagation through time with carried states;
Williams & Peng 1990; notes B 1.4.1.

A sequence of N steps becomes B streams of S = N // B steps that are read side by side, L steps at a
time. Here N = 14, B = 2, L = 3, and the numbers are steps:

    stream 0    0 1 2 | 3 4 5 | 6          segment k of a row goes on where segment k - 1 of that
    stream 1    7 8 9 |10 11 12|13         row ended
    step          0       1     2

A layer with `stateful=True` carries its states from batch to batch, so it computes what it would
over the whole stream; its gradient ends where the segment begins.
"""

import numpy as np
import tensorflow as tf

from seqkeras.data.endless import BATCHES_AHEAD, batches_from


class SegmentBatches:
    """Contiguous segments of long sequences, B streams side by side.

    An epoch reads every stream once, from its start; nothing is shuffled. Which steps a batch holds
    depends on its position alone, so a run that knows its epoch and step goes on with the batch
    that it would have had; the carried states that belong to it are in the checkpoint.
    `CarriedStates` sets them to zero where an epoch starts. Contiguous arrays are not copied: an
    `np.memmap` may be larger than the memory.

    Args:
        inputs: Array `(N, ...)`: one step of the sequence in each row, such as the token ids of a
            corpus without their last. Sequences are put end to end first.
        targets: Array `(N, ...)`: what is to be predicted at each step, such as the ids without
            their first.
        segment_length: int, L. The gradient reaches back at most L steps, and on average half.
        streams: int, B of every batch.
        feed_targets: If True, x is the pair of inputs and targets, for a model `with_targets`.

    Attributes:
        steps_per_epoch: int, ceil(S / L); the last segment may be shorter.
        left_out: int, N % B steps at the end of the sequence that fill no stream. With `streams=1`
            none, which is what a perplexity is measured with.

    Raises:
        ValueError: if the arrays differ in length, or hold less than a step for every stream.

    Example:

    >>> import numpy as np
    >>> ids = np.arange(10)
    >>> batches = SegmentBatches(ids[:-1], ids[1:], segment_length=3, streams=2)
    >>> for x, y in batches.evaluation_dataset():
    ...     print(x.numpy().tolist(), y.numpy().tolist())
    [[0, 1, 2], [4, 5, 6]] [[1, 2, 3], [5, 6, 7]]
    [[3], [7]] [[4], [8]]
    """

    def __init__(self, inputs, targets, segment_length, streams, feed_targets=False):
        inputs, targets = np.asarray(inputs), np.asarray(targets)
        if len(inputs) != len(targets):
            raise ValueError(
                f"expected a target for every input, got {len(inputs)} inputs and {len(targets)} "
                "targets. To predict the next step pass x[:-1] and x[1:]."
            )
        if segment_length < 1 or not 1 <= streams <= len(inputs):
            raise ValueError(
                "expected segment_length of at least 1, and streams from 1 to the number of steps; "
                f"got segment_length={segment_length}, streams={streams}, {len(inputs)} steps"
            )
        self.segment_length = segment_length
        self.streams = streams
        self.feed_targets = feed_targets
        steps = len(inputs) // streams
        self.left_out = len(inputs) - streams * steps
        self.steps_per_epoch = -(-steps // segment_length)
        self._arrays = [
            x[: streams * steps].reshape(streams, steps, *x.shape[1:]) for x in (inputs, targets)
        ]

    def dataset(self, epoch=0, step=0):
        """Returns the batches `(x, y)` from a position on, without end.

        Args:
            epoch: int. The epoch to begin with, counted from 0.
            step: int. Its first batch, counted from 0.

        Returns:
            `tf.data.Dataset` of x `(B, L, ...)` and y `(B, L, ...)`.
        """
        if epoch < 0 or step < 0:
            raise ValueError(f"epoch and step count from 0; got epoch={epoch}, step={step}")
        first = epoch * self.steps_per_epoch + step
        return batches_from(first, lambda i: self._segment(i % self.steps_per_epoch))

    def evaluation_dataset(self):
        """Returns the batches of one epoch."""
        steps = tf.data.Dataset.range(self.steps_per_epoch)
        return steps.map(self._segment).prefetch(BATCHES_AHEAD)

    def _segment(self, k):
        def cut(k):
            begin = k * self.segment_length
            end = begin + self.segment_length  # past the end of the streams in the last segment
            return [np.ascontiguousarray(x[:, begin:end]) for x in self._arrays]

        x, y = tf.numpy_function(cut, [k], [tf.as_dtype(x.dtype) for x in self._arrays])
        for cut_out, whole in zip((x, y), self._arrays, strict=True):
            cut_out.set_shape([self.streams, None, *whole.shape[2:]])
        return ((x, y) if self.feed_targets else x), y
