"""What language models that are counted have in common as layers."""

import keras
from keras import ops

from seqkeras.constants import PAD, START
from seqkeras.ops.masks import HIDDEN, both, real_tokens
from seqkeras.ops.require import ids_in_range, require_ids

_SMALLEST = 1e-37  # a probability whose logarithm float32 still has


class CountedModel(keras.Layer):
    """Base of the layers that predict the next token from tables, which do not train.

    A subclass has `call(inputs)`, integer ids `(B, T)` to float32 log-probabilities `(B, T, V)`,
    and `context_length`: how many ids before its own a prediction depends on, at most.

    Args:
        vocabulary_size: int. V.
    """

    def __init__(self, vocabulary_size, **kwargs):
        super().__init__(**kwargs)
        smallest = max(PAD, START) + 2
        if not isinstance(vocabulary_size, int) or vocabulary_size < smallest:
            raise ValueError(
                f"vocabulary_size: expected an integer of at least {smallest}, got "
                f"{vocabulary_size!r}."
            )
        self.vocabulary_size = vocabulary_size
        self.supports_masking = True
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def _table(self, name, values):
        """Adds a weight of these values in the beginning."""
        # Under mixed precision bfloat16 would round every number to 3 digits.
        return self.add_weight(
            values.shape,
            lambda shape, dtype=None: ops.convert_to_tensor(values, dtype),
            dtype=str(values.dtype),
            trainable=False,
            autocast=False,
            name=name,
        )

    def _in_range(self, ids):
        return ids_in_range(ids, self.vocabulary_size)

    def _require_range(self, log_probs, *ids):
        """Returns log_probs, and fails if there are ids out of range."""
        return require_ids(self.name, self.vocabulary_size, log_probs, *ids)

    def _check(self, name, ids):
        dtype = keras.backend.standardize_dtype(ids.dtype)
        if not keras.backend.is_int_dtype(dtype) or len(ids.shape) != 2:
            raise ValueError(
                f"{self.name}: expected integer {name} (B, T), got {dtype} of shape "
                f"{tuple(ids.shape)}."
            )

    def compute_mask(self, inputs, mask=None):
        return both(mask, real_tokens(inputs))

    def compute_output_spec(self, inputs):
        self._check("inputs", inputs)
        return keras.KerasTensor((*inputs.shape, self.vocabulary_size), dtype="float32")

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape, self.vocabulary_size)

    def get_config(self):
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}


def check_sizes(sizes):
    """Raises ValueError for numbers of table entries that int32 places cannot count."""
    if any(not isinstance(size, int) or not 0 <= size < 2**31 - 1 for size in sizes):
        raise ValueError(f"sizes: expected integers from 0 to 2**31 - 2, got {tuple(sizes)}.")


def log_of(p):
    """Returns log p, and -1e30 where p is 0."""
    return ops.where(p > 0.0, ops.log(ops.maximum(p, _SMALLEST)), HIDDEN)
