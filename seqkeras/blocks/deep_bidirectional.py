"""Both directions of time in a deep network: what notes A leave open ("Deep Recurrent Networks":
"Can be combined with bi-directionality (how?)"; (11)-(13) and Fig. 2, where the directions are
interwoven).

Three answers. F^l runs forwards, G^l backwards, merge is [h; g] if nothing else is asked for.

    interwoven    h^l = F^l(x^{l-1}),  g^l = G^l(x^{l-1}),  x^l = merge(h^l, g^l)
                  every layer reads both directions of the one below (Graves et al. 2013,
                  arXiv:1303.5778)
    separate      h^l = F^l(h^{l-1}),  g^l = G^l(g^{l-1}),  y = merge(h^L, g^L)
                  two deep networks that meet at the top
    alternating   the same two columns, but in each the direction changes from layer to layer: one
                  starts forwards, the other backwards (Zhou et al. 2016, arXiv:1606.04199)

Only in `separate` does a forward state know nothing of the future. `interwoven` pays for the wider
inputs: with concat 2H for every layer but the lowest, where the columns have H.
"""

import keras

from seqkeras.blocks.recurrent_stack import (
    RecurrentStack,
    check_stack,
    from_config_of_layers,
    output_masks,
    states_of,
)
from seqkeras.cells.bidirectional import MERGES, Bidirectional
from seqkeras.ops.masks import zero_masked
from seqkeras.ops.recurrence.side_by_side import side_by_side

WIRINGS = ("interwoven", "separate", "alternating")


@keras.saving.register_keras_serializable(package="seqkeras")
class DeepBidirectional(keras.Layer):
    """A deep bidirectional network; `wiring` says where its directions meet.

    For encoders and taggers of more than one layer. "interwoven" is what is usually meant by a deep
    bidirectional network; the others are there to compare, and run their columns independently.

    Args:
        layers: List of recurrent layers, the lowest first; what runs are copies of them, one in
            each direction. All but the top one need `return_sequences=True`.
        wiring: "interwoven", "separate" or "alternating", as above.
        merge_mode: "concat", "sum", "ave" or "mul": at every layer if interwoven, else at the top.
        residual_from, dropout, seed: see `RecurrentStack`, for every column alike.

    Call arguments:
        sequences: Float tensor `(B, T, D)`.
        initial_state: List of states in the order in which they are returned, or None.
        mask: Boolean tensor `(B, T)`, True = real, or None.
        training: Passed to the layers.
        sequences_mask: See `RNN`; give `mask` yourself.

    Returns:
        The merged output, `(B, T, 2H)` for concat, or of the last steps `(B, 2H)` as the top layer
        says. With `return_state` a tuple of it and the states: interwoven, for every layer its
        forward and then its backward ones; else those of the column that starts forwards, then the
        other's.

    Masking: padding is skipped by both directions; its outputs are zero. The mask is passed on.

    Raises:
        ValueError: for an unknown wiring or merge mode, or layers that do not go together.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import GRU
    >>> encoder = DeepBidirectional([GRU(4, return_sequences=True), GRU(4, return_sequences=True)])
    >>> encoder(np.zeros((2, 5, 3))).shape
    TensorShape([2, 5, 8])
    """

    def __init__(
        self,
        layers,
        wiring="interwoven",
        merge_mode="concat",
        residual_from=None,
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if wiring not in WIRINGS:
            raise ValueError(f"wiring: expected one of {WIRINGS}, got {wiring!r}.")
        if merge_mode not in MERGES:
            raise ValueError(f"merge_mode: expected one of {sorted(MERGES)}, got {merge_mode!r}.")
        layers = list(layers)
        check_stack(layers, "DeepBidirectional")
        self.layer_configs = [keras.saving.serialize_keras_object(layer) for layer in layers]
        self.wiring = wiring
        self.merge_mode = merge_mode
        options = {
            "residual_from": residual_from,
            "dropout": dropout,
            "seed": seed,
            "dtype": self.dtype_policy,
        }
        if wiring == "interwoven":
            merged = [Bidirectional(layer, merge_mode, dtype=self.dtype_policy) for layer in layers]
            self.columns = [RecurrentStack(merged, **options)]
        else:
            self.columns = [
                RecurrentStack(
                    [
                        directed(layer, starts ^ (wiring == "alternating" and index % 2 == 1))
                        for index, layer in enumerate(layers)
                    ],
                    name=f"{prefix}_column",
                    **options,
                )
                for prefix, starts in (("forward", False), ("backward", True))
            ]
        self.supports_masking = True

    @property
    def return_sequences(self):
        return self.columns[0].return_sequences

    @property
    def return_state(self):
        return self.columns[0].return_state

    @property
    def stateful(self):
        return self.columns[0].stateful

    @property
    def state_size(self):
        return [size for column in self.columns for size in states_of(column)]

    def build(self, sequences_shape, initial_state_shape=None):
        for column in self.columns:
            column.build(sequences_shape)

    def call(
        self, sequences, initial_state=None, mask=None, training=False, *, sequences_mask=None
    ):
        mask = sequences_mask if mask is None else mask
        options = {"mask": mask, "training": training}
        if self.wiring == "interwoven":
            outputs = self.columns[0](sequences, initial_state=initial_state, **options)
            output, *states = outputs if self.return_state else (outputs,)
        else:
            output, states = self._run_columns(sequences, initial_state, options)
        if self.return_sequences:
            output = zero_masked(output, mask)
        return (output, *states) if self.return_state else output

    def _run_columns(self, sequences, initial_state, options):
        """Returns the merged output of two columns and the states of both."""
        given = (None, None)
        if initial_state is not None:
            count = len(self.columns[0].state_size)
            given = initial_state[:count], initial_state[count:]
        with side_by_side():
            h, g = (
                column(sequences, initial_state=own, **options)
                for column, own in zip(self.columns, given, strict=True)
            )
        states = ()
        if self.return_state:
            states = (*h[1:], *g[1:])
            h, g = h[0], g[0]
        return MERGES[self.merge_mode](h, g), states

    def reset_state(self):
        """Sets the carried states of all stateful layers to zero."""
        for column in self.columns:
            column.reset_state()

    reset_states = reset_state

    def compute_mask(self, _, mask=None):
        return output_masks(self, mask)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        shapes = [column.compute_output_shape(sequences_shape) for column in self.columns]
        if self.wiring == "interwoven":
            return shapes[0]
        states = ()
        if self.return_state:
            states = (*shapes[0][1:], *shapes[1][1:])
            shapes = [shape[0] for shape in shapes]
        output = shapes[0]
        if self.merge_mode == "concat":
            output = (*output[:-1], output[-1] + shapes[1][-1])
        return (output, *states) if self.return_state else output

    def get_config(self):
        column = self.columns[0]
        config = {
            "layers": self.layer_configs,
            "wiring": self.wiring,
            "merge_mode": self.merge_mode,
            "residual_from": column.residual_from,
            "dropout": column.dropout,
            "seed": column.seed,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return from_config_of_layers(cls, config, custom_objects)


def directed(layer, go_backwards):
    """Returns a layer of the same config, without the weights, that runs in this direction."""
    return type(layer).from_config({**layer.get_config(), "go_backwards": go_backwards})
