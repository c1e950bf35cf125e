"""LSTM and GRU with layer normalisation inside, Ba et al. 2016 (arXiv:1607.06450), supplement.

    LN(a) = (a - mean(a)) / sqrt(var(a) + epsilon) * gain

LSTM, (20)-(22): i, f, o and the candidate g normalised together:

    (i, f, g, o) = LN(x W) + LN(h U) + b
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h' = sigmoid(o) * tanh(LN(c') + s)

GRU, as in the paper's skip-thought vectors, the two gates together, the candidate by itself:

    (z, r) = LN(x W_zr) + LN(h U_zr) + b_zr + d_zr
    c      = tanh(LN(x W_c) + b_c + sigmoid(r) * (LN(h U_c) + d_c))
    h'     = sigmoid(z) * h + (1 - sigmoid(z)) * c

Every sum has its own gain. The paper's LN adds a shift too: b, or in the GRU b and d, which Keras'
`reset_after=True` has as well, are all of these, for where the paper adds several only their sum
counts. So the weights are those of `LSTM` and `GRU`, then the gains. z weighs the old state, as in
`seqkeras.cells.gru` (the paper: the new one).
"""

import keras
from keras import initializers, ops

from seqkeras.cells.base import RecurrentCell
from seqkeras.cells.cell_rnn import CellRNN
from seqkeras.cells.gru import GRUCell
from seqkeras.cells.lstm import LSTMCell
from seqkeras.ops.layer_norm import layer_norm


def normalized(a, sections, epsilon):
    """Returns a `(..., N)` with mean 0 and variance 1 over the columns of each section.

    `sections` are the columns at which the second and every further section starts.
    """
    parts = ops.split(a, sections, axis=-1) if sections else [a]
    parts = [layer_norm(part, epsilon=epsilon) for part in parts]
    return ops.concatenate(parts, axis=-1) if sections else parts[0]


def layer_norm_lstm_step(z_t, h, c, weights, activation, gate, epsilon, dot=ops.matmul):
    """Returns (h', c'), each `(B, H)`; z_t `(B, 4H)` is LN(x W) + b."""
    a = z_t + dot(h, weights["recurrent_kernel"])  # (B, 4H); `dot` normalises
    a_i, a_f, a_c, a_o = ops.split(a, 4, axis=-1)
    c = gate(a_f) * c + gate(a_i) * activation(a_c)
    inner = normalized(c, [], epsilon) * weights["state_gain"]
    if "state_bias" in weights:
        inner = inner + weights["state_bias"]
    return gate(a_o) * activation(inner), c


