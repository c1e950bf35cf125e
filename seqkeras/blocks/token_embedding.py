"""Token ids to vectors, and back to logits with the same matrix.

    x_t      = s E[w_t]          s = sqrt(D) if scaled (Vaswani et al. 2017, section 3.4), else 1
    logits_t = h_t E^T + b       tied weights: Press & Wolf 2017 (arXiv:1608.05859)

E `(V, D)` then gets one gradient, the sum of both uses. The logits are not scaled.
"""

import keras
from keras import initializers, ops

from seqkeras.constants import PAD
from seqkeras.ops.linear_crossentropy import vocabulary_logits


@keras.saving.register_keras_serializable(package="seqkeras")
class TokenEmbedding(keras.Layer):
    """Looks up the vector of each token; called in reverse, scores each token against a vector.

    In a functional model the call in reverse is a second call of this layer, so whatever saves,
    loads or clones the model keeps input and output tied.

    Args:
        vocabulary_size: int > 0. V.
        dim: int > 0. D.
        scale: If True, vectors are multiplied by sqrt(D). Vectors that start at N(0, 1/D),
            `RandomNormal(stddev=dim**-0.5)`, then have variance 1, and so do the first logits of a
            layer-normed h.
        mask_zero: If True, PAD (id 0) is masked.
        use_bias: If True, the logits have a bias b.
        embeddings_initializer: Keras initializer of E; the default is that of
            `keras.layers.Embedding`.

    Call arguments:
        inputs: Integer ids of any shape, `(B, T)` or `(B,)`; in reverse float h `(..., D)`.
        reverse: If True, from vectors to logits.

    Returns:
        Vectors `(..., D)` in the compute dtype, or logits `(..., V)` in float32.

    Masking: `mask_zero=True` makes the mask of the ids, other masks end here. In reverse the mask
        of h is passed on.

    Raises:
        ValueError: for sizes that are not positive, ids that are no integers, an h that is not of
            size D.

    Example:

    >>> embedding = TokenEmbedding(10, 4, scale=True)
    >>> vectors = embedding(keras.ops.array([[1, 5, 2]]))
    >>> vectors.shape, embedding.logits(vectors).shape
    (TensorShape([1, 3, 4]), TensorShape([1, 3, 10]))
    """

    def __init__(
        self,
        vocabulary_size,
        dim,
        scale=False,
        mask_zero=False,
        use_bias=False,
        embeddings_initializer="uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, size in (("vocabulary_size", vocabulary_size), ("dim", dim)):
            if not isinstance(size, int) or size <= 0:
                raise ValueError(f"{name}: expected a positive integer, got {size!r}.")
        self.vocabulary_size = vocabulary_size
        self.dim = dim
        self.scale = scale
        self.mask_zero = mask_zero
        self.use_bias = use_bias
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.supports_masking = True
        # Of a table only the rows that are looked up are cast, not all V of them.
        self.autocast = False

    def build(self, inputs_shape=None):
        if self.built:
            return
        shape = (self.vocabulary_size, self.dim)
        self.embeddings = self.add_weight(shape, self.embeddings_initializer, name="embeddings")
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight((self.vocabulary_size,), "zeros", name="bias")
        self.built = True

    def call(self, inputs, reverse=False):
        self._check(inputs, reverse)
        if reverse:
            return vocabulary_logits(
                ops.cast(inputs, self.compute_dtype), self.embeddings, self.bias
            )
        vectors = ops.cast(ops.take(self.embeddings, inputs, axis=0), self.compute_dtype)
        return vectors * self.dim**0.5 if self.scale else vectors

    def logits(self, hidden):
        """Returns the logits `(..., V)`, in float32, of hidden `(..., D)`: the call in reverse."""
        return self(hidden, reverse=True)

    def _check(self, inputs, reverse):
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        if not reverse and not keras.backend.is_int_dtype(dtype):
            raise ValueError(
                f"{self.name}: expected integer ids, got {dtype}. Cast them, or pass reverse=True "
                "for the logits of vectors."
            )
        if reverse and (keras.backend.is_int_dtype(dtype) or inputs.shape[-1] != self.dim):
            raise ValueError(
                f"{self.name}: expected float vectors of size {self.dim} in reverse, got {dtype} "
                f"of shape {tuple(inputs.shape)}."
            )

    def compute_mask(self, inputs, mask=None):
        # Keras does not say how the layer was called, but vectors are floats and ids are not.
        if not keras.backend.is_int_dtype(keras.backend.standardize_dtype(inputs.dtype)):
            return mask
        return ops.not_equal(inputs, PAD) if self.mask_zero else None

    def compute_output_spec(self, inputs, reverse=False):
        self._check(inputs, reverse)
        if reverse:
            return keras.KerasTensor((*inputs.shape[:-1], self.vocabulary_size), dtype="float32")
        return keras.KerasTensor((*inputs.shape, self.dim), dtype=self.compute_dtype)

    def compute_output_shape(self, inputs_shape, reverse=False):
        if reverse:
            return (*inputs_shape[:-1], self.vocabulary_size)
        return (*inputs_shape, self.dim)

    def get_config(self):
        config = {
            "vocabulary_size": self.vocabulary_size,
            "dim": self.dim,
            "scale": self.scale,
            "mask_zero": self.mask_zero,
            "use_bias": self.use_bias,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
        }
        return {**super().get_config(), **config}
