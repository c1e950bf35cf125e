"""A decoder-only Transformer, Liu et al. 2018 (arXiv:1801.10198), section 4.2.2; notes B 5.2.

    log p(y_t | y_<t) = log_softmax(decoder(drop(positions(embedding(y_<t))))_t E^T)

The decoder is a stack of self-attention and feed-forward networks that sees no later position: a
language model.
"""

import keras
from keras import ops

from seqkeras.blocks.transformer_stack import TransformerStack
from seqkeras.heads.softmax import SoftmaxHead
from seqkeras.models.embedded_tokens import embed_tokens


def transformer_decoder(
    vocabulary_size,
    layers=6,
    units=512,
    dropout=0.1,
    positions="sinusoidal",
    max_length=None,
    tied_output=True,
    **options,
):
    """Builds a decoder-only Transformer.

    Args:
        vocabulary_size: V.
        layers: Depth.
        units: Size D of the embeddings and of every layer.
        dropout: Rate on the embedded tokens and on what every part of a layer adds.
        positions: "sinusoidal" or "learned".
        max_length: The most positions, for learned ones.
        tied_output: If True, the embedding is the output matrix, too.
        options: Further arguments of `TransformerLayer`: num_heads, hidden_units, norm, ...

    Returns:
        A functional `keras.Model`, tokens `(B, T)` to the logits `(B, T, V)` of the tokens after
        them. Padding stands on the right, where no real position sees it.

    Raises:
        ValueError: for an unknown kind of positions, learned ones without `max_length`, or options
            that `TransformerLayer` refuses.
    """
    tokens, embedding, x = embed_tokens(vocabulary_size, units, dropout, positions, max_length)
    decoder = TransformerStack(layers, dropout=dropout, causal=True, name="decoder", **options)
    y = decoder(x)
    if tied_output:
        logits = embedding(y, reverse=True)
    else:
        logits = SoftmaxHead(vocabulary_size, name="head")(y)
    # what decoding needs: `DecoderSteps` finds the layers by their names
    return keras.Model(tokens, logits, name="transformer_decoder")


class DecoderSteps:
    """A decoder-only Transformer one token at a time: `step` of `seqkeras.decoding.protocol`.

    Args:
        model: What `transformer_decoder` returned, or the same after loading.

    Example:

    >>> from seqkeras.decoding.greedy import greedy_search
    >>> steps = DecoderSteps(transformer_decoder(9, 1, 8, num_heads=2, hidden_units=8))
    >>> found = greedy_search(steps.step, steps.start(batch_size=2), batch_size=2, max_length=5)
    >>> found.tokens.shape
    TensorShape([2, 5])
    """

    def __init__(self, model):
        named = {layer.name: layer for layer in model.layers}
        self.embedding, self.positions = named["embedding"], named["positions"]
        self.decoder, self.head = named["decoder"], named.get("head")

    def start(self, batch_size):
        """Returns the state before the first token, for R = B rows."""
        return {"caches": self.decoder.start(batch_size)}

    def step(self, tokens, state):
        """Tokens `(R,)` to `(logits (R, V), state)`."""
        past = ops.shape(state["caches"][0].keys)[2]
        x = self.positions(self.embedding(tokens[:, None]), offset=past)
        output, caches = self.decoder.step(x, state["caches"])
        if self.head is None:
            logits = self.embedding(output.x, reverse=True)
        else:
            logits = self.head(output.x, training=False)
        return logits[:, 0], {"caches": caches}
