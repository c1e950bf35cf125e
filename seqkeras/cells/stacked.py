"""Deep recurrence: cells on top of each other at every step; notes A (12)-(13), notes B 2.5.

    h^{t,1} = F^1(h^{t-1,1}, x^t),   h^{t,l} = F^l(h^{t-1,l}, h^{t,l-1})  for l > 1

(The notes print x^t for every l: erratum X05.) A stack of *layers* computes the same and projects
the inputs of every layer at once; a stack of cells is what a decoder needs, which has one step at a
time.
"""

import keras
from keras import ops, tree

from seqkeras.cells.base import (
    RecurrentCell,
    cell_output_size,
    check_cell,
    drop_inputs,
    takes_training,
)


@keras.saving.register_keras_serializable(package="seqkeras")
class StackedRNNCells(keras.Layer):
    """Several cells as one, each fed with the output of the one below.

    Args:
        cells: List of cells, the lowest first.
        dropout: Rate in [0, 1) on what goes from one cell up to the next, one mask for all steps;
            the recurrent paths are untouched (Zaremba et al. 2014, arXiv:1409.2329).
        seed: int or None, of the dropout masks.

    Call arguments:
        inputs: Float tensor `(B, D)`.
        states: List with the states of each cell.

    Returns:
        `(output, states)`: the output of the top cell and the next states.

    Raises:
        ValueError: if the list is empty or holds something that is not a cell, or for dropout
            between cells that are not this package's.
    """

    def __init__(self, cells, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not cells:
            raise ValueError("StackedRNNCells: expected at least one cell, got an empty list.")
        for cell in cells:
            check_cell(cell, "StackedRNNCells")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout: expected a rate in [0, 1), got {dropout!r}.")
        ours = all(isinstance(cell, RecurrentCell) for cell in cells)
        if dropout and not ours:
            raise ValueError(
                "StackedRNNCells: expected dropout=0 for a stack with cells that are not from "
                f"seqkeras.layers, got {dropout!r}. Use those, or give the cells their own dropout."
            )
        self.cells = list(cells)
        self.dropout = dropout
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None
        if ours:
            # Only then can a projection leave the loop; `RNN` looks for the attribute.
            self.project = cells[0].project
            self.project_rows = cells[0].project_rows
            self.add_input_bias = cells[0].add_input_bias
            self.draw_input_mask = cells[0].draw_input_mask

    @property
    def state_size(self):
        return [_state_size(cell) for cell in self.cells]

    @property
    def output_size(self):
        return cell_output_size(self.cells[-1])

    def build(self, input_shape):
        for cell in self.cells:
            if isinstance(cell, keras.Layer) and not cell.built:
                cell.build(input_shape)
            input_shape = (input_shape[0], cell_output_size(cell))

    def get_initial_state(self, batch_size=None):
        return [self._first_states(cell, batch_size) for cell in self.cells]

    def _first_states(self, cell, batch_size):
        if hasattr(cell, "get_initial_state"):
            return _like_state_size(cell, cell.get_initial_state(batch_size=batch_size))
        return tree.map_structure(
            lambda size: ops.zeros((batch_size, size), dtype=self.compute_dtype), _state_size(cell)
        )

    def draw_noise(self, batch_size, training=False):
        """Returns `(recurrent noise of each cell, input mask of each cell above the first)`."""
        recurrent = [cell.draw_noise(batch_size, training) for cell in self.cells]
        masks = []
        for below, cell in zip(self.cells, self.cells[1:], strict=False):
            size = cell_output_size(below)
            mask = cell.draw_input_mask(batch_size, size, training)
            if training and self.dropout > 0.0:
                ones = ops.ones((batch_size, size), dtype=self.compute_dtype)
                between = keras.random.dropout(ones, self.dropout, seed=self.seed_generator)
                mask = between if mask is None else mask * between
            masks.append(mask)
        return recurrent, [None, *masks]

    def step(self, z_t, states, noise=None):
        recurrent, masks = noise or ([None] * len(self.cells), [None] * len(self.cells))
        output, new_states = None, []
        for index, cell in enumerate(self.cells):
            if index > 0:
                z_t = cell.project(drop_inputs(output, masks[index]))
            output, own = cell.step(z_t, _as_list(states[index]), recurrent[index])
            new_states.append(_like_state_size(cell, own))
        return output, new_states

    def call(self, inputs, states, training=False):
        if hasattr(self, "project"):
            noise = self.draw_noise(ops.shape(inputs)[0], training)
            return self.step(self.project(inputs, training), states, noise)
        new_states = []
        for cell, own in zip(self.cells, states, strict=True):
            options = {"training": training} if takes_training(cell) else {}
            inputs, own = cell(inputs, _as_list(own), **options)
            new_states.append(_like_state_size(cell, own))
        return inputs, new_states

    def get_config(self):
        config = {
            "cells": [keras.saving.serialize_keras_object(cell) for cell in self.cells],
            "dropout": self.dropout,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        cells = [
            keras.saving.deserialize_keras_object(cell, custom_objects=custom_objects)
            for cell in config.pop("cells")
        ]
        return cls(cells, **config)


def _state_size(cell):
    """The cell's `state_size`; a list that Keras tracks is no structure to JAX, so a plain one."""
    return cell.state_size if isinstance(cell.state_size, int) else list(cell.state_size)


def _as_list(states):
    return list(states) if isinstance(states, (list, tuple)) else [states]


def _like_state_size(cell, states):
    """The states in the structure of `cell.state_size`: one tensor, or a list."""
    if isinstance(cell.state_size, int):
        return states[0] if isinstance(states, (list, tuple)) else states
    return list(states)
