"""An encoder-only Transformer, as in Devlin et al. 2019 (arXiv:1810.04805), section 3; notes B 5.2.

x      = encoder(drop(positions(embedding(tokens))))     every position sees every other
logits = x E^T                                           E the embedding, for masked tokens
"""

import keras

from seqkeras.blocks.masking import PaddingMask
from seqkeras.blocks.transformer_stack import TransformerStack
from seqkeras.models.embedded_tokens import embed_tokens


def transformer_encoder(
    vocabulary_size,
    layers=6,
    units=512,
    dropout=0.1,
    positions="sinusoidal",
    max_length=None,
    logits=False,
    **options,
):
    """Builds an encoder-only Transformer.

    Args:
        vocabulary_size: V.
        layers: Depth.
        units: Size D of the embeddings and of every layer.
        dropout: Rate on the embedded tokens and on what every part of a layer adds.
        positions: "sinusoidal" or "learned".
        max_length: The most positions, for learned ones.
        logits: If True, the model ends in logits of every token, by the embedding's own matrix.
        options: Further arguments of `TransformerLayer`: num_heads, hidden_units, norm, ...

    Returns:
        A functional `keras.Model`, tokens `(B, T)` to vectors `(B, T, D)`, or to logits
        `(B, T, V)`. PAD is masked; what comes out there means nothing.

    Raises:
        ValueError: for an unknown kind of positions, learned ones without `max_length`, or options
            that `TransformerLayer` refuses.
    """
    tokens, embedding, x = embed_tokens(vocabulary_size, units, dropout, positions, max_length)
    encoder = TransformerStack(layers, dropout=dropout, name="encoder", **options)
    x = encoder(x, mask=PaddingMask(name="mask")(tokens))
    outputs = embedding(x, reverse=True) if logits else x
    return keras.Model(tokens, outputs, name="transformer_encoder")
