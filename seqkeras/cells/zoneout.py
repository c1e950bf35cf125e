"""Zoneout, Krueger et al. 2016 (arXiv:1606.01305): some units keep their old state.

    s_t = d_t * s_{t-1} + (1 - d_t) * s~_t,     d_t ~ Bernoulli(rate), anew for every step and unit

with s~_t what the cell makes of x_t and the s_{t-1}, for each of its states s by itself: an LSTM's
new h comes from the c that nothing was kept of, as in the paper. Without training d_t is its
expectation, the rate. The output is the first state, after zoneout.
"""

import keras
from keras import ops

from seqkeras.cells.base import check_cell


@keras.saving.register_keras_serializable(package="seqkeras")
class ZoneoutCell(keras.Layer):
    """A cell of which some units keep their states at random while it trains.

    Dropout puts zeros into a state; zoneout puts the past there, so that information and gradient
    get through time undisturbed. The masks of all steps are drawn before the loop, hence put
    `RNN(ZoneoutCell(...))` on top of each other rather than these cells into `StackedRNNCells`,
    which would draw them inside it.

    Args:
        cell: A cell of `seqkeras.layers` whose output is its first state, such as `LSTMCell(64)`.
        rates: Rate in [0, 1), or a list with one for each state of the cell. For an LSTM, with its
            states [h, c], the paper has [0.05, 0.5] (characters of the Penn Treebank).
        seed: int or None, of the masks.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input at this step.
        states: The states of the cell.
        training: If True, masks are drawn, else the states are mixed by their expectation.

    Returns:
        `(output, states)`, in the shapes that the cell has.

    Masking: done by `RNN`, which keeps the states where its mask is False.

    Raises:
        ValueError: for a rate outside [0, 1), another number of rates than the cell has states, or
            a cell that does not fit.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import RNN, LSTMCell
    >>> RNN(ZoneoutCell(LSTMCell(4), rates=[0.05, 0.5]))(np.zeros((2, 5, 3))).shape
    TensorShape([2, 4])
    """

    def __init__(self, cell, rates, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_cell(cell, "ZoneoutCell")
        if not hasattr(cell, "advance"):
            raise ValueError(
                "ZoneoutCell: expected a cell of seqkeras.layers with one step, such as "
                f"LSTMCell(64), got {type(cell).__name__}. Wrap each cell of a stack by itself."
            )
        self.cell = cell
        states = len(self._sizes)
        self.rates = list(rates) if isinstance(rates, (list, tuple)) else [rates] * states
        if len(self.rates) != states:
            raise ValueError(
                f"rates: expected one number or {states}, one for each state of "
                f"{type(cell).__name__}, got {rates!r}."
            )
        if not all(0.0 <= rate < 1.0 for rate in self.rates):
            raise ValueError(f"rates: expected rates in [0, 1), got {rates!r}.")
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def state_size(self):
        return self.cell.state_size

    @property
    def output_size(self):
        return self.cell.output_size

    @property
    def _sizes(self):
        size = self.cell.state_size
        return [size] if isinstance(size, int) else list(size)

    def build(self, input_shape):
        if not self.cell.built:
            self.cell.build(input_shape)

    def get_initial_state(self, batch_size=None):
        return self.cell.get_initial_state(batch_size=batch_size)

    def project(self, inputs, training=False):
        """Returns `[what the cell projects]`; in training followed by a mask for each state.

        A mask `(T, B, H)`, or without T for one step, is 1 where the old state is kept, else 0.
        """
        z = self.cell.project(inputs, training)
        if not training:
            return [z]
        shape = ops.shape(inputs)[:-1]  # (T, B), or (B,)
        sizes = zip(self._sizes, self.rates, strict=True)
        return [z, *(self._draw_mask((*shape, size), rate) for size, rate in sizes)]

    def _draw_mask(self, shape, rate):
        uniform = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return ops.cast(uniform < rate, self.compute_dtype)

    def draw_noise(self, batch_size, training=False):
        """Returns the cell's own noise, which is constant over a sequence."""
        return self.cell.draw_noise(batch_size, training)

    def loop_weights(self):
        return self.cell.loop_weights()

    def step(self, z_t, states, noise=None):
        """Returns `(output, states)` from one step of what `project` returned."""
        return self.advance(z_t, states, self.loop_weights(), noise)

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        """`step` as a pure function; see `RecurrentCell.advance`."""
        z_t, *masks = z_t
        output, new_states = self.cell.advance(z_t, states, weights, noise, dot)
        if output is not new_states[0]:
            raise ValueError(
                "ZoneoutCell: expected a cell whose output is its first state, got "
                f"{type(self.cell).__name__}, whose output is a function of it. Put that function "
                "behind the RNN."
            )
        kept = masks or self.rates  # of a mask the expectation is its rate
        states = [
            d * old + (1.0 - d) * new for d, old, new in zip(kept, states, new_states, strict=True)
        ]
        return states[0], states

    def call(self, inputs, states, training=False):
        single = not isinstance(states, (list, tuple))
        states = [states] if single else list(states)
        noise = self.draw_noise(ops.shape(inputs)[0], training)
        output, states = self.step(self.project(inputs, training), states, noise)
        return output, states[0] if single else states

    def get_config(self):
        config = {
            "cell": keras.saving.serialize_keras_object(self.cell),
            "rates": list(self.rates),
            "seed": self.seed,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        cell = keras.saving.deserialize_keras_object(
            config.pop("cell"), custom_objects=custom_objects
        )
        return cls(cell, **config)
