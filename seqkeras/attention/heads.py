"""What multi-head and grouped-query attention share; notes A (25), notes B (13).

    head_n = a(Q_n K_n^T / sqrt(d)) V_n,    Q_n = X W_n^Q,  K_n = Z W_n^K,  V_n = Z W_n^V
    output = [head_1; ...; head_N] W^O

d is the size of one head's queries and keys (erratum X09). For every head there are a W^Q; of W^K
and W^V there are G <= N, each for N / G heads.
"""

import functools
from typing import Any, NamedTuple

import keras
from keras import ops

from seqkeras.attention.axes import AttentionAxes
from seqkeras.attention.projection import Projections, project_together
from seqkeras.ops import attention as kernels
from seqkeras.ops.attention_weights import get_activation, serialize_activation
from seqkeras.ops.hypothesis_rows import HypothesisRows
from seqkeras.ops.masks import both, zero_masked

# Up to so many scores of an example, 16 MiB, all at once: blocks take a fifth more time.
_WHOLE_UP_TO = 2**22
_LONG = 2**14  # what a length that is not known is taken for, where it could be long


class HeadMemory(NamedTuple):
    """What heads need of a memory, worked out once for all queries.

    Attributes:
        keys: Float tensor `(B, G, S, D)`.
        values: Float tensor `(B, G, S, Dv)`.
    """

    keys: Any
    values: Any


