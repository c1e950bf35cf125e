"""Grouped-query attention, Ainslie et al. 2023 (arXiv:2305.13245); with one group multi-query
attention, Shazeer 2019 (arXiv:1911.02150). The equations stand in `seqkeras.attention.heads`.
"""

import keras

from seqkeras.attention.heads import HeadedAttention, is_size


@keras.saving.register_keras_serializable(package="seqkeras")
class GroupedQueryAttention(HeadedAttention):
    """Heads that share keys and values in groups: `keras.layers.GroupQueryAttention`.

    A decoder's cache shrinks by the factor N / G. Constructor and weights are those of Keras'.

    Args:
        head_dim: int. D, the size of a head's queries, keys and values.
        num_query_heads: int. N.
        num_key_value_heads: int. G, a divisor of N; 1 is multi-query, N is multi-head attention.
        Others: see `HeadedAttention`.

    Call arguments, Returns: see `MultiHeadAttention`.

    Masking, Errors: see `HeadedAttention`.

    Example:

    >>> import numpy as np
    >>> attention = GroupQueryAttention(8, num_query_heads=4, num_key_value_heads=2)
    >>> attention(np.ones((2, 3, 32)), np.ones((2, 5, 32))).shape
    TensorShape([2, 3, 32])
    """

    def __init__(
        self,
        head_dim,
        num_query_heads,
        num_key_value_heads,
        dropout=0.0,
        use_bias=True,
        **options,
    ):
        sizes = {
            "head_dim": head_dim,
            "num_query_heads": num_query_heads,
            "num_key_value_heads": num_key_value_heads,
        }
        for name, value in sizes.items():
            if not is_size(value):
                raise ValueError(f"argument `{name}`: expected a positive integer, got {value!r}.")
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                "`num_query_heads` must be divisible by `num_key_value_heads`, got "
                f"{num_query_heads} and {num_key_value_heads}."
            )
        super().__init__(dropout, use_bias, **options)
        self.head_dim = head_dim
        self.num_query_heads = num_query_heads
        self.num_key_value_heads = num_key_value_heads
        self._set_sizes(num_query_heads, num_key_value_heads, head_dim, head_dim)

    def get_config(self):
        config = {
            "head_dim": self.head_dim,
            "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
        }
        return {**super().get_config(), **config}


# Keras' public name. Files of weights know the layer by the name of the class, as Keras' do.
GroupQueryAttention = GroupedQueryAttention