class NormalizedSums(RecurrentCell):
    """What the normalised cells share: LN of x W before the loop, of h U inside it.

    Goes before the cell that is normalised in the list of bases.

    Args:
        epsilon: float > 0, added to the variance. PyTorch's default, 1e-5; that of
            `keras.layers.LayerNormalization` is 1e-3, large against the variance of a young state.
        gain_initializer: Keras initializer of the gains.
        **options: see the cell. With `bias_initializer="zeros"`, the default, inputs that begin
            with zeros leave the states at exactly zero, where the gradient grows by a factor of
            order 1 / epsilon at every such step and overflows; "random_normal" leaves that point.
    """

    groups = ()  # sizes, in blocks of H columns, of what is normalised together

    def __init__(self, units, *args, epsilon=1e-5, gain_initializer="ones", **options):
        super().__init__(units, *args, **options)
        if not epsilon > 0:
            raise ValueError(f"epsilon: expected a positive number, got {epsilon!r}.")
        self.epsilon = epsilon
        self.gain_initializer = initializers.get(gain_initializer)

    def build(self, input_shape):
        super().build(input_shape)
        self.kernel_gain = self._add_gain("kernel_gain", self.blocks * self.units)
        self.recurrent_gain = self._add_gain("recurrent_gain", self.blocks * self.units)

    def _add_gain(self, name, size):
        return self.add_weight(shape=(size,), name=name, initializer=self.gain_initializer)

    @property
    def _sections(self):
        return [sum(self.groups[:k]) * self.units for k in range(1, len(self.groups))]

    def project_rows(self, inputs, first_row):
        if inputs.shape[-1] != self.kernel.shape[0]:
            raise ValueError(
                f"{type(self).__name__}: expected {self.kernel.shape[0]} input features at once, "
                f"got {inputs.shape[-1]}: the normalised projection is not the sum of the "
                "projections of parts. An AttentionCell that feeds something beside its inputs "
                "needs a cell without layer normalisation."
            )
        return super().project_rows(inputs, first_row)

    def add_input_bias(self, projected):
        projected = normalized(projected, self._sections, self.epsilon) * self.kernel_gain
        return super().add_input_bias(projected)

    def loop_weights(self):
        gain = ops.convert_to_tensor(self.recurrent_gain)
        return {**super().loop_weights(), "recurrent_gain": gain}

    def normalizing(self, dot, gain):
        """Returns a `dot` whose products are normalised, for use with the recurrent kernel."""
        sections, epsilon = self._sections, self.epsilon
        return lambda h, kernel: normalized(dot(h, kernel), sections, epsilon) * gain

    def get_config(self):
        config = {
            "epsilon": self.epsilon,
            "gain_initializer": initializers.serialize(self.gain_initializer),
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="seqkeras")
class LayerNormLSTMCell(NormalizedSums, LSTMCell):
    """One step of an LSTM with layer normalisation; `LayerNormLSTM` runs it over time.

    The gates work in their sensitive range whatever the scale of inputs, states and weights, at
    every step and for every example by itself; so it learns with larger steps, and the statistics
    of a batch play no part.

    Args:
        units: int > 0. Size H of the states.
        **options: `epsilon` and `gain_initializer` (see `NormalizedSums`), and those of `LSTMCell`.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h, c]`, float tensors `(B, H)`.

    Returns:
        `(h', [h', c'])`: the output and the next states; c' is not normalised.

    Masking: done by `RNN`, which keeps the states where its mask is False.

    Raises:
        ValueError: if `epsilon` is not positive.
    """

    groups = (4,)

    def build(self, input_shape):
        super().build(input_shape)
        self.state_gain = self._add_gain("state_gain", self.units)
        if self.use_bias:
            self.state_bias = self.add_weight((self.units,), "zeros", name="state_bias")

    def loop_weights(self):
        weights = {**super().loop_weights(), "state_gain": ops.convert_to_tensor(self.state_gain)}
        if self.use_bias:
            weights["state_bias"] = ops.convert_to_tensor(self.state_bias)
        return weights

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h, c = states
        h = h if noise is None else h * noise
        dot = self.normalizing(dot, weights["recurrent_gain"])
        functions = (self.activation, self.recurrent_activation, self.epsilon, dot)
        h, c = layer_norm_lstm_step(z_t, h, c, weights, *functions)
        return h, [h, c]


@keras.saving.register_keras_serializable(package="seqkeras")
class LayerNormGRUCell(NormalizedSums, GRUCell):
    """One step of a GRU with layer normalisation; `LayerNormGRU` runs it over time.

    As `LayerNormLSTMCell`, for a GRU.

    Args:
        units: int > 0. Size H of the state.
        **options: `epsilon` and `gain_initializer` (see `NormalizedSums`), and those of `GRUCell`
            but for `reset_after=False`: the paper normalises h U_c before the reset gate.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: `[h]`, one float tensor `(B, H)`.

    Returns:
        `(h', [h'])`.

    Masking: done by `RNN`, which keeps the state where its mask is False.

    Raises:
        ValueError: if `epsilon` is not positive, or for `reset_after=False`.
    """

    groups = (2, 1)

    def __init__(self, units, *args, **options):
        super().__init__(units, *args, **options)
        if not self.reset_after:
            raise ValueError(
                "LayerNormGRUCell: expected reset_after=True, got False. The normalised GRU of "
                "Ba et al. 2016 resets after the matmul; there is no other."
            )

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        dot = self.normalizing(dot, weights["recurrent_gain"])
        return super().advance(z_t, states, weights, noise, dot)


@keras.saving.register_keras_serializable(package="seqkeras")
class LayerNormLSTM(CellRNN):
    """An LSTM with layer normalisation over time.

    Args: those of `LayerNormLSTMCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> LayerNormLSTM(4, return_sequences=True)(np.zeros((2, 5, 3))).shape
    TensorShape([2, 5, 4])
    """

    cell_class = LayerNormLSTMCell


@keras.saving.register_keras_serializable(package="seqkeras")
class LayerNormGRU(CellRNN):
    """A GRU with layer normalisation over time.

    Args: those of `LayerNormGRUCell` and of `RNN`.

    Example:

    >>> import numpy as np
    >>> LayerNormGRU(4)(np.zeros((2, 5, 3))).shape
    TensorShape([2, 4])
    """

    cell_class = LayerNormGRUCell
