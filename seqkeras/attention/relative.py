"""Biases of attention scores by distance, Raffel et al. 2020 (arXiv:1910.10683), section 2.1.

    score[n, t, s] += b[n, bucket(s - t)]

Short distances have a bucket each, longer ones share buckets that widen geometrically, and all
beyond a maximum share the last. With k buckets for one direction, e = k // 2 of them for a distance
each, and d = |s - t|

    bucket = d                                                            d < e
             min(k - 1, e + floor((k - e) log(d / e) / log(maximum / e)))     else

A causal bias gives all k buckets to the past (s <= t; what lies ahead, which a causal mask hides
anyway, counts as d = 0). A bidirectional one gives half to each side, those of s > t last.
"""

import keras
import numpy as np
from keras import initializers, ops


def bucket_bounds(buckets, max_distance):
    """Returns the distances at which bucket 1, 2, ... begin; as many as are <= d is d's bucket."""
    exact = buckets // 2
    steps = np.arange(buckets - exact) / (buckets - exact)
    wide = exact * (max_distance / exact) ** steps
    # What is a whole number must not be missed for a rounding error of its power.
    return np.concatenate([np.arange(1, exact), np.ceil(wide - 1e-9)]).astype("int32")


@keras.saving.register_keras_serializable(package="seqkeras")
class RelativePositionBias(keras.Layer):
    """A learned number for each head and distance, to be added to the scores of attention.

    Attention then knows order without positions in its inputs, and what it learned of a distance
    holds anywhere in a sequence, also in one longer than those seen in training.

    Args:
        num_heads: int > 0. N.
        num_buckets: int of at least 4, even if bidirectional; 32 in the paper.
        max_distance: int, from which on all distances share a bucket; 128 in the paper.
        bidirectional: True for encoders; False for causal attention.
        embeddings_initializer: Keras initializer of b `(buckets, N)`.

    Call arguments:
        query_length, key_length: int or int scalar tensor, T and S.
        offset: int or int scalar tensor, the position of the first query among the keys; in
            decoding with a cache the number of cached keys.

    Returns:
        Float tensor `(N, T, S)`.

    Masking: none; attention hides what is to be hidden.

    Raises:
        ValueError: for sizes that make no buckets.

    Example:

    >>> RelativePositionBias(num_heads=2)(query_length=3, key_length=5).shape
    TensorShape([2, 3, 5])
    """

    def __init__(
        self,
        num_heads,
        num_buckets=32,
        max_distance=128,
        bidirectional=True,
        embeddings_initializer="uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self._check()
        self._allow_non_tensor_positional_args = True  # of Keras: lengths are ints

    def _check(self):
        if not isinstance(self.num_heads, int) or self.num_heads <= 0:
            raise ValueError(f"num_heads: expected a positive integer, got {self.num_heads!r}.")
        least = 4 if self.bidirectional else 2
        if self.num_buckets < least or (self.bidirectional and self.num_buckets % 2):
            raise ValueError(
                f"num_buckets: expected at least {least}, and an even number if bidirectional, got "
                f"{self.num_buckets!r}."
            )
        if self.max_distance <= self._of_one_side // 2:
            raise ValueError(
                f"max_distance: expected more than the {self._of_one_side // 2} distances that "
                f"have a bucket each, got {self.max_distance!r}."
            )

    @property
    def _of_one_side(self):
        return self.num_buckets // 2 if self.bidirectional else self.num_buckets

    def build(self, query_length_shape=None):
        shape = (self.num_buckets, self.num_heads)
        self.embeddings = self.add_weight(shape, self.embeddings_initializer, name="embeddings")

    def call(self, query_length, key_length, offset=0):
        t = ops.arange(query_length, dtype="int32") + ops.cast(offset, "int32")
        s = ops.arange(key_length, dtype="int32")
        distances = ops.expand_dims(s, 0) - ops.expand_dims(t, 1)  # (T, S)
        biases = ops.take(ops.convert_to_tensor(self.embeddings), self.buckets(distances), axis=0)
        return ops.transpose(biases, (2, 0, 1))

    def buckets(self, distances):
        """Returns the bucket of each distance s - t, integers of any shape."""
        bounds = bucket_bounds(self._of_one_side, self.max_distance)
        past = ops.abs(distances) if self.bidirectional else ops.maximum(-distances, 0)
        buckets = ops.sum(ops.cast(ops.expand_dims(past, -1) >= bounds, "int32"), axis=-1)
        if self.bidirectional:
            buckets = buckets + self._of_one_side * ops.cast(distances > 0, "int32")
        return buckets

    def compute_output_spec(self, query_length, key_length, offset=0):
        sizes = (n if isinstance(n, int) else None for n in (query_length, key_length))
        return keras.KerasTensor((self.num_heads, *sizes), dtype=self.compute_dtype)

    def get_config(self):
        config = {
            "num_heads": self.num_heads,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
            "bidirectional": self.bidirectional,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
        }
        return {**super().get_config(), **config}