class HeadedAttention(keras.Layer):
    """Scaled dot-product attention in N subspaces at once: the base of the layers that have names.

    A subclass gives names to the sizes, which it hands to `_set_sizes`.

    Args:
        dropout: Rate in [0, 1) at which weights are dropped in training.
        use_bias: If False, no projection has a bias.
        sliding_window: int w or None: a query sees positions nearer than w on either side.
        flash_attention: If True, the `(T, S)` matrix of weights is never made, so that there is no
            dropout and there are no weights to return, as in Keras; False: always. None: by length.
            Without it, in 16 bits, JAX on a GPU runs cuDNN's kernel.
        use_gate: If True, sigmoid(X W^G) gates the heads (Qiu et al. 2025, arXiv:2505.06708).
        seed: int or None, of the dropout.
        activation: The row-wise a(.): "softmax", "hard", "identity" or a function, see
            `seqkeras.ops.attention_weights`.
        chunk_size: int or None: how many queries make their weights at a time, so that the
            `(T, S)` matrix is made only where the weights are asked for. None: all of them, but for
            long sequences of known length.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint: Of every projection.

    Masking: what stands in a masked value, key or query changes nothing, NaN included. A query that
    is masked, or may look nowhere, gets zero heads (so the output is the bias of W^O), with finite
    gradients. Asking for the weights never changes the output. Keras' layers have the mean of the
    values there, or zero, depending on dropout and on whether the weights are asked for.

    Raises:
        ValueError: for options that do not go together, and at build for shapes that do not.
    """

    def __init__(
        self,
        dropout=0.0,
        use_bias=True,
        sliding_window=None,
        flash_attention=None,
        use_gate=False,
        seed=None,
        activation="softmax",
        chunk_size=None,
        **kwargs,
    ):
        given = {name: kwargs.pop(name) for name in Projections.names if name in kwargs}
        super().__init__(**kwargs)
        self.supports_masking = True
        self.dropout = dropout
        self.use_bias = use_bias
        self.sliding_window = sliding_window
        self.flash_attention = flash_attention
        self.use_gate = use_gate
        self.seed = seed
        self.activation = activation
        self.chunk_size = chunk_size
        self._weigh = None if activation == "softmax" else get_activation(activation)
        self._check_options()
        self._projections = Projections(**given)
        if dropout:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def _check_options(self):
        for name in ("sliding_window", "chunk_size"):
            value = getattr(self, name)
            if value is not None and not is_size(value):
                raise ValueError(f"`{name}`: expected a positive integer or None, got {value!r}.")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"`dropout`: expected a rate in [0, 1), got {self.dropout!r}.")
        if self.flash_attention and self.dropout:
            raise ValueError(
                "Dropout is not supported when flash attention is enabled: expected 0.0, got "
                f"{self.dropout}."
            )
        if self.flash_attention is False and self.chunk_size:
            raise ValueError(
                "flash_attention=False makes the whole matrix of weights: expected chunk_size=None,"
                f" got {self.chunk_size}."
            )
        if self._weigh is not None and (self.flash_attention or self.chunk_size):
            raise ValueError(
                "Blocks of queries know the softmax only: expected activation='softmax', got "
                f"{self.activation!r}. Leave flash_attention and chunk_size out."
            )

    def _set_sizes(self, heads, groups, size, value_size, features=None, axes=None):
        """Names the sizes: N, G, D and Dv of a head, the output's, and the axes attended over."""
        self._heads, self._groups = heads, groups
        self._size, self._value_size = size, value_size
        self._features, self._axes_given = features, axes

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        self._check_shapes(query_shape, value_shape, key_shape)
        self._axes = AttentionAxes(len(query_shape), self._axes_given)
        self._axes.check(query_shape, value_shape)
        heads, size, value_size = self._heads, self._size, self._value_size
        features = self._features or (query_shape[-1],)
        options = {"use_bias": self.use_bias, "dtype": self.dtype_policy}
        make = functools.partial(self._projections.build, **options)
        self._query_dense = make("query", query_shape, (heads, size))
        self._key_dense = make("key", key_shape, (self._groups, size))
        if self.use_gate:
            gates = (heads, value_size)
            self._gate_dense = make("gate", query_shape, gates, activation="sigmoid")
        self._value_dense = make("value", value_shape, (self._groups, value_size))
        joined = (query_shape[0], None, heads, value_size)
        self._output_dense = make("attention_output", joined, features, bound=2)

    def _check_shapes(self, query_shape, value_shape, key_shape):
        query_shape, value_shape, key_shape = map(tuple, (query_shape, value_shape, key_shape))
        if value_shape[1:-1] != key_shape[1:-1]:
            raise ValueError(
                f"{type(self).__name__}: the lengths of value and key must be equal, got value "
                f"{value_shape} and key {key_shape}."
            )
        if len(query_shape) != len(value_shape) or len(query_shape) < 3:
            raise ValueError(
                f"{type(self).__name__}: expected query and value of one rank, at least 3, got "
                f"query {query_shape} and value {value_shape}."
            )

    query_dense = property(lambda self: self._query_dense)
    key_dense = property(lambda self: self._key_dense)
    value_dense = property(lambda self: self._value_dense)
    output_dense = property(lambda self: self._output_dense)

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
        self._check_wish(return_attention_scores)
        axes = self._axes
        queries = axes.fold(query_mask)
        folded_query = zero_masked(axes.fold(query), queries)
        keys = axes.fold(both(value_mask, key_mask))
        folded_value = zero_masked(axes.fold(value), keys)
        folded_key = None if key is None else zero_masked(axes.fold(key), keys)
        pattern = None if attention_mask is None else axes.fold_pattern(attention_mask, query)
        parts = kernels.Visibility(
            keys, pattern, use_causal_mask, self.sliding_window, queries=queries
        )
        memory = self.prepare(folded_value, folded_key)
        lengths = ops.shape(folded_query)[1], ops.shape(folded_value)[1]
        mask = self.mask(parts, *lengths, whole=return_attention_scores)
        output, weights = self.attend(folded_query, memory, mask, training=training)
        output = axes.unfold(output, query)
        if not return_attention_scores:
            return output
        return output, axes.unfold_scores(weights, query, value)

    def _check_wish(self, return_attention_scores):
        if self.flash_attention and return_attention_scores:
            raise ValueError(
                "Returning attention scores is not supported when flash attention is enabled: "
                "expected return_attention_scores=False, or a layer with flash_attention=None."
            )

    # What blocks and decoding use: the parts of `call`, on clean inputs `(B, T, D)`.

    def mask(self, parts, queries, keys, whole=False):
        """Returns a mask as `attend` takes it, for this layer and those of the same options.

        Args:
            parts: `Visibility`.
            queries, keys: int or int tensor, T and S.
            whole: If True, the weights are wanted.

        Returns:
            The `Visibility` itself where the weights will be made block by block, else an
            `AdditiveMask`, or None where nothing is hidden.
        """
        if not whole and self._rows(queries, keys) is not None:
            return parts
        return kernels.additive(parts, queries, keys)

    def _rows(self, t, s):
        """Returns how many of T queries make their weights at a time, or None for all of them."""
        t, s = (size if isinstance(size, int) else None for size in (t, s))
        if self.chunk_size:
            return self.chunk_size if t is None or t > self.chunk_size else None
        if self.flash_attention:
            return kernels.block_rows(self._heads, s or _LONG)
        long = t is not None and s is not None and self._heads * t * s > _WHOLE_UP_TO
        if self.flash_attention is False or self._weigh is not None or not long:
            return None
        return kernels.block_rows(self._heads, s)

    def prepare(self, value, key=None):
        """Returns the `HeadMemory` of value `(B, S, Dv)`, key `(B, S, Dk)`, finite everywhere."""
        key = value if key is None else key
        keys, values = self._key_dense(key), self._value_dense(value)
        return HeadMemory(_swapped(keys), _swapped(values))

    def attend(self, query, memory, mask=None, bias=None, training=False):
        """Returns `(output (B, T, E), weights (B, N, T, S))`; no weights, None, for a `Visibility`.

        Args:
            query: Float tensor `(B, T, D)`, finite everywhere.
            memory: `HeadMemory`.
            mask: What `mask` returned, or None.
            bias: Float tensor that broadcasts to `(B, N, T, S)`, added to the scores, or None.
            training: If True, weights are dropped out.
        """
        queries = _swapped(self._query_dense(query))
        return self._attend(queries, memory, query, mask, bias, training)

    def attend_itself(self, x, mask=None, bias=None, training=False):
        """Returns `attend(x, prepare(x), ...)`, with one product for queries, keys and values."""
        layers = (self._query_dense, self._key_dense, self._value_dense)
        together = project_together(layers, x)
        if together is None:
            return self.attend(x, self.prepare(x), mask, bias, training)
        queries, keys, values = together
        return self._attend(queries, HeadMemory(keys, values), x, mask, bias, training)

    def attend_by_rows(self, x, memory, mask=None, rows=None):
        """Attends from hypotheses to the memories of their examples.

        Args:
            x: Float tensor `(R, 1, D)`, finite everywhere, one position of each hypothesis.
            memory: `HeadMemory` of A examples.
            mask: What `mask` returned for any number of queries, or None.
            rows: `HypothesisRows`, which hypotheses the R rows are; None: one of each example.

        Returns:
            `(output (R, 1, E), weights (R, N, 1, S))`.
        """
        rows = rows or HypothesisRows(ops.shape(x)[0], 1)
        queries = rows.spread_heads(self._query_dense(x)[:, 0])
        heads = queries, memory.keys, memory.values
        context, weights = kernels.whole_attention(*heads, mask, None, self._weigh, 0.0, None)
        context = rows.collect_heads(context)[:, :, None]
        return self._join(context, x), rows.collect_heads(weights)[:, :, None]

    def _attend(self, queries, memory, query, mask, bias, training):
        dropout, seed = self._noise(training)
        heads = queries, memory.keys, memory.values
        if isinstance(mask, kernels.Visibility):
            if kernels.fused.fits(heads[0], heads[2], bias, dropout):
                return self._join(kernels.fused.fused_attention(*heads, mask), query), None
            rows = self._rows(ops.shape(query)[1], ops.shape(memory.keys)[2])
            context = kernels.chunked_attention(*heads, mask, rows, bias, dropout, seed)
            return self._join(context, query), None
        context, weights = kernels.whole_attention(*heads, mask, bias, self._weigh, dropout, seed)
        return self._join(context, query), weights

    def _noise(self, training):
        """Returns the rate of dropout and a seed to draw it with."""
        if not training or not self.dropout:
            return 0.0, None
        return self.dropout, self.seed_generator.next()

    def _join(self, context, query):
        """Maps heads `(B, N, T, Dv)` to the output `(B, T, E)`, through the gates if there are."""
        heads = _swapped(context)
        if self.use_gate:
            heads = heads * self._gate_dense(query)
        return self._output_dense(heads)

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        self._check_shapes(query_shape, value_shape, key_shape)
        return (*query_shape[:-1], *(self._features or query_shape[-1:]))

    def compute_output_spec(
        self, query, value, key=None, return_attention_scores=False, **unused_options
    ):
        shape = self.compute_output_shape(
            query.shape, value.shape, None if key is None else key.shape
        )
        output = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        self._check_wish(return_attention_scores)
        axes = AttentionAxes(len(query.shape), self._axes_given)
        batch = [query.shape[axis] for axis in (0, *axes.free)]
        lengths = [x.shape[axis] for x in (query, value) for axis in axes.attended]
        scores = (*batch, self._heads, *lengths)
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self):
        names = ("dropout", "use_bias", "sliding_window", "flash_attention", "use_gate", "seed")
        config = {name: getattr(self, name) for name in (*names, "chunk_size")}
        config["activation"] = serialize_activation(self.activation)
        return {**super().get_config(), **self._projections.get_config(), **config}


def is_size(value):
    """Returns whether value is a positive int."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _swapped(x):
    """Turns `(B, T, N, D)` into `(B, N, T, D)`, or back."""
    if 1 in x.shape[1:3]:  # no copy: a step of decoding has one query
        size = ops.shape(x)
        return ops.reshape(x, (size[0], size[2], size[1], size[3]))
    return ops.transpose(x, (0, 2, 1, 3))
