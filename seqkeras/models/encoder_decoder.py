"""What the recurrent encoder-decoder models have in common.

The model is functional: inputs `{"source": (B, S), "target_in": (B, T)}`, output logits `(B, T,
V)`. Its layer "encoder" is a functional model of its own, source `(B, S)` to a dict with the
initial "states" of the decoder and, if there is attention, a "memory" and its "memory_mask"; its
layer "decoder" is an `AutoregressiveDecoder`. `recurrent_parts` finds them by these names, so it
works on a model just built and on one loaded from a file.
"""

import keras
from keras import ops

from seqkeras.cells.stacked import StackedRNNCells
from seqkeras.models.cells import make_cell
from seqkeras.models.parts import DecodingParts


def token_embedding(vocabulary_size, dim, **options):
    """Returns an embedding layer whose vectors start at N(0, 0.1²).

    Keras' default, uniform in ±0.05, hides the source behind small states for hundreds of steps.
    """
    initializer = keras.initializers.RandomNormal(stddev=0.1)
    return keras.layers.Embedding(vocabulary_size, dim, initializer, **options)


def make_stack(cell, units, layers, dropout=0.0):
    """Returns one cell, or a stack of `layers` of them with dropout in between."""
    if layers == 1:
        return make_cell(cell, units)
    return StackedRNNCells([make_cell(cell, units) for _ in range(layers)], dropout=dropout)


def encoder_decoder(encoder, decoder):
    """Returns the functional model of an encoder model and an `AutoregressiveDecoder`."""
    source = keras.Input((None,), dtype="int32", name="source")
    target_in = keras.Input((None,), dtype="int32", name="target_in")
    encoded = encoder(source)
    logits = decoder(
        target_in,
        encoded["states"],
        memory=encoded.get("memory"),
        memory_mask=encoded.get("memory_mask"),
    )
    return keras.Model({"source": source, "target_in": target_in}, logits, name="translation")


def recurrent_parts(model):
    """Returns the `DecodingParts` of a model with an encoder and an `AutoregressiveDecoder`."""
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")

    def encode(source):
        encoded = encoder(source, training=False)
        mask = encoded.get("memory_mask")
        memory = decoder.prepare(encoded.get("memory"), mask)
        return memory, decoder.start(encoded["states"], mask)

    def step(tokens, state, memory, rows):
        logits, state = decoder.step(tokens, state, memory, rows)
        return ops.cast(logits, "float32"), state

    def attend(source, target_in):
        encoded = encoder(source, training=False)
        logits, weights = decoder(
            target_in,
            encoded["states"],
            memory=encoded.get("memory"),
            memory_mask=encoded.get("memory_mask"),
            training=False,
            return_attention_scores=True,
        )
        return ops.log_softmax(logits), None if weights is None else ops.cast(weights, "float32")

    embeddings = decoder.embedding.embeddings
    return DecodingParts(encode, step, attend, decoder.attends, embeddings)
