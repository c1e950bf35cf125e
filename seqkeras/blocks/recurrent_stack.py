"""Deep stacks of recurrent layers; notes A (12)-(13), notes B 2.5.

    y^l = F^l(D(x^{l-1})),   x^l = y^l            a plain layer
                             x^l = y^l + x^{l-1}  a residual one, Wu et al. 2016 (arXiv:1609.08144)
    D: dropout on what goes up, never on what goes on in time, Zaremba et al. 2014 (arXiv:1409.2329)

(The notes print x^t as the input of every layer: erratum X05.) The sum passes the input by the
dropout, so nothing but additions lies between the top and the lowest residual layer.

A stack of layers projects the inputs of every layer at once, before its loop. `StackedRNNCells` is
the same function one step at a time, for decoders.
"""

import keras
from keras import ops

from seqkeras.blocks.dropout import Dropout
from seqkeras.ops.masks import zero_masked


def hold_last(x, mask):
    """Returns x `(B, T, D)` with what each masked step had last: its latest real step, or zero."""
    if mask is None:
        return x
    steps = ops.expand_dims(ops.arange(ops.shape(x)[1], dtype="int32"), 0)  # (1, T)
    latest = ops.associative_scan(ops.maximum, ops.where(mask, steps, -1), axis=1)
    latest = ops.reshape(latest, ops.shape(x)[:2])  # (B, T): in a graph its rank gets lost
    held = ops.take_along_axis(x, ops.expand_dims(ops.maximum(latest, 0), -1), axis=1)
    return zero_masked(held, latest >= 0)


def add_residual(y, x, mask, return_sequences):
    """Returns y + x; where y `(B, D)` is the last output only, x `(B, T, D)` at its last step."""
    if return_sequences:
        return hold_last(ops.add(y, x), mask)
    return ops.add(y, hold_last(x, mask)[:, -1])


def check_stack(layers, owner):
    """Raises a ValueError that names `owner` if the layers cannot stand on each other."""
    if not layers:
        raise ValueError(f"{owner}: expected at least one layer, got an empty list.")
    for layer in layers:
        if not isinstance(layer, keras.Layer) or not hasattr(layer, "return_sequences"):
            raise ValueError(
                f"{owner}: expected recurrent layers such as GRU(64, return_sequences=True), got "
                f"{layer!r}. A cell goes into an RNN first."
            )
        if getattr(layer, "merge_mode", "") is None:
            raise ValueError(
                f"{owner}: expected layers with one output, got {layer.name!r} with "
                "merge_mode=None. Choose how its directions are merged."
            )
        if layer.return_state != layers[0].return_state:
            raise ValueError(
                f"{owner}: expected the same return_state in all layers, got "
                f"{[layer.return_state for layer in layers]}."
            )
    short = [layer.name for layer in layers[:-1] if not layer.return_sequences]
    if short:
        raise ValueError(
            f"{owner}: expected return_sequences=True in every layer but the top one, got False in "
            f"{short}."
        )


def states_of(layer):
    """Returns the sizes of the states that a recurrent layer takes and returns, as a list."""
    if hasattr(layer, "forward_layer"):
        return [*states_of(layer.forward_layer), *states_of(layer.backward_layer)]
    size = layer.state_size
    return [size] if isinstance(size, int) else list(size)


