"""Attention by cuDNN's kernel, Dao et al. 2022 (arXiv:2205.14135), where JAX has a GPU.

The kernel reads and writes what `chunked` does, without even a block of the weights in memory.
TensorFlow has no operation for it.
"""

import keras
from keras import ops

from seqkeras.ops.attention.masks import visible
from seqkeras.ops.masks import both

_DTYPES = ("float16", "bfloat16")
_LARGEST, _MULTIPLE = 128, 8  # of a head's size


def fits(query, value, bias, dropout):
    """Returns whether the kernel is there and can do it; arguments as of `chunked_attention`."""
    if keras.backend.backend() != "jax" or bias is not None or dropout:
        return False
    import jax

    size = query.shape[-1]
    return (
        jax.default_backend() == "gpu"
        and keras.backend.standardize_dtype(query.dtype) in _DTYPES
        and value.shape[-1] == size
        and size <= _LARGEST
        and size % _MULTIPLE == 0
    )


def fused_attention(query, key, value, parts, implementation="cudnn"):
    """Returns the context `(B, N, T, Dv)`, that of `whole_attention`.

    Args:
        query, key, value: as for `whole_attention`.
        parts: `Visibility`.
        implementation: "cudnn", or "xla" for the same anywhere.
    """
    import jax

    def swapped(x):
        return ops.transpose(x, (0, 2, 1, 3))

    queries, keys = query.shape[2], key.shape[2]
    # The kernel knows causality without a mask, if the queries are all of the keys' positions.
    whole = isinstance(parts.offset, int) and parts.offset == 0 and queries == keys
    causal = parts.causal and whole
    mask = visible(parts._replace(causal=False) if causal else parts, queries, keys)
    context = jax.nn.dot_product_attention(
        *map(swapped, (query, key, value)),
        mask=mask,
        is_causal=causal,
        implementation=implementation,
    )
    sees = None if mask is None else ops.any(visible(parts, queries, keys), axis=-1)  # (B, N, T)
    if parts.queries is not None:
        sees = both(sees, ops.cast(parts.queries, "bool")[:, None])
    context = swapped(context)
    return context if sees is None else ops.where(sees[..., None], context, 0)
