"""What every attention by score shares; notes A (20)-(22), notes B (6)-(9).

    e_{lt}  = phi(q_l, k_t)                   score: what a subclass defines
    alpha_l = a(e_l)                          the row-wise activation: by default the softmax over t
                                              of the vector e_l (the notes' (7), erratum X26)
    v_l     = sum_t alpha_{lt} z_t            context

q queries, k keys, z values. Notes A's definitions are ways to call a layer: its weights are the
softmax gating function f_phi (Def. 3), `layer(query, value)`, where the values are their own keys,
is self-gated attention (Def. 4), `layer(query, value, key)` is key-value attention (Def. 5).
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from seqkeras.ops.attention_weights import get_activation, serialize_activation
from seqkeras.ops.masks import both, causal_mask, zero_masked


class AttentionMemory(NamedTuple):
    """What attention needs of a memory, worked out once for all queries.

    Attributes:
        values: Float tensor `(B, S, Dv)`, zero where masked.
        keys: What the scores need of the keys `(B, S, ...)`.
        mask: Boolean tensor `(B, S)` or None.
    """

    values: Any
    keys: Any
    mask: Any


class ScoredAttention(keras.Layer):
    """Attention by a score of query and key; the base of the forms that have names.

    A subclass defines `build_score(query_dim, key_dim)`, `project_keys(key)` and
    `score(query, keys)`. What depends on the keys alone is in `project_keys`, so a decoder that
    asks at every step pays for it once.

    Args:
        activation: The row-wise a(.) from scores to weights: "softmax", "hard" (the highest score,
            of equal ones the first; without a gradient, which `HardAttention` has), "identity", a
            name in `keras.activations`, or a function; see
            `seqkeras.ops.attention_weights.get_activation`.

    Call arguments:
        query: Float tensor `(B, T, Dq)`.
        value: Float tensor `(B, S, Dv)`.
        key: Float tensor `(B, S, Dk)`; default: `value`.
        query_mask: Boolean `(B, T)`; a masked query gets a zero context.
        value_mask, key_mask: Boolean `(B, S)`; a position masked in either has weight exactly 0.
        attention_mask: Boolean `(B, T, S)`, True where a query may look.
        return_attention_scores: If True, the weights are returned too; the context is the same.
        training: Ignored: these layers do the same in training and inference.
        use_causal_mask: If True, query t sees positions s <= t only.

    Returns:
        The context `(B, T, Dv)`, or `(context, weights (B, T, S))`.

    Raises:
        ValueError: for an unknown activation.

    Masking: what stands in a masked value, key or query changes nothing, NaN included. A query that
    may look nowhere gets zero weights and a zero context, with finite gradients.
    """

    def __init__(self, activation="softmax", **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.activation = activation
        self._weigh = get_activation(activation)

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = key_shape or value_shape
        self.build_score(query_shape[-1], key_shape[-1])

    def build_score(self, query_dim, key_dim):
        """Makes the weights of the score, and checks that the sizes go together."""

    def project_keys(self, key):
        """Returns what `score` needs of key `(B, S, Dk)`."""
        return key

    def score(self, query, keys):
        """Returns the scores `(B, T, S)` of query `(B, T, Dq)` and projected keys."""
        raise NotImplementedError(f"{type(self).__name__} must define score().")

    def prepare(self, value, key=None, mask=None):
        """Returns the `AttentionMemory` of a memory that will be asked many times."""
        value = zero_masked(value, mask)
        key = value if key is None else zero_masked(key, mask)
        return AttentionMemory(value, self.project_keys(key), mask)

    def attend(self, query, memory, attention_mask=None):
        """Returns `(context (B, T, Dv), weights (B, T, S))` for query `(B, T, Dq)`."""
        mask = self.visible(memory, attention_mask)
        weights = self._weigh(self.score(query, memory.keys), mask)
        return ops.matmul(weights, memory.values), weights

    def visible(self, memory, attention_mask=None):
        """Returns where queries may look, a mask that broadcasts to `(B, T, S)`, or None."""
        mask = None if memory.mask is None else ops.expand_dims(memory.mask, 1)  # (B, 1, S)
        return both(mask, attention_mask)

    def clean(
        self, query, value, key, query_mask, value_mask, key_mask, attention_mask, use_causal_mask
    ):
        """Returns `(query, memory, attention_mask)` as `attend` takes them; arguments as `call`."""
        memory = self.prepare(value, key, both(value_mask, key_mask))
        if use_causal_mask:
            causal = causal_mask(ops.shape(query)[1], ops.shape(value)[1])
            attention_mask = both(attention_mask, ops.expand_dims(causal, 0))
        return zero_masked(query, query_mask), memory, attention_mask

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        masks = (query_mask, value_mask, key_mask, attention_mask)
        query, memory, attention_mask = self.clean(query, value, key, *masks, use_causal_mask)
        context, weights = self.attend(query, memory, attention_mask)
        context = zero_masked(context, query_mask)
        if return_attention_scores:
            return context, weights
        return context

    def compute_mask(self, _, mask=None):
        return mask

    def get_config(self):
        return {**super().get_config(), "activation": serialize_activation(self.activation)}
