"""The Transformer, Vaswani et al. 2017 (arXiv:1706.03762); notes A Fig. 20, notes B 4.5.

    memory = encoder(drop(positions(embedding(x))))
    logits = head(decoder(drop(positions(embedding(y_<l))), memory))

One functional model, flat: what shares a weight is a layer that is called twice, which every way of
saving and copying a Keras model understands.
"""

import keras
from keras import ops

from seqkeras.blocks.dropout import Dropout
from seqkeras.blocks.masking import PaddingMask
from seqkeras.blocks.transformer_stack import TransformerStack
from seqkeras.heads.softmax import SoftmaxHead
from seqkeras.models.embedded_tokens import make_embedding, make_positions
from seqkeras.models.parts import DecodingParts
from seqkeras.ops.masks import real_tokens

# The sizes of the paper (Table 3), and one for a small set of short sentences.
PRESETS = {
    "tiny": {"layers": 4, "units": 128, "hidden_units": 256, "num_heads": 4, "dropout": 0.3},
    "base": {"layers": 6, "units": 512, "hidden_units": 2048, "num_heads": 8, "dropout": 0.1},
    "big": {"layers": 6, "units": 1024, "hidden_units": 4096, "num_heads": 16, "dropout": 0.3},
}


def transformer(
    source_vocabulary,
    target_vocabulary,
    layers=6,
    units=512,
    hidden_units=2048,
    num_heads=8,
    dropout=0.1,
    attention_dropout=0.0,
    hidden_dropout=0.0,
    norm="pre",
    activation="relu",
    positions="sinusoidal",
    max_length=None,
    shared_embedding=False,
    tied_output=True,
    decoder_layers=None,
):
    """Builds an encoder-decoder Transformer.

    `PRESETS` has the sizes of the paper: `transformer(37000, 37000, shared_embedding=True,
    norm="post", **PRESETS["base"])`.

    Args:
        source_vocabulary, target_vocabulary: Sizes V of the vocabularies.
        layers, decoder_layers: Depths of encoder and decoder; by default the same.
        units: Size D of the embeddings and of every layer.
        hidden_units: Width of the feed-forward networks.
        num_heads: N, a divisor of D.
        dropout: Rate on the embedded tokens and on what every part of a layer adds.
        attention_dropout, hidden_dropout, norm, activation: see `TransformerLayer`.
        positions: "sinusoidal" or "learned".
        max_length: The most positions, for learned ones.
        shared_embedding: If True, one matrix embeds source and target, of one joint vocabulary.
        tied_output: If True, the target's embedding is the output matrix, too.

    Returns:
        A functional `keras.Model`, `{"source": (B, S), "target_in": (B, T)}` to logits `(B, T, V)`.

    Raises:
        ValueError: for vocabularies of two sizes that are to share an embedding, an unknown kind
            of positions, or learned ones without `max_length`.
    """
    if shared_embedding and source_vocabulary != target_vocabulary:
        raise ValueError(
            "shared_embedding: expected one joint vocabulary, got sizes "
            f"{source_vocabulary} and {target_vocabulary}."
        )

    # layers
    target_name = "embedding" if shared_embedding else "target_embedding"
    target_embedding = make_embedding(target_vocabulary, units, target_name)
    source_embedding = target_embedding
    if not shared_embedding:
        source_embedding = make_embedding(source_vocabulary, units, "source_embedding")
    stack = {
        "num_heads": num_heads,
        "hidden_units": hidden_units,
        "dropout": dropout,
        "attention_dropout": attention_dropout,
        "hidden_dropout": hidden_dropout,
        "norm": norm,
        "activation": activation,
    }
    encoder = TransformerStack(layers, name="encoder", **stack)
    decoder = TransformerStack(
        decoder_layers or layers, causal=True, cross_attention=True, name="decoder", **stack
    )

    # functional model
    source = keras.Input((None,), dtype="int32", name="source")
    target_in = keras.Input((None,), dtype="int32", name="target_in")
    mask = PaddingMask(name="memory_mask")(source)
    x = make_positions(positions, max_length, "source_positions")(source_embedding(source))
    memory = encoder(Dropout(dropout)(x), mask=mask)
    y = make_positions(positions, max_length, "target_positions")(target_embedding(target_in))
    y = decoder(Dropout(dropout)(y), memory=memory, memory_mask=mask)
    if tied_output:
        logits = target_embedding(y, reverse=True)
    else:
        logits = SoftmaxHead(target_vocabulary, name="head")(y)

    # what decoding needs: `transformer_parts` finds the layers by their names
    return keras.Model({"source": source, "target_in": target_in}, logits, name="translation")


