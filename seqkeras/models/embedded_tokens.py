"""From tokens to what enters a stack of Transformer layers: drop(positions(embedding(tokens)))."""

import keras

from seqkeras.blocks.dropout import Dropout
from seqkeras.blocks.positions import LearnedPositions, SinusoidalPositions
from seqkeras.blocks.token_embedding import TokenEmbedding


def make_embedding(vocabulary_size, units, name):
    """Returns an embedding whose vectors, and the first logits made of it, have variance 1."""
    initializer = keras.initializers.RandomNormal(stddev=units**-0.5)
    return TokenEmbedding(
        vocabulary_size, units, scale=True, embeddings_initializer=initializer, name=name
    )


def make_positions(kind, max_length, name):
    """Returns the layer of a kind of positions: "sinusoidal" or "learned"."""
    if kind == "sinusoidal":
        return SinusoidalPositions(name=name)
    if kind != "learned":
        raise ValueError(f"positions: expected 'sinusoidal' or 'learned', got {kind!r}.")
    if max_length is None:
        raise ValueError("positions: learned ones need max_length, got None.")
    return LearnedPositions(max_length, name=name)


def embed_tokens(vocabulary_size, units, dropout, positions, max_length):
    """Returns the start of a model of one sequence.

    Args:
        vocabulary_size: V.
        units: Size D of the vectors.
        dropout: Rate on them.
        positions, max_length: see `make_positions`.

    Returns:
        `(tokens (B, T), the embedding, x (B, T, D))`, the first and last symbolic.
    """
    embedding = make_embedding(vocabulary_size, units, "embedding")
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = make_positions(positions, max_length, "positions")(embedding(tokens))
    return tokens, embedding, Dropout(dropout)(x)
