"""The full softmax over the vocabulary.

    logits = W tanh(R h + r) + b;   p(w | h) = softmax(logits)_w

The readout R is optional; it puts a bottleneck between a wide output ([h; v] of an attention cell)
and the vocabulary, whose matmul is the dearest of the model.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="seqkeras")
class SoftmaxHead(keras.Layer):
    """Turns hidden states into logits over the vocabulary.

    Args:
        vocabulary_size: int > 0. V.
        readout_units: Size of the tanh layer before the logits, or None for none.
        dropout: Rate in [0, 1) on what enters the last matmul.
        seed: int or None, of the dropout.

    Call arguments:
        inputs: Float tensor `(B, T, H)` or `(B, H)`.
        training: If True, dropout is applied.

    Returns:
        Logits `(B, T, V)` or `(B, V)`, in float32 also under mixed precision.
    """

    def __init__(self, vocabulary_size, readout_units=None, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if vocabulary_size <= 0:
            raise ValueError(
                f"vocabulary_size: expected a positive integer, got {vocabulary_size}."
            )
        self.vocabulary_size = vocabulary_size
        self.readout_units = readout_units
        self.seed = seed
        self.readout = (
            keras.layers.Dense(readout_units, "tanh", dtype=self.dtype_policy, name="readout")
            if readout_units
            else None
        )
        self.dropout = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.logits = keras.layers.Dense(vocabulary_size, dtype=self.dtype_policy, name="logits")
        self.supports_masking = True

    def build(self, input_shape):
        if self.readout is not None:
            self.readout.build(input_shape)
            input_shape = (*input_shape[:-1], self.readout_units)
        self.logits.build(input_shape)

    def call(self, inputs, training=False):
        hidden = inputs if self.readout is None else self.readout(inputs)
        logits = self.logits(self.dropout(hidden, training=training))
        return ops.cast(logits, "float32")

    def compute_output_spec(self, inputs, training=False):
        return keras.KerasTensor((*inputs.shape[:-1], self.vocabulary_size), dtype="float32")

    def get_config(self):
        config = {
            "vocabulary_size": self.vocabulary_size,
            "readout_units": self.readout_units,
            "dropout": self.dropout.rate,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}
