"""Attention by inner product; notes A (20) note 2, (23); notes B (9); Luong et al. 2015.

The score a(q, k) of a query and a key:

    dot         a(q, k) = q . k
    scaled dot  a(q, k) = q . k / sqrt(d),  d = size of q and k, inside the softmax (erratum X16)
    general     a(q, k) = q W k             Luong et al. 2015 (arXiv:1508.04025), eq. 8
"""

import math

import keras
from keras import initializers, ops

from seqkeras.attention.base import ScoredAttention


@keras.saving.register_keras_serializable(package="seqkeras")
class DotAttention(ScoredAttention):
    """Scores by the inner product: no weights, one matmul; query and key must be of one size.

    Call arguments, Returns, Masking: see `ScoredAttention`.

    Raises:
        ValueError: at build, if query and key differ in size.

    Example:

    >>> import numpy as np
    >>> DotAttention()(np.ones((2, 3, 4)), np.ones((2, 5, 4))).shape
    TensorShape([2, 3, 4])
    """

    def build_score(self, query_dim, key_dim):
        if query_dim != key_dim:
            raise ValueError(
                f"{type(self).__name__}: expected query and key of one size, got {query_dim} and "
                f"{key_dim}. Use GeneralAttention or BahdanauAttention, or project one of them."
            )

    def score(self, query, keys):
        return ops.matmul(query, ops.swapaxes(keys, -1, -2))


@keras.saving.register_keras_serializable(package="seqkeras")
class ScaledDotAttention(DotAttention):
    """Inner product divided by sqrt(d), which keeps its variance at 1 for unit-variance inputs.

    Without the scale, large d saturates the softmax (notes A (24)).

    Call arguments, Returns, Masking, Raises: see `DotAttention`.
    """

    def score(self, query, keys):
        return super().score(query / math.sqrt(query.shape[-1]), keys)


@keras.saving.register_keras_serializable(package="seqkeras")
class GeneralAttention(ScoredAttention):
    """Inner product after a learned map, for query and key of different sizes or spaces.

    Args:
        kernel_initializer: For W `(Dq, Dk)`. The identity gives `DotAttention`.

    Call arguments, Returns, Masking: see `ScoredAttention`.
    """

    def __init__(self, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build_score(self, query_dim, key_dim):
        self.kernel = self.add_weight((query_dim, key_dim), self.kernel_initializer, name="kernel")

    def project_keys(self, key):
        return ops.matmul(key, ops.transpose(self.kernel))  # (B, S, Dq)

    def score(self, query, keys):
        return ops.matmul(query, ops.swapaxes(keys, -1, -2))

    def get_config(self):
        config = {"kernel_initializer": initializers.serialize(self.kernel_initializer)}
        return {**super().get_config(), **config}
