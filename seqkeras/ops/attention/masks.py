"""What a query may look at, for scores `(B, N, T, S)` of all heads or of a block of queries.

    visible[b, n, t, s] = key s is real  and  the pattern has it  and  s <= t + offset (causal)
                          and  |t + offset - s| < window

The parts stay apart until a block of scores wants them, so that no `(T, S)` matrix is made where a
row or a rule says the same.
"""

from typing import Any, NamedTuple

from keras import ops

from seqkeras.ops.masks import HIDDEN, both, causal_mask


class Visibility(NamedTuple):
    """The parts of a mask; None or False where a part hides nothing.

    Attributes:
        keys: Boolean `(B, S)`, True = real.
        pattern: Boolean that broadcasts to `(B, N, T, S)`, True where a query may look.
        causal: If True, a query sees no later position.
        window: int w or None: a query sees positions nearer than w on either side.
        offset: int or int tensor `()`, the position of the first query among the keys.
        queries: Boolean `(B, T)`, True = real; the others get no weights and a zero context.
    """

    keys: Any = None
    pattern: Any = None
    causal: bool = False
    window: int | None = None
    offset: Any = 0
    queries: Any = None


class AdditiveMask(NamedTuple):
    """A mask as scores and weights take it.

    Attributes:
        bias: float32 that broadcasts to `(B, N, T, S)`: 0 where visible, `HIDDEN` where not; None
            where no key is hidden.
        rows: float32 that broadcasts to `(B, N, T, 1)`: 1 for a query that sees a key, else 0;
            None where every query sees one.
    """

    bias: Any
    rows: Any


def visible(parts, queries, keys, begin=0):
    """Returns which keys a query sees, boolean that broadcasts to `(B, N, T, S)`; None for all.

    Args:
        parts: `Visibility`.
        queries, keys: int or int tensor, T and S.
        begin: int or int tensor, the first of the queries among all: those of a block.
    """
    mask = None
    if parts.keys is not None:
        mask = ops.cast(parts.keys, "bool")[:, None, None, :]  # (B, 1, 1, S)
    if parts.pattern is not None:
        mask = both(mask, ops.cast(parts.pattern, "bool"))
    first = begin + parts.offset
    if parts.causal:
        mask = both(mask, causal_mask(queries, keys, first)[None, None])
    if parts.window is not None:
        t = ops.arange(queries, dtype="int32")[:, None] + first
        s = ops.arange(keys, dtype="int32")[None, :]
        mask = both(mask, (ops.abs(t - s) < parts.window)[None, None])
    return mask


def additive(parts, queries, keys):
    """Returns the `AdditiveMask` of the parts, or None where they hide nothing.

    Args:
        parts: `Visibility`.
        queries, keys: int or int tensor, T and S.
    """
    mask = visible(parts, queries, keys)
    real = None
    if parts.queries is not None:
        real = ops.cast(parts.queries, "bool")[:, None, :, None]  # (B, 1, T, 1)
    rule_only = parts.keys is None and parts.pattern is None and parts.window is None
    if mask is not None and rule_only and isinstance(parts.offset, int) and parts.offset >= 0:
        # Causal only: every query sees the first key.
        return AdditiveMask(hidden_bias(mask), None if real is None else as_float(real))
    return from_visible(mask, real)


def from_visible(mask, real=None):
    """Returns the `AdditiveMask` of booleans `(..., T, S)` and `(..., T, 1)`, each may be None."""
    if mask is None:
        return None if real is None else AdditiveMask(None, as_float(real))
    sees = ops.any(mask, axis=-1, keepdims=True)
    return AdditiveMask(hidden_bias(mask), as_float(both(sees, real)))


def hidden_bias(mask):
    """Returns float32 like mask: 0 where True, `HIDDEN` where False."""
    return ops.where(mask, 0.0, HIDDEN)


def as_float(mask):
    """Returns float32 like mask: 1 where True, 0 where False."""
    return ops.cast(mask, "float32")
