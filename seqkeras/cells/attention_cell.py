"""A cell that looks at a memory at every step; notes B 4.2, Bahdanau et al. 2015, Luong et al.
2015.

query="previous" (Bahdanau; notes B (4)-(8), notes A "Seq2seq with Attention"):

    f_t = T(m_t)                              feature map of the memory, optional (5)
    v_l = attend(h_{l-1}, f)                  (6)-(8)
    h_l = cell([x_l; v_l], h_{l-1})           (4)
    y_l = h_l, or [h_l; v_l]

query="current" (Luong):

    h_l = cell([x_l; y_{l-1}], h_{l-1})       y_{l-1} only with input feeding
    v_l = attend(h_l, f)
    y_l = tanh([v_l; h_l] W)
"""

import keras
from keras import ops

from seqkeras.cells.base import RecurrentCell, cell_output_size, check_cell, drop_inputs
from seqkeras.cells.keras_dropout import keeps_masks
from seqkeras.cells.stacked import StackedRNNCells
from seqkeras.ops.hypothesis_rows import HypothesisRows
from seqkeras.ops.masks import zero_masked

QUERIES = ("previous", "current")


@keras.saving.register_keras_serializable(package="seqkeras")
class AttentionCell(keras.Layer):
    """Any cell with any attention over a memory, which `RNN` hands in as `constants`.

    The memory is no state: it is prepared once (`prepare`) and closed over by every step.

    Args:
        cell: The recurrent cell; its query is its output. A stack of cells asks with the top one.
        attention: An attention layer, such as `BahdanauAttention(64)`.
        query: "previous": h_{l-1} asks and the context enters the cell. "current": h_l asks and the
            output mixes it with the context.
        input_feeding: For "current", where it is the default: feed y_{l-1} to the next step, beside
            its input.
        output_units: For "current": size of y; default: that of the cell's output.
        output_context: For "previous": the output is [h; v] instead of h.
        memory_map: A layer T applied to the memory first (notes B (5)), or None.
        return_attention_scores: If True, the output is the pair `(y, weights)`.

    Call arguments:
        inputs: Float tensor `(B, D)`.
        states: The cell's states; with input feeding followed by y_{l-1} `(B, output_units)`.
        constants: The memory, a float tensor `(B, S, Dm)`. Keyword only.
        constants_mask: Its mask `(B, S)` or None. Keyword only.

    Returns:
        `(y, states)`, or `((y, weights (B, S)), states)`.

    Raises:
        ValueError: for an unknown `query`, an option that the chosen `query` does not read, or a
            cell or attention that does not fit.
    """

    def __init__(
        self,
        cell,
        attention,
        query="previous",
        input_feeding=None,
        output_units=None,
        output_context=False,
        memory_map=None,
        return_attention_scores=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_parts(cell, attention)
        if query not in QUERIES:
            raise ValueError(f"query: expected one of {QUERIES}, got {query!r}.")
        if query == "previous" and (input_feeding or output_units is not None):
            raise ValueError(
                'AttentionCell: input_feeding and output_units belong to query="current"; with '
                'query="previous" the context itself enters the cell.'
            )
        if query == "current" and output_context:
            raise ValueError(
                'AttentionCell: output_context belongs to query="previous"; with query="current" '
                "the output mixes state and context already."
            )
        self.cell = cell
        self.attention = attention
        self.query = query
        self.input_feeding = query == "current" and input_feeding is not False
        self.output_context = output_context
        self.memory_map = memory_map
        self.return_attention_scores = return_attention_scores
        self.output_units = output_units
        self.context_dim = None

    @property
    def _y_size(self):
        size = cell_output_size(self.cell)
        if self.query == "current":
            return self.output_units or size
        return size + (self.context_dim or 0) * self.output_context

    @property
    def output_size(self):
        """H of y; with the weights `(H, -1)`: -1 is as long as the memory."""
        return (self._y_size, -1) if self.return_attention_scores else self._y_size

    @property
    def state_size(self):
        size = self.cell.state_size
        states = [size] if isinstance(size, int) else list(size)
        return [*states, self._y_size] if self.input_feeding else states

    def build(self, inputs_shape, constants_shape=None):
        if constants_shape is None:
            raise ValueError(
                "AttentionCell: expected a memory, got none. Run it by seqkeras.layers.RNN with "
                "constants=memory."
            )
        memory_shape = tuple(constants_shape)
        batch, features = inputs_shape[0], inputs_shape[-1]
        if self.memory_map is not None:
            if not self.memory_map.built:
                self.memory_map.build(memory_shape)
            memory_shape = tuple(self.memory_map.compute_output_shape(memory_shape))
        self.context_dim = memory_shape[-1]
        size = cell_output_size(self.cell)
        if not self.attention.built:
            self.attention.build((batch, 1, size), memory_shape)
        extra = self.context_dim
        if self.query == "current":
            extra = self._y_size if self.input_feeding else 0
            self.output_kernel = self.add_weight(
                (self.context_dim + size, self._y_size), "glorot_uniform", name="output_kernel"
            )
        if not self.cell.built:
            self.cell.build((batch, features + extra))
        self.features = features

    def get_initial_state(self, batch_size=None):
        states = list(self.cell.get_initial_state(batch_size=batch_size))
        if self.input_feeding:
            states.append(ops.zeros((batch_size, self._y_size), dtype=self.compute_dtype))
        return states

    # What leaves the loop: the memory's part, the inputs' share of the projection, the noise.

    def prepare(self, constants, constants_mask=None):
        """Returns the `AttentionMemory` that `step` asks, of a memory `(B, S, Dm)`."""
        if self.memory_map is not None:
            # Before the matmul, whose gradient by the kernel would meet the padding: 0 * NaN.
            constants = self.memory_map(zero_masked(constants, constants_mask))
        return self.attention.prepare(constants, mask=constants_mask)

    def project(self, inputs, training=False):
        """Returns the inputs' share of the cell's projection, or the inputs of a foreign cell."""
        if not self._hoists:
            return inputs
        mask = self.draw_input_mask(ops.shape(inputs)[-2], inputs.shape[-1], training)
        return self.cell.add_input_bias(self.cell.project_rows(drop_inputs(inputs, mask), 0))

    def draw_input_mask(self, batch_size, features, training=False):
        """Returns the cell's dropout mask `(B, D)` for the inputs of a sequence, or None."""
        return self.cell.draw_input_mask(batch_size, features, training) if self._hoists else None

    def draw_noise(self, batch_size, training=False):
        """Returns `(the cell's noise, dropout mask of what enters beside the inputs, or None)`."""
        if not self._hoists:
            return None
        width = self._y_size if self.query == "current" else self.context_dim
        mask = self.cell.draw_input_mask(batch_size, width, training)
        return self.cell.draw_noise(batch_size, training), mask

    @property
    def _hoists(self):
        return isinstance(self.cell, (RecurrentCell, StackedRNNCells)) and hasattr(
            self.cell, "project"
        )

    def step(self, z_t, states, noise=None, context=None, rows=None):
        """Returns `(output, states)`.

        Args:
            z_t, states, noise: as in every cell.
            context: What `prepare` returned.
            rows: `HypothesisRows`, for several hypotheses of each memory; None: one of each.
        """
        states = list(states)
        if self.query == "previous":
            v, weights = self.attend(states, context, rows)
            h, states = self._run_cell(z_t, v, states, noise)
            y = self._mix(h, v)
        else:
            y_before = states.pop() if self.input_feeding else None
            h, states = self._run_cell(z_t, y_before, states, noise)
            v, weights = self._ask(h, context, rows)
            y = self._mix(h, v)
            if self.input_feeding:
                states = [*states, y]
        return ((y, weights) if self.return_attention_scores else y), states

    def read(self, states, context, rows=None):
        """The output `(y, weights)` that the states give by themselves, without a step."""
        v, weights = self.attend(states, context, rows)
        return self._mix(self._hidden(states), v), weights

    def attend(self, states, context, rows=None):
        """Returns `(v (B, Dv), weights (B, S))` for the query that the states hold."""
        return self._ask(self._hidden(states), context, rows)

    def _mix(self, h, v):
        """y of the state h and the context v."""
        if self.query == "current":
            return ops.tanh(ops.matmul(ops.concatenate([v, h], axis=-1), self.output_kernel))
        return ops.concatenate([h, v], axis=-1) if self.output_context else h

    def _ask(self, h, context, rows):
        """`(v (N, Dv), weights (N, S))` for h `(N, H)`."""
        rows = rows or HypothesisRows(ops.shape(h)[0], 1)
        v, weights = self.attention.attend(rows.spread(h), context)
        return rows.collect(v), rows.collect(weights)

    def _hidden(self, states):
        """h of the (top) cell: by Keras' convention the first of its states."""
        own = list(states)[: len(states) - 1] if self.input_feeding else list(states)
        return _flat(own[-1])[0] if hasattr(self.cell, "cells") else _flat(own)[0]

    def _run_cell(self, z_t, extra, states, noise):
        if not self._hoists:
            inputs = z_t if extra is None else ops.concatenate([z_t, extra], axis=-1)
            h, states = self.cell(inputs, states)
            return h, [states] if isinstance(self.cell.state_size, int) else list(states)
        cell_noise, mask = noise or (None, None)
        if extra is not None:
            z_t = z_t + self.cell.project_rows(drop_inputs(extra, mask), self.features)
        return self.cell.step(z_t, states, cell_noise)

    def call(self, inputs, states, training=False, *, constants=None, constants_mask=None):
        noise = self.draw_noise(ops.shape(inputs)[0], training)
        context = self.prepare(constants, constants_mask)
        return self.step(self.project(inputs, training), states, noise, context)

    def get_config(self):
        config = {
            "query": self.query,
            "input_feeding": self.input_feeding,
            "output_units": self.output_units,
            "output_context": self.output_context,
            "return_attention_scores": self.return_attention_scores,
        }
        for name in ("cell", "attention", "memory_map"):
            layer = getattr(self, name)
            config[name] = None if layer is None else keras.saving.serialize_keras_object(layer)
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for name in ("cell", "attention", "memory_map"):
            if config[name] is not None:
                config[name] = keras.saving.deserialize_keras_object(
                    config[name], custom_objects=custom_objects
                )
        return cls(**config)


def _check_parts(cell, attention):
    check_cell(cell, "AttentionCell")
    if not hasattr(attention, "prepare") or not hasattr(attention, "attend"):
        raise ValueError(
            "AttentionCell: expected an attention layer of seqkeras.layers, such as "
            f"BahdanauAttention(64), got {attention!r}."
        )
    if getattr(attention, "estimator", "straight_through") != "straight_through":
        raise ValueError(
            "AttentionCell: expected a HardAttention that draws nothing, got estimator="
            f"{attention.estimator!r}: a cell has no noise of each step to hand on, so training "
            'would always take the highest score. Use estimator="straight_through".'
        )
    if keeps_masks(cell):
        raise ValueError(
            f"AttentionCell: expected a cell of seqkeras.layers, got {type(cell).__name__} "
            "with dropout of Keras, whose masks would outlive the sequence. Use the cell of "
            "that name in seqkeras.layers."
        )


def _flat(nested):
    return keras.tree.flatten(nested)
