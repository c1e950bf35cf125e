"""Attention over some of several axes, as attention over one.

    (B, free axes, attention axes, ...)  <->  (B * free, T, ...)

A picture `(B, height, width, D)` may attend along its rows only, or over all its pixels.
"""

import math

from keras import ops


class AttentionAxes:
    """Which axes of inputs `(B, ..., D)` attention runs over.

    Args:
        rank: int, the rank of the inputs, at least 3.
        axes: Tuple of ints, or None for all axes but the first and the last. Negative ones count
            from the end.
    """

    def __init__(self, rank, axes=None):
        if axes is None:
            axes = range(1, rank - 1)
        self.attended = tuple(axis % rank for axis in axes)
        if not self.attended or any(not 0 < axis < rank - 1 for axis in self.attended):
            raise ValueError(
                f"attention_axes: expected axes between the first and the last of {rank}, got "
                f"{tuple(axes)}."
            )
        self.free = tuple(axis for axis in range(1, rank - 1) if axis not in self.attended)
        self.order = (0, *self.free, *self.attended)
        self.simple = rank == 3

    def check(self, query_shape, value_shape):
        """Raises a ValueError if query and value differ on an axis that is not attended over."""
        for axis in self.free:
            sizes = query_shape[axis], value_shape[axis]
            if None not in sizes and sizes[0] != sizes[1]:
                raise ValueError(
                    f"attention_axes={self.attended}: expected query and value of one size on axis "
                    f"{axis}, over which there is no attention, got {sizes[0]} and {sizes[1]}."
                )

    def fold(self, x):
        """Returns x `(B, ..., rest)` or a mask `(B, ...)` as `(B', T, rest)`; None stays None."""
        if x is None or self.simple:
            return x
        rest = tuple(range(len(self.order), len(x.shape)))
        shape = ops.shape(x := ops.transpose(x, (*self.order, *rest)))
        batch, end = 1 + len(self.free), len(self.order)
        sizes = (math.prod(shape[:batch]), math.prod(shape[batch:end]), *shape[end:])
        return ops.reshape(x, sizes)

    def unfold(self, y, like):
        """Returns y `(B', T, rest)` with the axes of `like` `(B, ..., D)`, as `(B, ..., rest)`."""
        if self.simple:
            return y
        sizes = [ops.shape(like)[axis] for axis in self.order]
        y = ops.reshape(y, (*sizes, *ops.shape(y)[2:]))
        rest = range(len(self.order), len(y.shape))
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return ops.transpose(y, (*back, *rest))

    def fold_pattern(self, mask, query):
        """Returns an attention mask as `(B' or 1, N or 1, T, S)`.

        It may lack leading axes: `(T, S)`, `(B, T, S)`, `(B, N, T, S)`, each of B, free, N, T, S
        standing for as many axes as attention runs over.
        """
        lead = len(mask.shape) - 2 * len(self.attended)
        full = 2 + len(self.free)
        if not 0 <= lead <= full:
            raise ValueError(
                f"attention_mask: expected {2 * len(self.attended)} to "
                f"{2 * len(self.attended) + full} axes, got shape {tuple(mask.shape)}."
            )
        shape = ops.shape(mask)
        split = lead + len(self.attended)
        flat = (math.prod(shape[lead:split]), math.prod(shape[split:]))
        mask = ops.reshape(mask, (*shape[:lead], *[1] * (full - lead), *flat))
        if not self.free:
            return mask
        sizes = [ops.shape(query)[axis] for axis in (0, *self.free)]
        shape = ops.shape(mask)
        mask = ops.broadcast_to(mask, (*sizes, *shape[full - 1 :]))
        return ops.reshape(mask, (math.prod(sizes), *shape[full - 1 :]))

    def unfold_scores(self, scores, query, key):
        """Returns scores `(B', N, T, S)` as `(B, free, N, T axes, S axes)`."""
        if self.simple:
            return scores
        batch = [ops.shape(query)[axis] for axis in (0, *self.free)]
        t = [ops.shape(query)[axis] for axis in self.attended]
        s = [ops.shape(key)[axis] for axis in self.attended]
        return ops.reshape(scores, (*batch, scores.shape[1], *t, *s))
