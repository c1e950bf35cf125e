"""A recurrent layer taken apart: one step as a function of one state vector, and every state of a
run over a batch.

    (y_t, s_t) = F(x_t, s_{t-1}),  t = 1..T        notes A (1)

s_t is the whole state, all that step t+1 reads: h_t of an Elman network or a GRU, [h_t; c_t] of an
LSTM, the states of every cell of a stack one after another. Only the whole state makes the chain
rule a product of Jacobians: ds_T/ds_t = ds_T/ds_{T-1} ... ds_{t+1}/ds_t.

Everything here is in the order of processing, in inference mode (no dropout), and in the precision
of the weights.
"""

import numpy as np
from keras import ops, tree

from seqkeras.cells.base import is_split
from seqkeras.ops.scan import scan


class Recurrence:
    """The steps of a recurrent layer over a batch, and the states they went through.

    Args:
        layer: A recurrent layer with a `cell`, of this package or of Keras. It is built by a call
            on the inputs if need be.
        inputs: Float array `(B, T, D)`.
        mask: Boolean array `(B, T)`, True = real, or None. Masked steps are taken out.
        initial_state: The states before the first step, as the layer's call takes them, or None.

    Attributes:
        cell: The layer's cell.
        inputs: Float tensor `(T, B, D)`: the real steps of each example, then padding.
        states: Float tensor `(T + 1, B, S)`: s_0 .. s_T.
        outputs: Float tensor `(T, B, H)`.
        lengths: Int array `(B,)`, the real steps of each example.
        sizes: List of int, the parts that a state vector is made of; they sum to S.

    Raises:
        ValueError: if the layer has no cell or its cell reads a memory, or a shape is wrong.
    """

    def __init__(self, layer, inputs, mask=None, initial_state=None):
        check_layer(layer)
        inputs = np.asarray(inputs)
        if inputs.ndim != 3 or 0 in inputs.shape:
            raise ValueError(
                "inputs: expected an array (batch, time, features), none of them 0, got shape "
                f"{inputs.shape}. Give what enters the recurrent layer, not token ids."
            )
        if mask is not None and np.shape(mask) != inputs.shape[:2]:
            raise ValueError(
                f"mask: expected the shape {inputs.shape[:2]} of the inputs, got {np.shape(mask)}."
            )
        if not layer.built:
            layer(inputs[:, :1])
        self.cell = layer.cell
        dtype = self.cell.variable_dtype
        inputs, self.lengths = real_steps(inputs, mask, layer.go_backwards)
        self.inputs = ops.convert_to_tensor(inputs.swapaxes(0, 1), dtype=dtype)
        if initial_state is None:
            initial_state = layer.get_initial_state(inputs.shape[0])
        initial_state = tree.map_structure(lambda s: ops.cast(s, dtype), list(initial_state))
        self._structure = initial_state
        self.sizes = [s.shape[-1] for s in tree.flatten(initial_state)]
        first = self.to_vector(initial_state)
        (self.outputs, after), _ = scan(self._emit, first, self.project(self.inputs))
        self.states = ops.concatenate([first[None], after])  # (T + 1, B, S)

    def _emit(self, z_t, s):
        y, s = self.advance(z_t, s)
        return (y, s), s

    def to_vector(self, states):
        """Returns a structure of states as one tensor `(B, S)`."""
        return ops.concatenate(tree.flatten(states), axis=-1)

    def from_vector(self, s):
        """Returns the structure of states that a tensor `(B, S)` holds."""
        parts = [s[:, self.part(state)] for state in range(len(self.sizes))]
        return tree.pack_sequence_as(self._structure, parts)

    def part(self, state):
        """Returns the slice of a state vector that holds one state; all of it for None."""
        if state is None:
            return slice(None)
        if state not in range(len(self.sizes)):
            raise ValueError(
                f"state: expected None or an index below {len(self.sizes)}, as the cell "
                f"{type(self.cell).__name__} has {len(self.sizes)} states, got {state!r}."
            )
        start = sum(self.sizes[:state])
        return slice(start, start + self.sizes[state])

    def project(self, inputs):
        """Returns what `advance` takes for inputs `(..., D)`."""
        return self.cell.project(inputs) if is_split(self.cell) else inputs

    def advance(self, z_t, s):
        """Returns `(y_t, s_t)`, `(B, H)` and `(B, S)`, from a projected input and s_{t-1}."""
        if is_split(self.cell):
            y, states = self.cell.step(z_t, self.from_vector(s))
        else:
            y, states = self.cell.call(z_t, self.from_vector(s))
        return y, self.to_vector(states)

    def step(self, x_t, s):
        """Returns `(y_t, s_t)` from an input `(B, D)` and s_{t-1} `(B, S)`."""
        return self.advance(self.project(x_t), s)


def check_layer(layer):
    """Raises ValueError for what is not one recurrent layer whose cell reads its input only."""
    name = type(layer).__name__
    if not hasattr(layer, "cell") or not hasattr(layer, "go_backwards"):
        raise ValueError(
            f"layer: expected a recurrent layer with a cell, such as LSTM(64), got {name}. Of a "
            "Bidirectional, give its forward_layer or its backward_layer."
        )
    if hasattr(layer.cell, "prepare"):
        raise ValueError(
            f"layer: expected a cell that reads its input only, got {type(layer.cell).__name__}, "
            "which also reads a memory. Give a layer with the cell inside it."
        )


def real_steps(inputs, mask=None, go_backwards=False):
    """Puts the real steps of every example first, in the order of processing.

    Args:
        inputs: Array `(B, T, D)`.
        mask: Boolean array `(B, T)` or None.
        go_backwards: Whether the layer runs from T to 1.

    Returns:
        `(inputs, lengths)`: the array `(B, T, D)`, zero after the real steps, and ints `(B,)`.
    """
    mask = np.ones(inputs.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    if go_backwards:
        inputs, mask = inputs[:, ::-1], mask[:, ::-1]
    order = np.argsort(~mask, axis=1, kind="stable")[:, :, None]
    inputs = np.take_along_axis(np.where(mask[:, :, None], inputs, 0), order, axis=1)
    return inputs, mask.sum(axis=1)
