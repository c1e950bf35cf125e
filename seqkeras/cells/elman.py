"""Elman's recurrent network with its output map, Elman 1990; notes A (1)-(4), notes B (1)-(2).

    h' = phi_h(x W + h U + b)         the state
    y  = phi_y(h' V + c)              the output

The map does not feed back, so it is no part of the recurrence: `SimpleRNN` and a `Dense` after it
compute the same, faster, with one product for the whole sequence and a loop that has a fused
kernel. The map is in the cell for what runs cells and wants y: a decoder that feeds y back, a
stack, `keras.layers.RNN`.
"""

import keras
from keras import initializers, ops

from seqkeras.cells.cell_rnn import CellRNN
from seqkeras.cells.simple_rnn import SimpleRNNCell


@keras.saving.register_keras_serializable(package="seqkeras")
class ElmanCell(SimpleRNNCell):
    """One step of an Elman network with outputs of their own; `Elman` runs it over time.

    Args:
        units: int > 0. Size H of the state.
        activation: phi_h, any activation: "sigmoid", "tanh", "relu", "linear"...
        output_units: Size O of the output; default: the output is h', as in `SimpleRNNCell`.
        output_activation: phi_y; default: linear.
        output_initializer: Of V, a Keras initializer; default: Glorot uniform.
        **options: see `RecurrentCell`. `use_bias` is of b and c both.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h]`, one float tensor `(B, H)`.

    Returns:
        `(y, [h'])`: the output `(B, O)` and the next state.

    Masking: done by `RNN`, which keeps the state and repeats y where its mask is False.

    Raises:
        ValueError: if `output_units` is not positive, or there are options of an output map without
            it.
    """

    def __init__(
        self,
        units,
        activation="tanh",
        *args,
        output_units=None,
        output_activation=None,
        output_initializer=None,
        **options,
    ):
        super().__init__(units, activation, *args, **options)
        if output_units is None and (output_activation or output_initializer):
            raise ValueError(
                "ElmanCell: expected output_units with output_activation and output_initializer, "
                "got None. Give the size of the output, or leave the output map out."
            )
        if output_units is not None and (not isinstance(output_units, int) or output_units <= 0):
            raise ValueError(f"output_units: expected a positive integer, got {output_units!r}.")
        self.output_units = output_units
        self.output_activation = keras.activations.get(output_activation)
        self.output_initializer = initializers.get(output_initializer or "glorot_uniform")

    @property
    def fused(self):
        return super().fused if self.output_units is None else None  # that kernel's output is h'

    @property
    def output_size(self):
        return self.output_units or self.units

    def build(self, input_shape):
        super().build(input_shape)
        if self.output_units is None:
            return
        self.output_kernel = self.add_weight(
            shape=(self.units, self.output_units),
            name="output_kernel",
            initializer=self.output_initializer,
        )
        if self.use_bias:
            self.output_bias = self.add_weight(
                shape=(self.output_units,), name="output_bias", initializer="zeros"
            )

    def loop_weights(self):
        weights = super().loop_weights()
        if self.output_units is not None:
            weights["output_kernel"] = ops.convert_to_tensor(self.output_kernel)
            if self.use_bias:
                weights["output_bias"] = ops.convert_to_tensor(self.output_bias)
        return weights

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h, states = super().advance(z_t, states, weights, noise, dot)
        if self.output_units is None:
            return h, states
        y = dot(h, weights["output_kernel"])
        if self.use_bias:
            y = y + weights["output_bias"]
        return self.output_activation(y), states

    def get_config(self):
        config = {"output_units": self.output_units}
        if self.output_units is not None:
            config["output_activation"] = keras.activations.serialize(self.output_activation)
            config["output_initializer"] = initializers.serialize(self.output_initializer)
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="seqkeras")
class Elman(CellRNN):
    """An Elman network with outputs of their own, over time.

    Args: those of `ElmanCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> layer = Elman(4, output_units=2, output_activation="softmax", return_sequences=True)
    >>> layer(np.zeros((2, 5, 3))).shape
    TensorShape([2, 5, 2])
    """

    cell_class = ElmanCell
