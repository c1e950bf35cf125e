"""Batches that follow from their position in the run, as tf.data, for `fit` and `evaluate`.

Batch i of a run is a function of (seed, i) and nothing else, so a run that knows its epoch and step
goes on with the batch that it would have had. Here an epoch is a stretch of `steps_per_epoch`
batches after which `fit` validates: what it is set to does not change the batches.

    position   0 1 2 3 4 5 6 7 8 ...     9 examples, batch_size 4, steps_per_epoch 3
    pass       0 0|1 1|2 2|3 3|4         each with its own permutation; 1 example left out of it
    epoch      0 0 0|1 1 1|2 2 2
"""

import numpy as np
import tensorflow as tf

from seqkeras.data.endless import BATCHES_AHEAD, batches_from


class ArrayBatches:
    """Batches of equally shaped examples in memory, all of one size.

    Every pass over the data has its own order. Examples that do not fill a batch are left out of a
    pass, others in each.

    Args:
        inputs: Array `(N, ...)`.
        targets: Array `(N, ...)`.
        batch_size: int, B of every batch, at most N.
        steps_per_epoch: int, batches in an epoch; None: those of one pass.
        seed: int, not negative. Draws the order of all passes.
        transform: Optional function of a batch of inputs, in TensorFlow operations, applied while
            batches are made: what is scaled or cut there takes no memory.

    Attributes:
        steps_per_epoch: int.

    Raises:
        ValueError: if the arrays differ in length, or a batch is larger than they are.

    Example:

    >>> import numpy as np
    >>> batches = ArrayBatches(np.arange(4), np.arange(4) * 10, batch_size=2, seed=1)
    >>> for x, y in batches.evaluation_dataset():
    ...     print(x.numpy(), y.numpy())
    [0 1] [ 0 10]
    [2 3] [20 30]
    """

    def __init__(self, inputs, targets, batch_size, steps_per_epoch=None, seed=0, transform=None):
        if len(inputs) != len(targets) or not 1 <= batch_size <= len(inputs):
            raise ValueError(
                "expected as many inputs as targets, and a batch_size from 1 to their number; got "
                f"{len(inputs)} inputs, {len(targets)} targets, batch_size={batch_size}"
            )
        self.batch_size = batch_size
        self._per_pass = len(inputs) // batch_size
        self.steps_per_epoch = steps_per_epoch or self._per_pass
        self._seed = seed
        self._transform = transform or tf.identity
        self._order = (None, None)  # the pass, its permutation
        with tf.device("CPU"):  # where tf.data runs, also on a machine with an accelerator
            self._inputs, self._targets = tf.constant(inputs), tf.constant(targets)

    def dataset(self, epoch=0, step=0):
        """Returns the batches from a position on, without end, as `fit` of `seqkeras.training`."""

        def batch(position):
            rows = tf.numpy_function(self._rows, [position], tf.int64)
            rows.set_shape([self.batch_size])
            return self._gather(rows)

        return batches_from(epoch * self.steps_per_epoch + step, batch)

    def evaluation_dataset(self):
        """Returns the batches of all examples in their order; the last may be smaller."""
        rows = tf.data.Dataset.range(len(self._inputs)).batch(self.batch_size)
        return rows.map(self._gather).prefetch(BATCHES_AHEAD)

    def _rows(self, position):
        number, place = divmod(int(position), self._per_pass)
        if self._order[0] != number:
            rng = np.random.default_rng([self._seed, number])
            self._order = (number, rng.permutation(len(self._inputs)))
        return self._order[1][place * self.batch_size : (place + 1) * self.batch_size]

    def _gather(self, rows):
        inputs, targets = tf.gather(self._inputs, rows), tf.gather(self._targets, rows)
        return self._transform(inputs), targets


class GeneratedBatches:
    """Batches made on the fly: no example is seen twice, so there is nothing to overfit.

    Args:
        generate: Function `(rng, batch_size) -> (inputs, targets)`, arrays of a shape and dtype
            that do not change; `rng` is a `numpy.random.Generator`.
        batch_size: int, B of every batch.
        steps_per_epoch: int, batches in an epoch.
        seed: int, not negative. Batch i is drawn from (seed, i).

    Attributes:
        steps_per_epoch: int.

    Example:

    >>> coins = lambda rng, size: 2 * (rng.integers(2, size=size),)
    >>> batches = GeneratedBatches(coins, batch_size=3, steps_per_epoch=10, seed=1)
    >>> x, y = next(iter(batches.dataset(epoch=1, step=5)))
    >>> bool((x == next(iter(batches.dataset(step=15)))[0]).numpy().all())
    True
    """

    def __init__(self, generate, batch_size, steps_per_epoch, seed=0):
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self._generate = generate
        self._seed = seed
        self._like = self._batch(0)

    def dataset(self, epoch=0, step=0):
        """Returns the batches from a position on, without end, as `fit` of `seqkeras.training`."""

        def batch(position):
            arrays = tf.numpy_function(self._batch, [position], [a.dtype for a in self._like])
            for array, like in zip(arrays, self._like, strict=True):
                array.set_shape(like.shape)
            return tuple(arrays)

        return batches_from(epoch * self.steps_per_epoch + step, batch)

    def _batch(self, position):
        rng = np.random.default_rng([self._seed, int(position)])
        return self._generate(rng, self.batch_size)