@keras.saving.register_keras_serializable(package="seqkeras")
class RecurrentStack(keras.Layer):
    """Recurrent layers of any kind on top of each other, as one layer.

    Depth lets a step be computed in several stages. Beyond about four layers it trains only with
    residual connections, which carry the gradient down as an LSTM's cell carries it back.

    Args:
        layers: List of recurrent layers, the lowest first: any `RNN`, `Bidirectional`, stack, or a
            Keras layer. All but the top one need `return_sequences=True`. One with
            `go_backwards=True` reads backwards; its output is put back into the order of time.
        residual_from: int or None. Layers from this index on, counted from 0, add their input to
            their output; in GNMT 2, above a bidirectional layer and a plain one.
        dropout: Rate in [0, 1) on the input of every layer but the lowest, drawn anew at each step.
            One mask for all steps is an option of the cells.
        seed: int or None, of the dropout.

    Call arguments:
        sequences: Float tensor `(B, T, D)`.
        initial_state: List of the states of all layers, the lowest first, or None.
        mask: Boolean tensor `(B, T)`, True = real, or None.
        training: Passed to the layers.
        sequences_mask: See `RNN`; give `mask` yourself.

    Returns:
        The output of the top layer, `(B, T, H)` or `(B, H)` as it says; if the layers have
        `return_state`, a tuple of it and the states of all layers, the lowest first.

    Masking: a masked step keeps the states of every layer. Its output is that of the top layer (the
        last one repeated, or zero, as in `Bidirectional`); above a residual connection the last
        one repeated. The mask is passed on.

    Raises:
        ValueError: if the layers do not go together, or a residual layer changes the size.

    Example, the encoder of GNMT in small:

    >>> import numpy as np
    >>> from seqkeras.layers import LSTM, Bidirectional
    >>> bottom = Bidirectional(LSTM(4, return_sequences=True))
    >>> above = [LSTM(8, return_sequences=True) for _ in range(3)]
    >>> RecurrentStack([bottom, *above], residual_from=2, dropout=0.2)(np.zeros((2, 5, 3))).shape
    TensorShape([2, 5, 8])
    """

    def __init__(self, layers, residual_from=None, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        layers = list(layers)
        check_stack(layers, type(self).__name__)
        if residual_from is not None and not 0 <= residual_from < len(layers):
            raise ValueError(
                f"residual_from: expected None or the index of one of the {len(layers)} layers, "
                f"got {residual_from!r}."
            )
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout: expected a rate in [0, 1), got {dropout!r}.")
        self.layers = layers
        self.residual_from = residual_from
        self.dropout = dropout
        self.seed = seed
        self.between = Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.supports_masking = True

    @property
    def return_sequences(self):
        return self.layers[-1].return_sequences

    @property
    def return_state(self):
        return self.layers[-1].return_state

    @property
    def stateful(self):
        return any(getattr(layer, "stateful", False) for layer in self.layers)

    @property
    def state_size(self):
        return [size for layer in self.layers for size in states_of(layer)]

    def is_residual(self, index):
        """Returns whether the layer of this index adds its input to its output."""
        return self.residual_from is not None and index >= self.residual_from

    def build(self, sequences_shape, initial_state_shape=None):
        shape = tuple(sequences_shape)
        for index, layer in enumerate(self.layers):
            shape = self.input_shape_of(index, shape)
            if not layer.built:
                layer.build(shape)
            output_shape = _output_shape(layer, shape)
            if self.is_residual(index) and output_shape[-1] != shape[-1]:
                raise ValueError(
                    f"{type(self).__name__}: expected a residual layer to keep the size of its "
                    f"input, got {shape[-1]} into and {output_shape[-1]} out of layer {index} "
                    f"({layer.name!r}). Change its units, or raise residual_from={index}."
                )
            shape = output_shape

    def input_of(self, index, x, mask):
        """Returns `(x, mask)` as the layer of this index gets them from below; here as they are."""
        return x, mask

    def input_shape_of(self, index, shape):
        """Returns the shape of what `input_of` makes of an x of this shape."""
        return shape

    def call(
        self, sequences, initial_state=None, mask=None, training=False, *, sequences_mask=None
    ):
        mask = sequences_mask if mask is None else mask
        x, states = zero_masked(sequences, mask), []
        given = self._split_states(initial_state)
        for index in range(len(self.layers)):
            x, mask = self.input_of(index, x, mask)
            x, own = self._run(index, x, given[index], mask, training)
            states.extend(own)
        return (x, *states) if self.return_state else x

    def _run(self, index, x, initial_state, mask, training):
        """Returns `(x^l, states)` of one layer, x in the order of time."""
        layer = self.layers[index]
        below = self.between(x, training=training) if index else x
        outputs = layer(below, initial_state=initial_state, mask=mask, training=training)
        y, *states = outputs if self.return_state else (outputs,)
        backwards = getattr(layer, "go_backwards", False)
        if self.is_residual(index):
            if backwards:  # y is in the order of processing, and so must be what is added to it
                x = ops.flip(x, axis=1)
                mask = None if mask is None else ops.flip(mask, axis=1)
            y = add_residual(y, x, mask, layer.return_sequences)
        return ops.flip(y, axis=1) if backwards and layer.return_sequences else y, states

    def _split_states(self, initial_state):
        if initial_state is None:
            return [None] * len(self.layers)
        expected = self.state_size
        if len(initial_state) != len(expected):
            raise ValueError(
                f"{type(self).__name__}: initial_state: expected states of sizes {expected}, got "
                f"{len(initial_state)} tensors."
            )
        rest = iter(initial_state)
        return [[next(rest) for _ in states_of(layer)] for layer in self.layers]

    def reset_state(self):
        """Sets the carried states of all stateful layers to zero."""
        for layer in self.layers:
            layer.reset_state()

    reset_states = reset_state

    def compute_mask(self, _, mask=None):
        return output_masks(self, mask)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        shape, states = tuple(sequences_shape), []
        for index, layer in enumerate(self.layers):
            shape = self.input_shape_of(index, shape)
            if self.return_state:
                states.extend(layer.compute_output_shape(shape)[1:])
            shape = _output_shape(layer, shape)
        return (shape, *states) if self.return_state else shape

    def get_config(self):
        config = {
            "layers": [keras.saving.serialize_keras_object(layer) for layer in self.layers],
            "residual_from": self.residual_from,
            "dropout": self.dropout,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return from_config_of_layers(cls, config, custom_objects)


def output_masks(layer, mask):
    """Returns the masks of a stack's output and, if it returns them, of its states."""
    mask = keras.tree.flatten(mask)[0] if mask is not None else None
    output_mask = mask if layer.return_sequences else None
    if layer.return_state:
        return [output_mask] + [None] * len(layer.state_size)
    return output_mask


def from_config_of_layers(cls, config, custom_objects=None):
    """Makes a layer whose first argument is a list of layers from its config."""
    config = dict(config)
    layers = [
        keras.saving.deserialize_keras_object(layer, custom_objects=custom_objects)
        for layer in config.pop("layers")
    ]
    return cls(layers, **config)


def _output_shape(layer, shape):
    output_shape = layer.compute_output_shape(shape)
    return tuple(output_shape[0] if layer.return_state else output_shape)
