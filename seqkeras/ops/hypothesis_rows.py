"""Which hypotheses the rows of a step of decoding are.

A search keeps K hypotheses of each of A examples. What belongs to an example, such as an encoder's
output, is there once, `(A, ...)`; what belongs to a hypothesis is a row. Rows whose hypothesis is
finished need not be computed, so that there may be fewer than A K of them.
"""

import math
from typing import Any, NamedTuple

from keras import ops


class HypothesisRows(NamedTuple):
    """N rows, and where they stand in the table of A examples and K hypotheses of each.

    Attributes:
        examples: int or int scalar tensor A.
        beam_size: int or int scalar tensor K.
        places: int32 `(N,)`, rising: a K + k for hypothesis k of example a. None: every place.

    Example:

    >>> import numpy as np
    >>> rows = HypothesisRows(2, 2, ops.convert_to_tensor([0, 2, 3]))  # one of the first example
    >>> print(np.array(rows.spread(ops.convert_to_tensor([[1.0], [2.0], [3.0]]))[:, :, 0]))
    [[1. 0.]
     [2. 3.]]
    """

    examples: Any
    beam_size: Any
    places: Any = None

    def spread(self, x, fill=0):
        """Turns rows `(N, ...)` into a table `(A, K, ...)`, `fill` where no row stands."""
        return self._scatter(x, self.places, (self.examples, self.beam_size), fill)

    def collect(self, table):
        """Turns a table `(A, K, ...)` into rows `(N, ...)`."""
        return _gather(table, self.places, 2)

    def spread_heads(self, x):
        """Turns rows with heads `(N, H, ...)` into a table by heads `(A, H, K, ...)`."""
        heads = x.shape[1]
        if self.places is None:
            return ops.swapaxes(self.spread(x), 1, 2)
        x = ops.reshape(x, (-1, *ops.shape(x)[2:]))
        return self._scatter(x, self._of_heads(heads), (self.examples, heads, self.beam_size))

    def collect_heads(self, table):
        """Turns a table by heads `(A, H, K, ...)` into rows `(N, H, ...)`."""
        heads = table.shape[1]
        if self.places is None:
            return self.collect(ops.swapaxes(table, 1, 2))
        rows = _gather(table, self._of_heads(heads), 3)
        return ops.reshape(rows, (-1, heads, *ops.shape(rows)[1:]))

    def of(self, hypotheses):
        """Returns which rows `(A, M)` the hypotheses `(A, M)` of each example are; any for none."""
        count = ops.arange(ops.shape(self.places)[0], dtype="int32")
        row_of_place = ops.reshape(self.spread(count), (-1,))
        return ops.take(row_of_place, flat_index(hypotheses, self.beam_size))

    def _of_heads(self, heads):
        """Returns `(N H,)`: where the heads of each row stand in a table `(A, H, K)`."""
        example, hypothesis = self.places // self.beam_size, self.places % self.beam_size
        head = ops.arange(heads, dtype="int32")
        places = (example[:, None] * heads + head) * self.beam_size + hypothesis[:, None]
        return ops.reshape(places, (-1,))

    @staticmethod
    def _scatter(x, places, table, fill=0):
        """Returns a table, of so many axes that are counted by places, with x `(M, ...)` in it."""
        rest = ops.shape(x)[1:]
        if places is not None:
            empty = ops.full((math.prod(table), *rest), fill, dtype=x.dtype)
            x = ops.scatter_update(empty, places[:, None], x)
        return ops.reshape(x, (*table, *rest))


def flat_index(index, size):
    """Turns `index` `(B, M)` into an axis of `size` into one over both axes, flattened."""
    offsets = ops.arange(ops.shape(index)[0], dtype="int32") * size
    return ops.cast(index, "int32") + offsets[:, None]


def _gather(table, places, axes):
    """Returns `(M, ...)`: what stands at places of the first so many axes; None: everything."""
    shape = ops.shape(table)
    flat = ops.reshape(table, (math.prod(shape[:axes]), *shape[axes:]))
    return flat if places is None else ops.take(flat, places, axis=0)
