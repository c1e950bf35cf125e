"""A stack of Transformer layers, Vaswani et al. 2017 (arXiv:1706.03762), Figure 1; notes A Fig. 20,
notes B 4.5. The layers stand in `seqkeras.blocks.transformer_layer`.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from seqkeras.attention.heads import HeadMemory
from seqkeras.blocks.layer_normalization import LayerNormalization
from seqkeras.blocks.transformer_layer import TransformerLayer
from seqkeras.ops.masks import zero_masked


class StackOutput(NamedTuple):
    """What a stack made.

    Attributes:
        x: Float tensor `(B, T, D)`.
        own: List of the layers' self-attention weights `(B, N, T, T)`, as in `LayerOutput`.
        other: List of the layers' weights `(B, N, T, S)` over the memory; empty without.
    """

    x: Any
    own: list
    other: list


class StackMemory(NamedTuple):
    """A memory as the layers of a stack ask it, worked out once.

    Attributes:
        heads: Tuple of a `HeadMemory` for each layer.
        mask: The mask of the memory, or None where nothing is hidden.
    """

    heads: tuple
    mask: Any


@keras.saving.register_keras_serializable(package="seqkeras")
class TransformerStack(keras.Layer):
    """Transformer layers one after the other, and a last norm if they norm what enters them.

    As it stands an encoder; with `causal=True` the trunk of a language model; with `causal=True,
    cross_attention=True` that of a decoder. Masks are made once for all layers.

    Args:
        num_layers: int of at least 1.
        num_heads, hidden_units, norm, epsilon, causal, cross_attention, and the others: see
            `TransformerLayer`.

    Call arguments:
        inputs: Float tensor `(B, T, D)`.
        memory: Float tensor `(B, S, Dm)`, for `cross_attention=True` only.
        mask: Boolean `(B, T)` or None.
        memory_mask: Boolean `(B, S)` or None.
        inputs_mask: The same as `mask`: where there is a memory, Keras fills in the mask that the
            inputs carry by this name.
        training: If True, dropout is on.
        return_attention_scores: If True, returns a `StackOutput`.

    Returns:
        Float tensor `(B, T, D)`.

    Masking, Raises: see `TransformerLayer`.

    Example:

    >>> import numpy as np
    >>> stack = TransformerStack(2, num_heads=2, hidden_units=16)
    >>> stack(np.ones((2, 5, 8))).shape
    TensorShape([2, 5, 8])
    """

    def __init__(
        self,
        num_layers,
        num_heads,
        hidden_units,
        norm="pre",
        epsilon=1e-5,
        causal=False,
        cross_attention=False,
        name=None,
        dtype=None,
        trainable=True,
        **options,
    ):
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if not isinstance(num_layers, int) or num_layers < 1:
            raise ValueError(f"num_layers: expected at least 1, got {num_layers!r}.")
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.causal = causal
        self.cross_attention = cross_attention
        self.options = {
            "hidden_units": hidden_units,
            "norm": norm,
            "epsilon": epsilon,
            **options,
        }
        self.layers = [
            TransformerLayer(
                num_heads,
                causal=causal,
                cross_attention=cross_attention,
                dtype=self.dtype_policy,
                name=f"layer_{index}",
                **self.options,
            )
            for index in range(num_layers)
        ]
        self.last_norm = None
        if norm == "pre":
            self.last_norm = LayerNormalization(
                epsilon=epsilon, dtype=self.dtype_policy, name="last_norm"
            )
        self.supports_masking = True

    def build(self, inputs_shape, memory_shape=None):
        for layer in self.layers:
            layer.build(inputs_shape, memory_shape)
        if self.last_norm is not None:
            self.last_norm.build(inputs_shape)
        self.size = inputs_shape[-1]

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
        mask = inputs_mask if mask is None else mask
        x = zero_masked(inputs, mask)
        own_mask = self.layers[0].own_mask(mask, x, return_attention_scores)
        if memory is not None:
            memory = self._prepare(memory, memory_mask, x, return_attention_scores)
        heads, other_mask = memory or self._no_memory
        own, other = [], []
        for layer, prepared in zip(self.layers, heads, strict=True):
            output = layer.run(x, own_mask, prepared, other_mask, training)
            x = output.x
            own.append(output.own)
            other.append(output.other)
        x = self._finish(x)
        if not return_attention_scores:
            return x
        return StackOutput(x, own, other if self.cross_attention else [])

    @property
    def _no_memory(self):
        return StackMemory((None,) * self.num_layers, None)

    def _finish(self, x):
        return x if self.last_norm is None else self.last_norm(x)

    # What decoding needs: `prepare` once for each memory, then `start` and a `step` a position.

    def prepare(self, memory, memory_mask=None):
        """Returns the `StackMemory` of memory `(B, S, Dm)`, for any number of queries."""
        return self._prepare(memory, memory_mask)

    def _prepare(self, memory, memory_mask, *of_queries):
        memory = zero_masked(memory, memory_mask)
        heads = tuple(layer.prepare(memory) for layer in self.layers)
        return StackMemory(heads, self.layers[0].other_mask(memory_mask, memory, *of_queries))

    def start(self, batch_size):
        """Returns the caches of no position: for each layer a `HeadMemory` `(B, N, 0, D)`."""
        size = self.size // self.num_heads
        empty = ops.zeros((batch_size, self.num_heads, 0, size), self.compute_dtype)
        return [HeadMemory(empty, empty) for _ in self.layers]

    def step(self, x, caches, memory=None, rows=None):
        """Goes on by one position.

        Args:
            x: Float tensor `(R, 1, D)`.
            caches: List of a `HeadMemory` of t positions for each layer, t >= 0.
            memory: `StackMemory` or None.
            rows: `HypothesisRows`, see `TransformerLayer.step`.

        Returns:
            `(StackOutput of the one position, caches of t + 1 positions)`.
        """
        heads, other_mask = memory or self._no_memory
        own, other, grown = [], [], []
        for layer, cache, prepared in zip(self.layers, caches, heads, strict=True):
            output, cache = layer.step(x, cache, prepared, other_mask, rows)
            x = output.x
            own.append(output.own)
            other.append(output.other)
            grown.append(cache)
        return StackOutput(self._finish(x), own, other if memory is not None else []), grown

    def compute_output_shape(self, inputs_shape, memory_shape=None):
        return inputs_shape

    def get_config(self):
        of_layer = self.layers[0].get_config()
        return {"num_layers": self.num_layers, **of_layer, **super().get_config()}
