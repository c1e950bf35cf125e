"""A stand-in for a translator, exported once: it has all that serving asks of one."""

import string
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqkeras.serving import ModelCard, export_translator

ALPHABET = string.ascii_lowercase + " "
UNKNOWN = "⁇"
WEIGHTS = -np.linspace(0.0, 3.0, len(ALPHABET) + 2, dtype="float32")[:, None]  # [0]: padding


class Caesar(tf.Module):
    """Moves every letter on by one place; a text's score is the sum of its letters' weights.

    It uses what a real translator uses: lookup tables, ragged strings, and a Keras model inside a
    `while_loop`. The model is compiled, so it has optimizer variables that no export should have.
    """

    attends = True

    def __init__(self):
        super().__init__()
        characters = ["", *ALPHABET]
        shifted = ["", *(ALPHABET[1:-1] + "a "), UNKNOWN]
        initializer = tf.lookup.KeyValueTensorInitializer(
            characters, tf.range(len(characters), dtype=tf.int32)
        )
        self.ids = tf.lookup.StaticHashTable(initializer, default_value=len(characters))
        self.shifted = tf.constant(shifted)
        letters = keras.Input((), dtype="int32")
        weights = keras.layers.Embedding(len(WEIGHTS), 1, name="weights")(letters)
        self.model = keras.Model(letters, weights)
        self.model.set_weights([WEIGHTS])
        self.model.compile("adam", "mse")
        self.model.optimizer.build(self.model.trainable_variables)

    def characters(self, texts):
        return tf.strings.unicode_split(texts, "UTF-8").to_tensor("")  # (B, S)

    def log_probability(self, texts):
        ids = self.ids.lookup(self.characters(texts))
        _, total = tf.while_loop(
            lambda t, total: t < tf.shape(ids)[1],
            lambda t, total: (t + 1, total + self.model(ids[:, t])[:, 0]),
            (0, tf.zeros(tf.shape(texts))),
        )
        return total

    @tf.function
    def translate(self, texts):
        shifted = tf.gather(self.shifted, self.ids.lookup(self.characters(texts)))
        return {
            "text": tf.strings.reduce_join(shifted, axis=1),
            "score": self.log_probability(texts),
        }

    def n_best(self, texts):
        best = self.translate(texts)
        return {
            "text": tf.stack([best["text"], tf.strings.upper(best["text"])], axis=1),
            "score": tf.stack([best["score"], best["score"] - 1.0], axis=1),
        }

    def score(self, source, target):
        return {"log_probability": self.log_probability(source) - self.log_probability(target)}

    def align(self, texts):
        best = self.translate(texts)
        source, target = self.characters(texts), self.characters(best["text"])
        return {
            "text": best["text"],
            "source_tokens": source,
            "target_tokens": target,
            "attention": tf.eye(tf.shape(target)[1], tf.shape(source)[1], [tf.shape(texts)[0]]),
        }


def shift(text):
    """What `Caesar` should answer, in plain Python."""
    return "".join(
        UNKNOWN if c not in ALPHABET else " " if c == " " else ALPHABET[(ALPHABET.find(c) + 1) % 26]
        for c in text
    )


def weigh(text):
    """The score that `Caesar` should give, in plain Python."""
    return sum(float(WEIGHTS[ALPHABET.find(c) + 1 if c in ALPHABET else -1, 0]) for c in text)


@pytest.fixture(scope="session")
def caesar():
    """The translator and its oracle."""
    return SimpleNamespace(translator=Caesar(), shift=shift, weigh=weigh, unknown=UNKNOWN)


@pytest.fixture(scope="session")
def card():
    return ModelCard(
        summary="Moves letters on | by one.",
        trained_on="Nothing: it is a rule.",
        metrics={"exact match, all letters": 1.0, "BLEU": "not measured"},
        settings={"letters": 26, "weight of z": 0.123456},
    )


@pytest.fixture(scope="session")
def examples():
    return ["hello world", 'it\'s; "quoted" | é', "a"]


@pytest.fixture(scope="session")
def export(caesar, card, examples, tmp_path_factory):
    """The path of an export, `…/models/caesar/1`. Do not change what lies there."""
    directory = tmp_path_factory.mktemp("export") / "models"
    return export_translator(
        caesar.translator, directory, "caesar", card=card, example_texts=examples
    )