class TransformerParts:
    """A Transformer of this package as decoding sees it, layer by layer.

    Args:
        model: What `transformer` returned, or the same after loading.
    """

    def __init__(self, model):
        named = {layer.name: layer for layer in model.layers}
        self.encoder, self.decoder = named["encoder"], named["decoder"]
        self.source_embedding = named.get("source_embedding") or named["embedding"]
        self.target_embedding = named.get("target_embedding") or named["embedding"]
        self.source_positions = named["source_positions"]
        self.target_positions = named["target_positions"]
        self.head = named.get("head")

    def logits(self, y):
        """Returns the logits `(..., V)` of the decoder's outputs `(..., D)`."""
        if self.head is None:
            return self.target_embedding(y, reverse=True)
        return self.head(y, training=False)

    def embed_source(self, source):
        """Returns the vectors and the mask of source ids `(B, S)`."""
        return self.source_positions(self.source_embedding(source)), real_tokens(source)

    def encode(self, source):
        """Source ids `(B, S)` to `(memory, state)`, see `DecodingParts`."""
        x, mask = self.embed_source(source)
        memory = self.decoder.prepare(self.encoder(x, mask=mask), mask)
        attention = ops.zeros_like(ops.cast(mask, "float32"))
        return memory, {"caches": self.decoder.start(ops.shape(source)[0]), "attention": attention}

    def step(self, tokens, state, memory, rows):
        """One step on tokens `(R,)` of hypotheses; see `DecodingParts`."""
        past = ops.shape(state["caches"][0].keys)[2]
        y = self.target_positions(self.target_embedding(tokens[:, None]), offset=past)
        output, caches = self.decoder.step(y, state["caches"], memory, rows)
        attention = ops.cast(mean_of_heads(output)[:, 0], "float32")
        logits = self.logits(output.x[:, 0])
        return logits, {"caches": caches, "attention": attention}

    def run(self, source, target_in):
        """Returns the `StackOutput` of encoder and of decoder, for the whole target at once."""
        x, mask = self.embed_source(source)
        encoded = self.encoder(x, mask=mask, return_attention_scores=True)
        y = self.target_positions(self.target_embedding(target_in))
        decoded = self.decoder(y, memory=encoded.x, memory_mask=mask, return_attention_scores=True)
        return encoded, decoded

    def attend(self, source, target_in):
        """Teacher-forced `(log_probs (B, T, V), weights (B, T, S))`."""
        _, decoded = self.run(source, target_in)
        log_probs = ops.log_softmax(self.logits(decoded.x))
        return log_probs, ops.cast(mean_of_heads(decoded), "float32")

    def heads(self, source, target_in):
        """Returns the weights of every layer and head, see `DecodingParts`."""
        encoded, decoded = self.run(source, target_in)
        maps = {"encoder": encoded.own, "decoder": decoded.own, "cross": decoded.other}
        return {name: ops.cast(ops.stack(m, axis=1), "float32") for name, m in maps.items()}


def transformer_parts(model):
    """Returns the `DecodingParts` of a Transformer."""
    parts = TransformerParts(model)
    embeddings = parts.target_embedding.embeddings
    return DecodingParts(parts.encode, parts.step, parts.attend, True, embeddings, parts.heads)


def mean_of_heads(output):
    """Returns the weights `(B, T, S)` over the memory of a `StackOutput`: the last layer's mean."""
    return ops.mean(output.other[-1], axis=1)
