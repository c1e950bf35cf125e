"""Vectors of words from their characters, Kim et al. 2016 (arXiv:1508.06615), section 2.2-2.3.

    c_1 .. c_l                                    the characters of a word, as vectors
    f_w[i] = <K_w, c_{i : i+w}> + b_w             F_w filters of every width w, at every place i
    y_w    = tanh(max_i f_w[i])
    x      = highway layers of [y_1; y_2; ...]

A word stands in a field of L characters, padded with zeros; filters also see what hangs over its
ends, and always a place without any character, so where in the field it stands changes nothing.
"""

import keras
from keras import ops

from seqkeras.blocks.highway import Highway
from seqkeras.constants import PAD


@keras.saving.register_keras_serializable(package="seqkeras")
class CharacterCNN(keras.Layer):
    """Turns the characters of words into vectors: equal spellings have equal vectors.

    Args:
        characters: int > 0. How many different characters there are, with PAD as number 0.
        dim: int > 0. Size of a character's vector.
        filters: Dict from the width of filters to how many there are.
        highways: int >= 0. Highway layers on top.
        output_dim: int or None. Size to which a last linear layer brings the vectors; None: none.

    Call arguments:
        inputs: Integer tensor `(..., L)`, PAD where there is no character.

    Returns:
        Float tensor `(..., D)`; D is the number of all filters, or `output_dim`.

    Masking: a word of padding alone has a vector like any other.

    Raises:
        ValueError: for no filters, or sizes that are not positive.

    Example:

    >>> import numpy as np
    >>> words = np.array([[[4, 7, 0, 0], [5, 0, 0, 0]]])  # two words of at most four characters
    >>> CharacterCNN(30, dim=3, filters={1: 5, 2: 10})(words).shape
    TensorShape([1, 2, 15])
    """

    def __init__(self, characters, dim, filters, highways=1, output_dim=None, **kwargs):
        super().__init__(**kwargs)
        # Through JSON keys become strings.
        filters = {int(width): number for width, number in dict(filters).items()}
        if not filters or min(*filters, *filters.values(), characters, dim, 1) < 1 or highways < 0:
            raise ValueError(
                "expected positive characters, dim, widths and numbers of filters, and highways of "
                f"at least 0, got characters={characters}, dim={dim}, filters={filters}, "
                f"highways={highways}."
            )
        self.characters = characters
        self.dim = dim
        self.filters = filters
        self.output_dim = output_dim
        self.highways = [
            Highway(dtype=self.dtype_policy, name=f"highway_{i}") for i in range(highways)
        ]
        self.projection = None
        if output_dim:
            self.projection = keras.layers.Dense(
                output_dim, use_bias=False, dtype=self.dtype_policy, name="projection"
            )

    @property
    def units(self):
        """The size D of the vectors."""
        return self.output_dim or sum(self.filters.values())

    def build(self, inputs_shape=None):
        shape = (self.characters, self.dim)
        self.embeddings = self.add_weight(shape, "uniform", name="embeddings")
        self.kernels = {}
        for width, number in self.filters.items():
            self.kernels[str(width)] = (
                self.add_weight(
                    (width, self.dim, number), "glorot_uniform", name=f"kernel_{width}"
                ),
                self.add_weight((number,), "zeros", name=f"bias_{width}"),
            )
        for layer in self.highways:
            layer.build((None, sum(self.filters.values())))
        if self.projection is not None:
            self.projection.build((None, sum(self.filters.values())))

    def call(self, inputs):
        words = ops.reshape(inputs, (-1, inputs.shape[-1]))
        vectors = ops.take(self.embeddings, words, axis=0)
        vectors = ops.where(ops.expand_dims(words != PAD, -1), vectors, 0.0)  # (N, L, C)
        found = []
        for width in self.filters:
            kernel, bias = self.kernels[str(width)]
            # Beyond its ends a word is followed by nothing, and at one place there is nothing else.
            field = ops.pad(vectors, [[0, 0], [width - 1, width], [0, 0]])
            scores = ops.max(ops.conv(field, kernel, padding="valid"), axis=1)
            found.append(ops.tanh(scores + bias))
        x = ops.concatenate(found, axis=-1)
        for layer in self.highways:
            x = layer(x)
        if self.projection is not None:
            x = self.projection(x)
        return ops.reshape(x, (*ops.shape(inputs)[:-1], self.units))

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape[:-1], self.units)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def get_config(self):
        config = {
            "characters": self.characters,
            "dim": self.dim,
            "filters": self.filters,
            "highways": len(self.highways),
            "output_dim": self.output_dim,
        }
        return {**super().get_config(), **config}
