"""The pyramidal stack of Listen, Attend and Spell, Chan et al. 2016 (arXiv:1508.01211);
notes A, Fig. 18.

    x^l_i = [y^{l-1}_{2i}; y^{l-1}_{2i+1}],   y^l = F^l(x^l)      l > 1, steps counted from 0

Every layer above the lowest gets half as many steps, so L layers turn T steps into
ceil(T / 2^(L-1)). Speech needs it: of the thousands of frames of an utterance few carry news, and
attention over all of them is slow to compute and slower to learn.

A last step without a partner is paired with zeros, whether the tensor ends behind it or padding
follows; the mean of a pair is over its real steps. So more padding changes nothing.
"""

import keras
from keras import ops

from seqkeras.blocks.recurrent_stack import RecurrentStack
from seqkeras.ops.masks import zero_masked

PAIRINGS = ("concat", "average")


def pair_up(x):
    """Returns `(x_{2i}, x_{2i+1})`, each `(B, ceil(T/2), ...)`; a partner that lacks is zero."""
    padded = ops.concatenate([x, ops.zeros_like(x[:, :1])], axis=1)
    return x[:, ::2], padded[:, 1::2]


def halve_mask(mask):
    """Returns the mask `(B, ceil(T/2))` of pairs: True where one of the two steps is real."""
    return ops.logical_or(*pair_up(mask))


def halve_time(x, mask=None, pairing="concat"):
    """Makes one step of every two.

    Args:
        x: Float tensor `(B, T, D)`.
        mask: Boolean tensor `(B, T)`, True = real, or None.
        pairing: "concat" for `(B, ceil(T/2), 2D)`, or "average" for `(B, ceil(T/2), D)`.

    Returns:
        Float tensor; pairs without a real step are zero.
    """
    first, second = pair_up(zero_masked(x, mask))
    if pairing == "concat":
        return ops.concatenate([first, second], axis=-1)
    real = ops.ones_like(x[..., 0]) if mask is None else ops.cast(mask, x.dtype)
    count = ops.add(*pair_up(real))  # (B, ceil(T/2))
    return (first + second) / ops.expand_dims(ops.maximum(count, 1.0), -1)


@keras.saving.register_keras_serializable(package="seqkeras")
class HalveTime(keras.Layer):
    """Joins steps two by two: half the time, for pyramids put together by hand.

    Args:
        pairing: "concat" keeps both steps side by side, "average" takes their mean.

    Call arguments:
        sequences: Float tensor `(B, T, D)`.
        mask: Boolean tensor `(B, T)`, True = real, or None.

    Returns:
        Float tensor `(B, ceil(T/2), 2D)`, or `(B, ceil(T/2), D)` for the mean.

    Masking: a pair is real if one of its steps is; the halved mask is passed on. The masked half of
        a pair counts as zeros in "concat", and not at all in "average".

    Raises:
        ValueError: for an unknown pairing.

    Example:

    >>> import numpy as np
    >>> HalveTime("average")(np.array([[[1.0], [3.0], [5.0]]])).numpy().tolist()
    [[[2.0], [5.0]]]
    """

    def __init__(self, pairing="concat", **kwargs):
        super().__init__(**kwargs)
        if pairing not in PAIRINGS:
            raise ValueError(f"pairing: expected one of {PAIRINGS}, got {pairing!r}.")
        self.pairing = pairing
        self.supports_masking = True

    def call(self, sequences, mask=None):
        return halve_time(sequences, mask, self.pairing)

    def compute_mask(self, _, mask=None):
        return None if mask is None else halve_mask(mask)

    def compute_output_shape(self, sequences_shape):
        batch, length, size = sequences_shape
        length = None if length is None else (length + 1) // 2
        return batch, length, 2 * size if self.pairing == "concat" else size

    def get_config(self):
        return {**super().get_config(), "pairing": self.pairing}


@keras.saving.register_keras_serializable(package="seqkeras")
class PyramidalStack(RecurrentStack):
    """Recurrent layers on top of each other, each with half the steps of the one below.

    The encoder of Listen, Attend and Spell, with bidirectional LSTMs as layers.

    Args:
        layers: List of L recurrent layers, the lowest first, which keeps the time it is given; put
            a `HalveTime` before the stack to halve that too.
        pairing: see `HalveTime`.
        **options: those of `RecurrentStack`. A residual connection adds a layer's input, the pairs.

    Call arguments:
        See `RecurrentStack`.

    Returns:
        As `RecurrentStack` does, with ceil(T / 2^(L-1)) steps.

    Masking: as `RecurrentStack`; the mask is halved along with the time and passed on.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import LSTM, Bidirectional
    >>> layers = [Bidirectional(LSTM(4, return_sequences=True)) for _ in range(4)]
    >>> PyramidalStack(layers)(np.zeros((2, 20, 5))).shape
    TensorShape([2, 3, 8])
    """

    def __init__(self, layers, pairing="concat", **options):
        super().__init__(layers, **options)
        self.halve = HalveTime(pairing, dtype=self.dtype_policy)

    def input_of(self, index, x, mask):
        if index == 0:
            return x, mask
        return self.halve(x, mask=mask), self.halve.compute_mask(x, mask)

    def input_shape_of(self, index, shape):
        return self.halve.compute_output_shape(shape) if index else shape

    def compute_mask(self, _, mask=None):
        mask = keras.tree.flatten(mask)[0] if mask is not None else None
        if mask is not None:
            for _layer in self.layers[1:]:
                mask = halve_mask(mask)
        return super().compute_mask(_, mask)

    def get_config(self):
        return {**super().get_config(), "pairing": self.halve.pairing}
