"""Scaled dot-product attention of heads: whole, a block of queries at a time, or by cuDNN."""

from seqkeras.ops.attention import fused
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
    "fused",
    "visible",
    "weights_of",
    "whole_attention",
]
