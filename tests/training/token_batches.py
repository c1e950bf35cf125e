"""A tiny model and batches with the interface of `TokenBatches`, for the tests of training."""

import keras
import numpy as np
import tensorflow as tf

from seqkeras.training.adam import Adam
from seqkeras.training.losses import TokenCrossentropy
from seqkeras.training.metrics import Perplexity, TokenLoss
from seqkeras.training.optimizer import GuardedOptimizer

VOCABULARY = 11


class FakeBatches:
    """Endless batches of (source, target_in) -> target_out, each fixed by (epoch, step)."""

    def __init__(self, steps_per_epoch=5, batch_size=3):
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size

    def batch(self, position):
        rng = np.random.default_rng(position)
        length = int(rng.integers(2, 6))
        ids = rng.integers(3, VOCABULARY, (self.batch_size, length)).astype("int32")
        lengths = rng.integers(1, length + 1, (self.batch_size, 1))
        target = np.where(np.arange(length) < lengths, ids, 0).astype("int32")
        start = np.ones((self.batch_size, 1), "int32")
        return {"source": ids, "target_in": np.concatenate([start, target[:, :-1]], 1)}, target

    def _dataset(self, positions):
        ids = tf.TensorSpec((None, None), tf.int32)
        return tf.data.Dataset.from_generator(
            lambda: (self.batch(position) for position in positions()),
            output_signature=({"source": ids, "target_in": ids}, ids),
        )

    def dataset(self, epoch=0, step=0):
        def positions():
            position = epoch * self.steps_per_epoch + step
            while True:
                yield position
                position += 1

        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        return self._dataset(positions).apply(endless)

    def evaluation_dataset(self):
        count = 2
        dataset = self._dataset(lambda: range(10_000, 10_000 + count))
        return dataset.apply(tf.data.experimental.assert_cardinality(count))


def build_model(dropout=0.3):
    """Returns source, target_in -> logits, without a loop over time: quick to trace."""
    source = keras.Input((None,), dtype="int32", name="source")
    target_in = keras.Input((None,), dtype="int32", name="target_in")
    memory = keras.layers.Embedding(VOCABULARY, 4, name="source_embedding")(source)
    memory = keras.layers.GlobalAveragePooling1D(keepdims=True, name="pool")(memory)
    x = keras.layers.Embedding(VOCABULARY, 4, name="target_embedding")(target_in)
    x = keras.layers.Add(name="add")([x, memory])
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(4, "tanh", name="hidden")(x)
    x = keras.layers.GaussianDropout(dropout, name="noise")(x)
    x = keras.layers.BatchNormalization(name="normalization")(x)  # weights that are not trained
    logits = keras.layers.Dense(VOCABULARY, dtype="float32", name="logits")(x)
    return keras.Model({"source": source, "target_in": target_in}, logits)


def compile_model(model, accumulate_steps=1, learning_rate=0.05, clip_norm=1.0):
    """Compiles with everything of `seqkeras.training`; returns the model."""
    loss = TokenCrossentropy(0.1)
    optimizer = GuardedOptimizer(
        Adam(learning_rate),
        clip_norm=clip_norm,
        accumulate_steps=accumulate_steps,
        batch_weight=loss.token_count,
    )
    model.compile(optimizer, loss, metrics=[TokenLoss(0.1), Perplexity()])
    return model
