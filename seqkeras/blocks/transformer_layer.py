"""One layer of a Transformer, Vaswani et al. 2017 (arXiv:1706.03762), section 3.1; notes A Fig. 20,
notes B 4.5.

    x = x + drop(self-attention(x))            looks at the sequence itself
    x = x + drop(attention(x, memory))         looks at another, if there is one
    x = x + drop(feed-forward(x))              each position by itself

Where layer norm stands: "post" (the paper) norms every sum, LN(x + f(x)); "pre" (Xiong et al. 2020,
arXiv:2002.04745) norms what enters, x + f(LN(x)), which trains without a long warm-up, and leaves a
last norm to the end of the stack.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from seqkeras.attention.heads import HeadMemory
from seqkeras.attention.multi_head import MultiHeadAttention
from seqkeras.blocks.feed_forward import FeedForward
from seqkeras.blocks.residual import Residual
from seqkeras.ops import attention as kernels
from seqkeras.ops.masks import zero_masked


class LayerOutput(NamedTuple):
    """What a layer made.

    Attributes:
        x: Float tensor `(B, T, D)`.
        own: Weights `(B, N, T, T)` of the self-attention, or None where they were made in blocks.
        other: Weights `(B, N, T, S)` of the attention to the memory, or None.
    """

    x: Any
    own: Any = None
    other: Any = None


@keras.saving.register_keras_serializable(package="seqkeras")
class TransformerLayer(keras.Layer):
    """Self-attention, attention to a memory if asked for, and a feed-forward network.

    As it stands the layer of an encoder; with `causal=True` that of a language model; with
    `causal=True, cross_attention=True` that of a decoder.

    Args:
        num_heads: int. N, a divisor of D.
        hidden_units: int, the width of the feed-forward network.
        dropout: Rate in [0, 1) on what each part adds.
        attention_dropout: Rate on the attention weights.
        hidden_dropout: Rate inside the feed-forward network.
        norm: "pre" or "post".
        activation: Of the feed-forward network, see `FeedForward`.
        causal: If True, a position sees no later one.
        cross_attention: If True, the layer takes a memory.
        epsilon: Of the layer norms.
        seed: int or None, of the dropout.
        chunk_size: int or None: how many queries make their weights at a time, see
            `HeadedAttention`. None: all of them, but for long sequences of known length.

    Call arguments:
        inputs: Float tensor `(B, T, D)`.
        memory: Float tensor `(B, S, Dm)`, for `cross_attention=True` only.
        mask: Boolean `(B, T)` or None.
        memory_mask: Boolean `(B, S)` or None.
        inputs_mask: The same as `mask`: where there is a memory, Keras fills in the mask that the
            inputs carry by this name.
        training: If True, dropout is on.
        return_attention_scores: If True, returns a `LayerOutput`.

    Returns:
        Float tensor `(B, T, D)`.

    Masking: masked positions of inputs and memory influence no real one, NaN included.

    Raises:
        ValueError: for an unknown `norm`, at build if N does not divide D, and for a memory where
            none is expected or the other way round.

    Example:

    >>> import numpy as np
    >>> TransformerLayer(num_heads=2, hidden_units=16)(np.ones((2, 5, 8))).shape
    TensorShape([2, 5, 8])
    """

    def __init__(
        self,
        num_heads,
        hidden_units,
        dropout=0.0,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        norm="pre",
        activation="relu",
        causal=False,
        cross_attention=False,
        epsilon=1e-5,
        seed=None,
        chunk_size=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.hidden_units = hidden_units
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.hidden_dropout = hidden_dropout
        self.norm = norm
        self.activation = activation
        self.causal = causal
        self.cross_attention = cross_attention
        self.epsilon = epsilon
        self.seed = seed
        self.chunk_size = chunk_size
        self.supports_masking = True

    def build(self, inputs_shape, memory_shape=None):
        self._check_memory(memory_shape is not None)
        size = inputs_shape[-1]
        if size % self.num_heads:
            raise ValueError(
                f"TransformerLayer: expected inputs whose size the {self.num_heads} heads divide, "
                f"got {size}. Change num_heads or the size."
            )
        self.self_attention = self._attention(size, "self_attention")
        self.around_self = self._residual("around_self_attention")
        if self.cross_attention:
            self.memory_attention = self._attention(size, "memory_attention")
            self.around_memory = self._residual("around_memory_attention")
        self.feed_forward = FeedForward(
            self.hidden_units,
            self.activation,
            self.hidden_dropout,
            seed=self.seed,
            dtype=self.dtype_policy,
            name="feed_forward",
        )
        self.around_feed_forward = self._residual("around_feed_forward")
        shape = (*inputs_shape[:-1], size)
        self.self_attention.build(shape, shape)
        if self.cross_attention:
            self.memory_attention.build(shape, memory_shape)
            self.around_memory.build(shape)
        self.feed_forward.build(shape)
        for residual in (self.around_self, self.around_feed_forward):
            residual.build(shape)

    def _attention(self, size, name):
        return MultiHeadAttention(
            self.num_heads,
            size // self.num_heads,
            dropout=self.attention_dropout,
            chunk_size=self.chunk_size,
            seed=self.seed,
            dtype=self.dtype_policy,
            name=name,
        )

    def _residual(self, name):
        return Residual(
            norm=self.norm,
            dropout=self.dropout,
            epsilon=self.epsilon,
            seed=self.seed,
            dtype=self.dtype_policy,
            name=name,
        )

    def call(
        self,
        inputs,
        memory=None,
        mask=None,
        memory_mask=None,
        training=False,
        return_attention_scores=False,
        inputs_mask=None,
    ):
        self._check_memory(memory is not None)
        mask = inputs_mask if mask is None else mask
        inputs = zero_masked(inputs, mask)
        own = self.own_mask(mask, inputs, return_attention_scores)
        other = prepared = None
        if memory is not None:
            prepared = self.prepare(zero_masked(memory, memory_mask))
            other = self.other_mask(memory_mask, memory, inputs, return_attention_scores)
        output = self.run(inputs, own, prepared, other, training)
        return output if return_attention_scores else output.x

    def _check_memory(self, given):
        if given != self.cross_attention:
            raise ValueError(
                f"TransformerLayer: with cross_attention={self.cross_attention}, expected "
                f"{'a' if self.cross_attention else 'no'} memory, got "
                f"{'one' if given else 'none'}."
            )

    # What a stack uses, so that masks are made and memories cleaned once for all its layers.

    def own_mask(self, mask, x, whole=False):
        """Returns the mask of the self-attention of x `(B, T, D)`, see `HeadedAttention.mask`."""
        length = ops.shape(x)[1]
        parts = kernels.Visibility(mask, causal=self.causal)
        return self.self_attention.mask(parts, length, length, whole)

    def other_mask(self, memory_mask, memory, x=None, whole=False):
        """Returns the mask of the attention to memory `(B, S, Dm)` of x `(B, T, D)`.

        Without x that for any number of queries, for which the whole matrix is made.
        """
        parts, length = kernels.Visibility(memory_mask), ops.shape(memory)[1]
        if x is None:
            return kernels.additive(parts, 1, length)
        return self.memory_attention.mask(parts, ops.shape(x)[1], length, whole)

    def prepare(self, memory):
        """Returns the `HeadMemory` of memory `(B, S, Dm)`, finite everywhere; None without."""
        return self.memory_attention.prepare(memory) if self.cross_attention else None

    def run(self, x, own_mask, prepared=None, other_mask=None, training=False):
        """Returns the `LayerOutput` of inputs `(B, T, D)` that are finite everywhere."""

        def attend(x):
            return self.self_attention.attend_itself(x, own_mask, training=training)

        def look(x):
            return self.memory_attention.attend(x, prepared, other_mask, training=training)

        return LayerOutput(*self._run(x, attend, look, training))

    def step(self, x, past, prepared=None, other_mask=None, rows=None):
        """Goes on by one position.

        Args:
            x: Float tensor `(R, 1, D)`.
            past: `HeadMemory` of the t positions before, t >= 0.
            prepared, other_mask: as for `run`, of the B examples to which the rows belong.
            rows: `HypothesisRows`, which hypotheses of them ask, where there is a memory;
                None: one of each.

        Returns:
            `(LayerOutput, HeadMemory of t + 1 positions)`.
        """

        def attend(x):
            pairs = zip(past, self.self_attention.prepare(x), strict=True)
            heads = HeadMemory(*(ops.concatenate(pair, axis=2) for pair in pairs))
            output, weights = self.self_attention.attend(x, heads)
            return output, (weights, heads)

        def look(x):
            return self.memory_attention.attend_by_rows(x, prepared, other_mask, rows)

        x, (own, heads), other = self._run(x, attend, look, False)
        return LayerOutput(x, own, other), heads

    def _run(self, x, attend, look, training):
        """Returns x after the parts of the layer, and what `attend` and `look` gave with it."""
        x, own = self.around_self.around(attend, x, training)
        other = None
        if self.cross_attention:
            x, other = self.around_memory.around(look, x, training)
        x, _ = self.around_feed_forward.around(
            lambda x: (self.feed_forward(x, training=training), None), x, training
        )
        return x, own, other

    def compute_output_shape(self, inputs_shape, memory_shape=None):
        return inputs_shape

    def get_config(self):
        names = (
            "num_heads",
            "hidden_units",
            "dropout",
            "attention_dropout",
            "hidden_dropout",
            "norm",
            "causal",
            "cross_attention",
            "epsilon",
            "seed",
            "chunk_size",
        )
        config = {name: getattr(self, name) for name in names}
        named = isinstance(self.activation, str)
        config["activation"] = (
            self.activation if named else keras.activations.serialize(self.activation)
        )
        return {**super().get_config(), **config}
