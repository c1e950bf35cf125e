"""`RNN`, which runs a cell over time.

    h_t = F(h_{t-1}, x_t),  t = 1..T        notes A (1), notes B (1)

Here are the states, masks, shapes and the configuration; `run_cell` has the loop.
"""

import keras
from keras import ops, tree

from seqkeras.cells.base import cell_output_size, check_cell, is_split
from seqkeras.cells.run_cell import How, run_cell
from seqkeras.cells.stacked import StackedRNNCells
from seqkeras.ops.masks import zero_masked


@keras.saving.register_keras_serializable(package="seqkeras")
class RNN(keras.Layer):
    """Runs a cell over the time axis: `keras.layers.RNN`, with constants and learned states.

    Use it for a cell of your own, a stack of cells or an attention cell; `LSTM`, `GRU` and
    `SimpleRNN` are this layer with their cell.

    Args:
        cell: A layer with `call(inputs, states) -> (output, states)` and `state_size`. If it also
            has `project`, `step` and `draw_noise` (see `RecurrentCell`), only `step` runs in the
            loop.
        return_sequences: If True, the output of every step, else of the last.
        return_state: If True, the last states are returned too.
        go_backwards: If True, time runs from T to 1 and the outputs are in that order.
        stateful: If True, the states at the end of a batch start the next one. The batch size must
            be static.
        unroll: If True, a Python loop; the number of steps must be static.
        zero_output_for_mask: If True, the output of a masked step is zero, else the last output.
        learn_initial_state: If True, the initial states are weights (notes B 1.3.1), unless given.

    Call arguments:
        sequences: Float tensor `(B, T, D)`.
        initial_state: List of tensors in the structure of `cell.state_size`, or None.
        mask: Boolean tensor `(B, T)`, True = real, or None.
        training: Passed to the cell. If it is False, and not just not given, nothing is kept for a
            gradient that is faster than the backend's own.
        constants: Tensor or list of tensors handed to `cell.prepare`, the memory of an attention
            cell. Keyword only.
        constants_mask: Their masks, in the same structure. Keyword only.
        sequences_mask: The name under which Keras hands over the mask that `sequences` carries when
            other tensors, such as the initial state, come along. Give `mask` yourself.

    Returns:
        The output `(B, T, H)` or `(B, H)`, in the structure that the cell's output has; with
        `return_state` a tuple `(output, *states)`.

    Masking: a masked step keeps the states and repeats the last output, zero before the first real
    step. The mask is passed on with the sequences.

    Raises:
        ValueError: if the cell has no `state_size`, a stateful layer gets another batch size, or
            constants are given to a cell that takes none (or the other way round).
    """

    def __init__(
        self,
        cell,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        zero_output_for_mask=False,
        learn_initial_state=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        check_cell(cell, "RNN")
        if stateful and learn_initial_state:
            raise ValueError(
                "RNN: expected stateful=True or learn_initial_state=True, got both. Carried states "
                "start at zero; to start them elsewhere give initial_state in the first batch."
            )
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.learn_initial_state = learn_initial_state
        self.supports_masking = True
        self.states = None
        self.initial_state_weights = None

    @property
    def state_size(self):
        size = self.cell.state_size
        return [size] if isinstance(size, int) else list(size)

    @property
    def cudnn_mode(self):
        """cuDNN's name of the whole layer, or None if a loop runs it."""
        return None

    @property
    def takes_constants(self):
        return hasattr(self.cell, "prepare")

    def build(self, sequences_shape, initial_state_shape=None, constants_shape=None):
        step_shape = (sequences_shape[0], *sequences_shape[2:])
        if isinstance(self.cell, keras.Layer) and not self.cell.built:
            if self.takes_constants:
                self.cell.build(step_shape, constants_shape)
            else:
                self.cell.build(step_shape)
        if self.learn_initial_state:
            self.initial_state_weights = tree.map_structure(
                lambda size: self.add_weight((size,), initializer="zeros", name="initial_state"),
                self.state_size,
            )
        if self.stateful and self.states is None:
            if sequences_shape[0] is None:
                raise ValueError(
                    "RNN(stateful=True): expected a static batch size, got None. Give the Input a "
                    "`batch_shape` or batch the data with drop_remainder=True."
                )
            self.states = tree.map_structure(
                lambda size: self.add_weight(
                    (sequences_shape[0], size),
                    initializer="zeros",
                    trainable=False,
                    name="rnn_state",
                ),
                self.state_size,
            )

    def get_initial_state(self, batch_size):
        """Returns the states before the first step: learned ones, or the cell's own."""
        if self.initial_state_weights is not None:
            return tree.map_structure(
                lambda w: ops.broadcast_to(w, (batch_size, w.shape[0])), self.initial_state_weights
            )
        if hasattr(self.cell, "get_initial_state"):
            states = self.cell.get_initial_state(batch_size=batch_size)
            return list(states) if isinstance(states, (list, tuple)) else [states]
        return tree.map_structure(lambda size: ops.zeros((batch_size, size)), self.state_size)

    def reset_state(self):
        """Sets the carried states of a stateful layer to zero."""
        if self.states is not None:
            tree.map_structure(lambda v: v.assign(ops.zeros(v.shape, v.dtype)), self.states)

    reset_states = reset_state

    def call(
        self,
        sequences,
        initial_state=None,
        mask=None,
        training=None,
        *,
        constants=None,
        constants_mask=None,
        sequences_mask=None,
    ):
        if (constants is not None) != self.takes_constants:
            raise ValueError(
                f"RNN: the cell {type(self.cell).__name__} "
                + ("needs constants=, got none." if constants is None else "takes no constants=.")
            )
        if mask is None:
            mask = sequences_mask
        mask = None if mask is None else ops.cast(mask, "bool")
        if self.stateful:
            sequences = self._of_carried_batch_size(sequences)
        states = self._first_states(sequences, initial_state)
        context = None if constants is None else self.cell.prepare(constants, constants_mask)
        output, states = self._loop(zero_masked(sequences, mask), states, mask, training, context)
        states = tree.map_structure(lambda s: ops.cast(s, self.compute_dtype), states)
        if not tree.is_nested(output):  # beside an output there are alignments, in float32
            output = ops.cast(output, self.compute_dtype)
        if self.stateful:
            for variable, s in zip(tree.flatten(self.states), tree.flatten(states), strict=True):
                variable.assign(ops.stop_gradient(ops.cast(s, variable.dtype)))
        return (output, *states) if self.return_state else output

    def _first_states(self, sequences, initial_state):
        batch_size = ops.shape(sequences)[0]
        if initial_state is None:
            if self.stateful:
                initial_state = tree.map_structure(ops.convert_to_tensor, self.states)
            else:
                initial_state = self.get_initial_state(batch_size)
        flat = tree.flatten(initial_state)
        if len(flat) != len(tree.flatten(self.state_size)):
            raise ValueError(
                f"{type(self).__name__}: initial_state: expected states of sizes "
                f"{self.state_size}, got {len(flat)} tensors."
            )
        # The halves of a cell run in the layer's dtype, `cell.call` in the cell's own.
        runs = self if is_split(self.cell) else self.cell
        flat = [ops.cast(s, getattr(runs, "compute_dtype", self.compute_dtype)) for s in flat]
        return tree.pack_sequence_as(self.state_size, flat)

    def _of_carried_batch_size(self, sequences):
        expected, came = tree.flatten(self.states)[0].shape[0], sequences.shape[0]
        if came is not None and came != expected:
            raise ValueError(
                f"RNN(stateful=True): expected batch size {expected}, that of the carried states, "
                f"got {came}. Feed batches of one size."
            )
        # A size known only at run time must not broadcast against the states: reshape refuses it.
        return ops.reshape(sequences, (expected, *ops.shape(sequences)[1:]))

    def _loop(self, sequences, states, mask, training, context):
        """Returns `(output, states)`, batch-major; runs time-major."""
        how = How(self.go_backwards, self.unroll, self.zero_output_for_mask, self.cudnn_mode)
        inputs = _swap_batch_and_time(sequences)  # (T, B, ...)
        mask = None if mask is None else _swap_batch_and_time(mask)
        outputs, states = run_cell(self.cell, inputs, states, mask, training, context, how)
        if self.return_sequences:
            return tree.map_structure(_swap_batch_and_time, outputs), states
        return tree.map_structure(lambda y: y[-1], outputs), states

    def compute_mask(self, _, mask=None):
        mask = tree.flatten(mask)[0] if mask is not None else None
        output_mask = mask if self.return_sequences else None
        if output_mask is not None and self.go_backwards:
            output_mask = ops.flip(output_mask, axis=1)  # outputs are in the order of processing
        if self.return_state:
            return [output_mask] + [None] * len(self.state_size)
        return output_mask

    def compute_output_shape(self, sequences_shape, initial_state_shape=None, constants_shape=None):
        lead = tuple(sequences_shape[:2]) if self.return_sequences else (sequences_shape[0],)
        memory_length = constants_shape[1] if constants_shape else None
        output = tree.map_structure(
            lambda size: (*lead, memory_length if size < 0 else size), cell_output_size(self.cell)
        )
        if not self.return_state:
            return output
        states = tree.map_structure(lambda s: (sequences_shape[0], s), self.state_size)
        return (output, *states)

    def get_config(self):
        config = {
            "cell": keras.saving.serialize_keras_object(self.cell),
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
            "learn_initial_state": self.learn_initial_state,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        cell = keras.saving.deserialize_keras_object(
            config.pop("cell"), custom_objects=custom_objects
        )
        return cls(cell, **config)


def _swap_batch_and_time(x):
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))
