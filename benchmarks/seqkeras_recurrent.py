"""Our attention model as a worker: bidirectional GRU, Bahdanau attention, GRU.

Runs in this project's environment and speaks `protocol.py`. Training is `model.fit` on text files;
decoding is what a client of the exported SavedModel gets, strings in and strings out.
"""

import argparse
import contextlib
import pathlib

import keras
import tensorflow as tf
from keras import ops

from protocol import Channel, TrainingWindows
from seqkeras.constants import PAD
from seqkeras.data.batching import TokenBatches
from seqkeras.data.examples import encode_pairs
from seqkeras.data.readers import read_parallel
from seqkeras.data.tokenizers import SubwordTokenizer
from seqkeras.models.attention_seq2seq import attention_seq2seq
from seqkeras.training.adam import Adam
from seqkeras.training.losses import TokenCrossentropy
from seqkeras.training.optimizer import GuardedOptimizer

MAX_LENGTH = 100
TOKENS_PER_BATCH = 1_400  # 1,230 real target tokens an update; Joey NMT's 80 sentences have 1,227
DECODING_BATCH = 64


def build_model(vocabulary_size):
    """Returns the model with the sizes of Joey NMT's: 256 everywhere, untied, dropout 0.2."""
    return attention_seq2seq(
        vocabulary_size, vocabulary_size, embedding_dim=256, units=256, dropout=0.2
    )


def compiled(model):
    """Compiles the model with Joey NMT's loss, optimizer and clipping; returns it."""
    model.compile(
        optimizer=GuardedOptimizer(Adam(1e-3), clip_norm=1.0),
        loss=TokenCrossentropy(),
        metrics=[TokenCount()],
    )
    return model


def encode(data, subwords):
    """Returns the tokenizer and the encoded training pairs."""
    tokenizer = SubwordTokenizer.from_sentencepiece(subwords)
    pairs = read_parallel(data, "train", "en", "de")
    encoded, _ = encode_pairs(pairs, tokenizer, tokenizer, MAX_LENGTH)
    return tokenizer, encoded


class TokenCount(keras.metrics.Metric):
    """Target tokens seen since the epoch began, END included, padding and START not."""

    def __init__(self, name="tokens"):
        super().__init__(name=name)
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.count.assign_add(ops.sum(ops.cast(ops.not_equal(y_true, PAD), self.count.dtype)))

    def result(self):
        return ops.convert_to_tensor(self.count)


class CutIntoWindows(keras.callbacks.Callback):
    """Lets `fit` run in windows."""

    def __init__(self, windows):
        super().__init__()
        self._windows = windows
        self._seen = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._seen = 0

    def on_train_batch_begin(self, batch, logs=None):
        self._windows.before_step()

    def on_train_batch_end(self, batch, logs=None):
        seen = int(logs["tokens"])
        self._windows.after_step(seen - self._seen)
        self._seen = seen


class Decoder:
    """Translates the first sentences of the test set with an exported SavedModel.

    Args:
        saved_models: Dict of folder by beam size.
        sentences: List of str.
    """

    def __init__(self, saved_models, sentences):
        self._saved_models = saved_models
        self._sentences = sentences
        self._loaded = {}

    def __call__(self, beam, sentences):
        if beam not in self._loaded:  # in the warm-up window
            self._loaded[beam] = tf.saved_model.load(self._saved_models[beam])
        translate = self._loaded[beam].signatures["serving_default"]
        (name,) = translate.structured_input_signature[1]
        texts, words = self._sentences[:sentences], 0
        for start in range(0, len(texts), DECODING_BATCH):
            batch = tf.constant(texts[start : start + DECODING_BATCH])
            translations = translate(**{name: batch})["text"].numpy()
            words += sum(len(text.split()) for text in translations)
        return len(texts), words


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--subwords", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--saved-model", action="append", default=[], help="BEAM=FOLDER")
    options = parser.parse_args()

    channel = Channel()
    keras.utils.set_random_seed(42)
    tokenizer, encoded = encode(options.data, options.subwords)
    batches = TokenBatches(encoded, tokens_per_batch=TOKENS_PER_BATCH, seed=42)
    model = compiled(build_model(tokenizer.vocabulary_size))
    model.summary()

    saved_models = dict(option.split("=", 1) for option in options.saved_model)
    test = [source for source, _ in read_parallel(options.data, "test_2016_flickr", "en", "de")]
    decoder = Decoder({int(beam): folder for beam, folder in saved_models.items()}, test)
    with contextlib.suppress(KeyboardInterrupt):  # how `quit` ends the loop
        model.fit(
            batches.dataset(),
            steps_per_epoch=batches.steps_per_epoch,
            epochs=1000,
            callbacks=[CutIntoWindows(TrainingWindows(channel, decoder))],
            shuffle=False,  # the batches are shuffled already
            verbose=0,
        )


if __name__ == "__main__":
    main()
