"""Attention between sets, Lee et al. 2019 (arXiv:1810.00825), (6)-(11); notes B 5.3, Fig. 5.

    MAB(X, Y)  = LN(H + rFF(H)),   H = LN(X + Multihead(X, Y, Y))      (6), (7)
    SAB(X)     = MAB(X, X)                                             (8)
    ISAB_m(X)  = MAB(X, H),        H = MAB(I, X)                       (9), (10)
    PMA_k(Z)   = MAB(S, rFF(Z))                                        (11)

I `(m, D)` and S `(k, D)` are learned. rFF is any map of each element by itself, here two dense
layers with a ReLU in between; the LN may be left out, as the authors do in their experiments.
No position enters: permuting the elements of X permutes SAB(X) and ISAB(X) alike, and leaves PMA(X)
as it is (erratum X14: it is the whole set that is permuted, not the queries alone).
"""

import keras
from keras import initializers, ops

from seqkeras.attention.heads import is_size
from seqkeras.attention.multi_head import MultiHeadAttention
from seqkeras.blocks.feed_forward import FeedForward
from seqkeras.blocks.layer_normalization import LayerNormalization
from seqkeras.ops.masks import zero_masked


class SetBlock(keras.Layer):
    """The options of all blocks; a subclass makes its parts of size D with `_part`.

    Args:
        num_heads: int. N, a divisor of D.
        hidden_units: int or None, the width between the two layers of rFF; None: D.
        layer_norm: If False, no LN.
    """

    def __init__(self, num_heads, hidden_units=None, layer_norm=True, **kwargs):
        super().__init__(**kwargs)
        _require_size("num_heads", num_heads)
        _require_size("hidden_units", 1 if hidden_units is None else hidden_units)
        self.num_heads = num_heads
        self.hidden_units = hidden_units
        self.layer_norm = layer_norm
        self.supports_masking = True

    def _block(self, name, *shapes):
        """Returns a built MAB with the options of this layer."""
        block = MultiheadAttentionBlock(
            self.num_heads, self.hidden_units, self.layer_norm, dtype=self.dtype_policy, name=name
        )
        block.build(*shapes)
        return block

    def _feed_forward(self, shape):
        """Returns a built rFF for inputs `(B, T, D)`."""
        width = self.hidden_units or shape[-1]
        layer = FeedForward(width, dtype=self.dtype_policy, name="feed_forward")
        layer.build(shape)
        return layer

    def compute_output_shape(self, inputs_shape):
        return tuple(inputs_shape)

    def get_config(self):
        names = ("num_heads", "hidden_units", "layer_norm")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _require_size(name, value):
    if not is_size(value):
        raise ValueError(f"{name}: expected a positive integer, got {value!r}.")


@keras.saving.register_keras_serializable(package="seqkeras")
class MultiheadAttentionBlock(SetBlock):
    """MAB: each element of one set looks at another set, then works on what it saw.

    A Transformer's decoder layer without its self-attention; the other blocks are made of it.

    Args:
        num_heads: int. N, a divisor of D.
        hidden_units: int or None, the width between the two layers of rFF; None: D.
        layer_norm: If True, LN (with epsilon 1e-5) after both sums.

    Call arguments:
        query: Float tensor `(B, T, D)`, X.
        value: Float tensor `(B, S, Dv)`, Y.
        query_mask: Boolean `(B, T)`, or None.
        value_mask: Boolean `(B, S)`, or None.

    Returns:
        Float tensor `(B, T, D)`.

    Masking: a masked element is as if it were not there, NaN included, and comes out as zeros. An
    element that has nothing to look at gets no more than the bias of the attention. The mask of
    the query is passed on.

    Raises:
        ValueError: if a size is not positive, and at build if N does not divide D.

    Example:

    >>> import numpy as np
    >>> MultiheadAttentionBlock(num_heads=2)(np.ones((3, 5, 8)), np.ones((3, 7, 4))).shape
    TensorShape([3, 5, 8])
    """

    def build(self, query_shape, value_shape):
        size = query_shape[-1]
        if size % self.num_heads:
            raise ValueError(
                f"{type(self).__name__}: expected elements whose size the {self.num_heads} heads "
                f"divide, got {size}. Change num_heads, or map the elements to another size before."
            )
        self.attention = MultiHeadAttention(
            self.num_heads, size // self.num_heads, dtype=self.dtype_policy, name="attention"
        )
        self.attention.build(query_shape, value_shape)
        self.feed_forward = self._feed_forward(query_shape)
        self.norms = []
        for name in ("norm_attention", "norm_feed_forward") if self.layer_norm else ():
            norm = LayerNormalization(epsilon=1e-5, dtype=self.dtype_policy, name=name)
            norm.build(query_shape)
            self.norms.append(norm)

    def call(self, query, value, query_mask=None, value_mask=None, training=False):
        x = zero_masked(query, query_mask)
        h = x + self.attention(x, value, value_mask=value_mask, training=training)
        if self.layer_norm:
            h = self.norms[0](h)
        y = h + self.feed_forward(h)
        if self.layer_norm:
            y = self.norms[1](y)
        return zero_masked(y, query_mask)

    def compute_mask(self, query, previous_mask=None):
        return previous_mask

    def compute_output_shape(self, query_shape, value_shape):
        return tuple(query_shape)


