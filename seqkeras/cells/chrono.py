"""Biases with which gates start out slow enough for a task, Tallec & Ollivier 2018
(arXiv:1804.11188), "chrono initialisation", their (15)-(16).

A gate that keeps the state with weight f forgets in about 1 / (1 - f) steps. So that these times
are spread over 1..T at the start, tau ~ U[1, T - 1] for every unit:

    LSTM    b_f = log tau,  b_i = -b_f          f = tau / (1 + tau),  i = 1 - f
    GRU     b_z = log tau                       z keeps the old state (the paper's z is 1 - z)

With biases of zero a gated cell forgets in two steps, and over hundreds of them no gradient arrives
that could teach it otherwise.
"""

import keras
from keras import ops


class Chrono(keras.initializers.Initializer):
    """What both have in common.

    Args:
        longest: int or float > 2. T, the longest dependency that is expected, in steps.
        seed: int or None.

    Raises:
        ValueError: if `longest` is not above 2, or the bias is not that of its cell.
    """

    blocks = None

    def __init__(self, longest, seed=None):
        if not longest > 2:
            raise ValueError(f"longest: expected more than 2 steps, got {longest!r}.")
        self.longest = longest
        self.seed = seed
        self._seed = keras.random.SeedGenerator(seed) if seed is None else seed

    def draw(self, shape, dtype):
        """Returns log tau `(H,)` for a bias of `blocks * H` columns."""
        if not shape or shape[-1] % self.blocks:
            raise ValueError(
                f"{type(self).__name__}: expected a bias of {self.blocks} * units columns, got the "
                f"shape {tuple(shape)}."
            )
        units = (shape[-1] // self.blocks,)
        return ops.log(keras.random.uniform(units, 1.0, self.longest - 1.0, dtype, self._seed))

    def get_config(self):
        return {"longest": self.longest, "seed": self.seed}


@keras.saving.register_keras_serializable(package="seqkeras")
class ChronoLSTM(Chrono):
    """Bias `(4H,)` of an LSTM, with gates in the order i, f, c, o; takes `unit_forget_bias`' place.

    >>> from seqkeras.layers import LSTM
    >>> layer = LSTM(128, bias_initializer=ChronoLSTM(784))
    """

    blocks = 4
    sets_forget_bias = True

    def __call__(self, shape, dtype=None):
        log_tau = self.draw(shape, dtype)
        zeros = ops.zeros_like(log_tau)
        return ops.concatenate([-log_tau, log_tau, zeros, zeros])


@keras.saving.register_keras_serializable(package="seqkeras")
class ChronoGRU(Chrono):
    """Bias `(3H,)`, or `(2, 3H)` with `reset_after`, of a GRU, with gates in the order z, r, c.

    >>> from seqkeras.layers import GRU
    >>> layer = GRU(128, bias_initializer=ChronoGRU(784))
    """

    blocks = 3

    def __call__(self, shape, dtype=None):
        log_tau = self.draw(shape, dtype)
        zeros = ops.zeros_like(log_tau)
        bias = ops.concatenate([log_tau, zeros, zeros])
        return bias if len(shape) == 1 else ops.stack([bias, ops.zeros_like(bias)])
