"""Scaled dot-product attention of heads: the whole matrix of weights, or a block at a time."""

from seqkeras.ops.attention.chunked import block_rows, chunked_attention
from seqkeras.ops.attention.masks import (
    AdditiveMask,
    Visibility,
    additive,
    from_visible,
    visible,
)
from seqkeras.ops.attention.whole import dropped, weights_of, whole_attention

__all__ = [
    "AdditiveMask",
    "Visibility",
    "additive",
    "block_rows",
    "chunked_attention",
    "dropped",
    "from_visible",
    "visible",
    "weights_of",
    "whole_attention",
]