@keras.saving.register_keras_serializable(package="seqkeras")
class SetAttentionBlock(SetBlock):
    """SAB: the elements of a set look at each other; O(T^2).

    Two of them one upon the other see interactions of more than two elements.

    Args: see `MultiheadAttentionBlock`.

    Call arguments:
        inputs: Float tensor `(B, T, D)`, a set of T elements.
        mask: Boolean `(B, T)`, or None.

    Returns:
        Float tensor `(B, T, D)`. Permuted inputs give it permuted alike.

    Masking: a masked element is as if it were not there, NaN included, and comes out as zeros. The
    mask is passed on.

    Raises:
        ValueError: see `MultiheadAttentionBlock`.

    Example:

    >>> import numpy as np
    >>> SetAttentionBlock(num_heads=2)(np.ones((3, 5, 8))).shape
    TensorShape([3, 5, 8])
    """

    def build(self, inputs_shape):
        self.block = self._block("block", inputs_shape, inputs_shape)

    def call(self, inputs, mask=None, training=False):
        return self.block(inputs, inputs, query_mask=mask, value_mask=mask, training=training)


@keras.saving.register_keras_serializable(package="seqkeras")
class InducedSetAttentionBlock(SetBlock):
    """ISAB: m learned points look at the set, and its elements at what these saw; O(T m).

    For sets too large for `SetAttentionBlock`.

    Args:
        num_heads, hidden_units, layer_norm: see `MultiheadAttentionBlock`.
        num_inducing: int. m, how many points there are.
        initializer: Of the points I.

    Call arguments, Returns, Masking: as `SetAttentionBlock`.

    Raises:
        ValueError: see `MultiheadAttentionBlock`; and if `num_inducing` is not positive.

    Example:

    >>> import numpy as np
    >>> InducedSetAttentionBlock(num_heads=2, num_inducing=4)(np.ones((3, 5, 8))).shape
    TensorShape([3, 5, 8])
    """

    def __init__(
        self,
        num_heads,
        num_inducing,
        hidden_units=None,
        layer_norm=True,
        initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(num_heads, hidden_units, layer_norm, **kwargs)
        _require_size("num_inducing", num_inducing)
        self.num_inducing = num_inducing
        self.initializer = initializers.get(initializer)

    def build(self, inputs_shape):
        batch, _, size = inputs_shape
        points, points_shape = (self.num_inducing, size), (batch, self.num_inducing, size)
        self.inducing_points = self.add_weight(points, self.initializer, name="inducing_points")
        self.gather = self._block("gather", points_shape, inputs_shape)
        self.spread = self._block("spread", inputs_shape, points_shape)

    def call(self, inputs, mask=None, training=False):
        points = _for_each_set(self.inducing_points, inputs)
        h = self.gather(points, inputs, value_mask=mask, training=training)  # (B, m, D)
        return self.spread(inputs, h, query_mask=mask, training=training)

    def get_config(self):
        config = {"num_inducing": self.num_inducing}
        config["initializer"] = initializers.serialize(self.initializer)
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="seqkeras")
class PoolingByMultiheadAttention(SetBlock):
    """PMA: k learned seeds look at a set, which becomes k vectors.

    What of the set matters is learned, where a mean, sum or maximum has it fixed.

    Args:
        num_heads, hidden_units, layer_norm: see `MultiheadAttentionBlock`.
        num_seeds: int. k, how many vectors come out.
        initializer: Of the seeds S.

    Call arguments:
        inputs: Float tensor `(B, T, D)`, a set of T elements.
        mask: Boolean `(B, T)`, or None.

    Returns:
        Float tensor `(B, k, D)`, the same for permuted inputs.

    Masking: a masked element is as if it were not there, NaN included; of an empty set comes what
    the seeds alone give, which is finite. The mask ends here.

    Raises:
        ValueError: see `MultiheadAttentionBlock`; and if `num_seeds` is not positive.

    Example:

    >>> import numpy as np
    >>> PoolingByMultiheadAttention(num_heads=2)(np.ones((3, 5, 8))).shape
    TensorShape([3, 1, 8])
    """

    def __init__(
        self,
        num_heads,
        num_seeds=1,
        hidden_units=None,
        layer_norm=True,
        initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(num_heads, hidden_units, layer_norm, **kwargs)
        _require_size("num_seeds", num_seeds)
        self.num_seeds = num_seeds
        self.initializer = initializers.get(initializer)

    def build(self, inputs_shape):
        batch, _, size = inputs_shape
        self.seeds = self.add_weight((self.num_seeds, size), self.initializer, name="seeds")
        self.feed_forward = self._feed_forward(inputs_shape)
        self.block = self._block("block", (batch, self.num_seeds, size), inputs_shape)

    def call(self, inputs, mask=None, training=False):
        z = self.feed_forward(zero_masked(inputs, mask))
        seeds = _for_each_set(self.seeds, inputs)
        return self.block(seeds, z, value_mask=mask, training=training)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape[0], self.num_seeds, inputs_shape[-1])

    def get_config(self):
        initializer = initializers.serialize(self.initializer)
        config = {"num_seeds": self.num_seeds, "initializer": initializer}
        return {**super().get_config(), **config}


def _for_each_set(points, inputs):
    """Returns points `(m, D)` once for each of the sets `(B, T, D)`: `(B, m, D)`."""
    return ops.broadcast_to(ops.expand_dims(points, 0), (ops.shape(inputs)[0], *points.shape))
