"""Sequence to sequence through one vector, Sutskever et al. 2014 (arXiv:1409.3215); notes A
"Sequence to Sequence Learning", notes B section 3, (27)-(29).

    v = NN(last states of the encoder)        (29); NN is the identity unless `bridge`
    p(y_l | y_{<l}, x) from a decoder that starts in v

Deep LSTMs, separate weights for encoder and decoder, the source read backwards.
"""

import keras

from seqkeras.blocks.autoregressive_decoder import AutoregressiveDecoder
from seqkeras.blocks.dropout import Dropout
from seqkeras.blocks.masking import ReverseSequence
from seqkeras.cells.rnn import RNN
from seqkeras.heads.softmax import SoftmaxHead
from seqkeras.models.cells import make_cell
from seqkeras.models.encoder_decoder import (
    encoder_decoder,
    make_stack,
    token_embedding,
)


def seq2seq(
    source_vocabulary,
    target_vocabulary,
    cell="lstm",
    embedding_dim=256,
    units=256,
    layers=2,
    dropout=0.2,
    reverse_source=True,
    bridge=False,
    readout_units=None,
    first_token="start",
    scheduled_sampling=False,
):
    """Builds an encoder-decoder without attention: the decoder sees the source as one state only.

    Args:
        source_vocabulary, target_vocabulary: Sizes V of the vocabularies.
        cell: "lstm", "gru" (the notes' form), "gru_reset_after" (Keras'), "simple_rnn", or a
            function `units -> cell`.
        embedding_dim, units: Sizes D of the embeddings and H of every cell.
        layers: Depth of encoder and of decoder.
        dropout: Rate on the embeddings, between layers and before the logits.
        reverse_source: If True, the encoder reads the source from its end.
        bridge: If True, a tanh layer for each state maps the encoder's last states (notes B's NN).
        readout_units: Size of a tanh layer before the logits, or None.
        first_token, scheduled_sampling: see `AutoregressiveDecoder`.

    Returns:
        A functional `keras.Model`, `{"source": (B, S), "target_in": (B, T)}` to logits `(B, T, V)`.
    """
    # layers
    encoder_rnns = [
        RNN(make_cell(cell, units), return_sequences=True, return_state=True, name=f"rnn_{index}")
        for index in range(layers)
    ]
    decoder = AutoregressiveDecoder(
        token_embedding(target_vocabulary, embedding_dim, name="target_embedding"),
        make_stack(cell, units, layers, dropout),
        SoftmaxHead(target_vocabulary, readout_units, dropout, name="head"),
        dropout=dropout,
        first_token=first_token,
        scheduled_sampling=scheduled_sampling,
        name="decoder",
    )

    # functional model
    source = keras.Input((None,), dtype="int32", name="source")
    tokens = ReverseSequence(name="reverse")(source) if reverse_source else source
    embedding = token_embedding(
        source_vocabulary, embedding_dim, mask_zero=True, name="source_embedding"
    )
    x = embedding(tokens)
    states = []
    for rnn in encoder_rnns:
        x = Dropout(dropout)(x)
        x, *own = rnn(x)
        states += own
    if bridge:
        states = [
            keras.layers.Dense(units, "tanh", name=f"bridge_{index}")(state)
            for index, state in enumerate(states)
        ]
    encoder = keras.Model(source, {"states": states}, name="encoder")

    # what decoding needs: `decoding_parts` finds "encoder" and "decoder" by their names
    return encoder_decoder(encoder, decoder)
