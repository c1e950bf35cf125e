"""A residual connection with layer norm around a layer f; notes A "Other Design Choices" 3-4,
notes B App. B.2.

    post  y = LN(x + drop(f(x)))     Vaswani et al. 2017 (arXiv:1706.03762), the notes' Add&Norm
    pre   y = x + drop(f(LN(x)))     Xiong et al. 2020 (arXiv:2002.04745)

In "pre" nothing but sums lies between the ends of a stack, so it trains without a long warm-up;
what leaves the stack then wants a last layer norm.
"""

import functools
import inspect

import keras
from keras import ops

from seqkeras.blocks.dropout import Dropout
from seqkeras.blocks.layer_normalization import LayerNormalization
from seqkeras.ops.masks import zero_masked

NORMS = ("pre", "post")


@keras.saving.register_keras_serializable(package="seqkeras")
class Residual(keras.Layer):
    """Adds what a layer makes of x to x, with dropout and layer norm.

    Args:
        layer: Layer f, whose first argument is x and whose output, or the first of its outputs, has
            the shape of x. None for one that is used through `around` alone.
        norm: "pre" or "post", see above.
        dropout: Rate in [0, 1) on what f adds.
        epsilon: Of the layer norm.
        seed: int or None, of the dropout.

    Call arguments: those of f, by the same names; the first is x, float `(B, T, D)`. Besides, if f
        lacks them:
        mask: Boolean tensor `(B, T)`, the mask of x, or None. If f takes a mask of its first
            argument under another name, `query_mask` for a `query`, that one is meant.
        training: If True, dropout is applied.

    Returns:
        Float tensor `(B, T, D)`; if f returns several outputs, a tuple of it and the others.

    Masking: masked positions count as zeros. The mask is passed on.

    Raises:
        ValueError: for an unknown `norm`, a call without a layer, or an f that changes the shape.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import FeedForward
    >>> Residual(FeedForward(64), norm="post", dropout=0.1)(np.ones((2, 5, 16))).shape
    TensorShape([2, 5, 16])
    """

    def __init__(self, layer=None, norm="pre", dropout=0.0, epsilon=1e-5, seed=None, **kwargs):
        # Keras finds the masks that belong to arguments by the names that `call` has for them.
        self.call = _with_signature(self.call, _signature_around(layer))
        super().__init__(**kwargs)
        if norm not in NORMS:
            raise ValueError(f"norm: expected one of {NORMS}, got {norm!r}.")
        self.layer = layer
        self.norm = norm
        self.epsilon = epsilon
        self.seed = seed
        self.layer_norm = LayerNormalization(
            epsilon=epsilon, dtype=self.dtype_policy, name="layer_norm"
        )
        self.dropout = Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, inputs_shape):
        # The layer builds itself when it is called: only then the shapes of all it takes are known.
        self.layer_norm.build(inputs_shape)

    def before(self, x):
        """Returns what f reads: LN(x), or x if the norm comes after."""
        return self.layer_norm(x) if self.norm == "pre" else x

    def around(self, function, x, training=False):
        """Puts the connection around any function instead of the layer.

        For an f that takes x more than once, as self-attention does, or is called in another way.

        Args:
            function: `x (B, T, D) -> (y (B, T, D), extra)`.
            x: Float tensor `(B, T, D)`, finite everywhere.
            training: If True, dropout is applied.

        Returns:
            `(output (B, T, D), extra)`.
        """
        y, extra = function(self.before(x))
        if y.shape[-1] != x.shape[-1]:
            raise ValueError(
                f"{self.name}: expected an output of the size of the input, {x.shape[-1]}, to add "
                f"to it, got {y.shape[-1]}."
            )
        y = ops.add(x, self.dropout(y, training=training))
        return (self.layer_norm(y) if self.norm == "post" else y), extra

    def call(self, *args, **options):
        if self.layer is None:
            raise ValueError(
                f"{self.name}: expected a layer to call, got None. Give Residual a layer, or use "
                "`around`."
            )
        taken = inspect.signature(self.layer.call).parameters
        given = inspect.signature(self.call).bind(*args, **options).arguments
        first, mask = _names_of_x(taken)
        x = zero_masked(given.pop(first), given.get(mask))
        training = given.get("training", False)
        options = {name: value for name, value in given.items() if name in taken}

        def function(x):
            outputs = self.layer(x, **options)
            several = isinstance(outputs, tuple | list)
            return (outputs[0], tuple(outputs[1:])) if several else (outputs, None)

        y, others = self.around(function, x, training)
        return y if others is None else (y, *others)

    def get_config(self):
        config = {
            "layer": keras.saving.serialize_keras_object(self.layer),
            "norm": self.norm,
            "dropout": self.dropout.rate,
            "epsilon": self.epsilon,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        layer = keras.saving.deserialize_keras_object(
            config["layer"], custom_objects=custom_objects
        )
        return cls(**{**config, "layer": layer})


def _names_of_x(parameters):
    """Returns the name of a call's first argument and that of its mask."""
    first = next(iter(parameters))
    return first, f"{first}_mask" if f"{first}_mask" in parameters else "mask"


def _signature_around(layer):
    """Returns the signature of the layer's call, with a mask and `training` if it lacks them."""
    call = _alone if layer is None else layer.call
    parameters = dict(inspect.signature(call).parameters)
    _, mask = _names_of_x(parameters)
    for name, default in ((mask, None), ("training", False)):
        added = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        parameters.setdefault(name, added)
    return inspect.Signature(sorted(parameters.values(), key=lambda p: p.kind))


def _alone(inputs):
    """The call of no layer."""
    return inputs


def _with_signature(function, signature):
    @functools.wraps(function)
    def wrapped(*args, **options):
        return function(*args, **options)

    wrapped.__signature__ = signature
    return wrapped
