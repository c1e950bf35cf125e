"""Sequence to sequence with attention, Bahdanau et al. 2015 (arXiv:1409.0473); notes A "Seq2seq
with Attention", notes B 4.2 (2)-(8); the variant of Luong et al. 2015 (arXiv:1508.04025).

    f_t = [forward h_t; backward h_t]         the memory: both directions of the encoder
    s_0 = tanh(W [last states] + b)           the decoder's first state, notes B's NN (29)
    v_l = sum_t alpha_lt f_t                  what the decoder sees at step l
"""

import keras

from seqkeras.attention.bahdanau import BahdanauAttention
from seqkeras.attention.dot import DotAttention, GeneralAttention, ScaledDotAttention
from seqkeras.blocks.autoregressive_decoder import AutoregressiveDecoder
from seqkeras.blocks.dropout import Dropout
from seqkeras.blocks.masking import PaddingMask
from seqkeras.cells.attention_cell import AttentionCell
from seqkeras.cells.bidirectional import Bidirectional
from seqkeras.cells.rnn import RNN
from seqkeras.heads.softmax import SoftmaxHead
from seqkeras.models.cells import make_cell
from seqkeras.models.encoder_decoder import (
    encoder_decoder,
    make_stack,
    token_embedding,
)

ATTENTIONS = {
    "bahdanau": BahdanauAttention,
    "dot": lambda _: DotAttention(),
    "scaled_dot": lambda _: ScaledDotAttention(),
    "general": lambda _: GeneralAttention(),
}

PRESETS = {
    # notes A, Fig. 17: bidirectional GRU encoder, GRU decoder, the context enters the cell
    "gru": {"cell": "gru", "attention": "bahdanau", "query": "previous"},
    # notes B (2)-(8): LSTMs, the features f_t = T(h_t) are a learned map of the encoder's outputs
    "lstm": {"cell": "lstm", "attention": "bahdanau", "query": "previous", "memory_units": 256},
    # Luong et al.: the new state asks, the attentional output is fed to the next step
    "luong": {"cell": "lstm", "attention": "general", "query": "current"},
}


def attention_seq2seq(
    source_vocabulary,
    target_vocabulary,
    cell="gru",
    embedding_dim=256,
    units=256,
    encoder_layers=1,
    decoder_layers=1,
    attention="bahdanau",
    query="previous",
    input_feeding=None,
    memory_units=None,
    readout_units=None,
    dropout=0.2,
    first_token="start",
    scheduled_sampling=False,
):
    """Builds an encoder-decoder with attention.

    `PRESETS` has the options of the notes' two forms and of Luong's: `attention_seq2seq(8000, 8000,
    **PRESETS["lstm"])`.

    Args:
        source_vocabulary, target_vocabulary: Sizes V of the vocabularies.
        cell: "gru" (the notes' form), "gru_reset_after" (Keras'), "lstm", "simple_rnn", or a
            function `units -> cell`.
        embedding_dim, units: Sizes D of the embeddings and H of every cell, direction and score.
        encoder_layers, decoder_layers: Depths.
        attention: "bahdanau", "general", "dot" or "scaled_dot", or a function `units -> layer`. The
            dot products need `memory_units` = `units`.
        query, input_feeding: see `AttentionCell`.
        memory_units: Size of a learned linear map T of the memory (notes B (5)), or None for none.
        readout_units: Size of the tanh layer before the logits; default: `units`.
        dropout: Rate on the embeddings, between layers, on the memory and before the logits.
        first_token, scheduled_sampling: see `AutoregressiveDecoder`.

    Returns:
        A functional `keras.Model`, `{"source": (B, S), "target_in": (B, T)}` to logits `(B, T, V)`.

    Raises:
        ValueError: for an unknown cell or attention, or an encoder without a layer.
    """
    if not callable(attention) and attention not in ATTENTIONS:
        raise ValueError(
            f"attention: expected one of {sorted(ATTENTIONS)} or a function, got {attention!r}."
        )
    if encoder_layers < 1:
        raise ValueError(f"encoder_layers: expected at least 1, got {encoder_layers}.")

    # layers
    encoder_rnns = [
        Bidirectional(
            RNN(make_cell(cell, units), return_sequences=True, return_state=True, name="rnn"),
            name=f"bidirectional_{index}",
        )
        for index in range(encoder_layers)
    ]
    score = attention if callable(attention) else ATTENTIONS[attention]
    attention_cell = AttentionCell(
        make_stack(cell, units, decoder_layers, dropout),
        score(units),
        query=query,
        input_feeding=input_feeding,
        output_context=query == "previous",
        memory_map=keras.layers.Dense(memory_units, use_bias=False) if memory_units else None,
        return_attention_scores=True,
    )
    decoder = AutoregressiveDecoder(
        token_embedding(target_vocabulary, embedding_dim, name="target_embedding"),
        attention_cell,
        SoftmaxHead(target_vocabulary, readout_units or units, dropout, name="head"),
        dropout=dropout,
        first_token=first_token,
        scheduled_sampling=scheduled_sampling,
        name="decoder",
    )

    # functional model
    source = keras.Input((None,), dtype="int32", name="source")
    embedding = token_embedding(
        source_vocabulary, embedding_dim, mask_zero=True, name="source_embedding"
    )
    memory = embedding(source)
    for rnn in encoder_rnns:
        memory = Dropout(dropout)(memory)
        memory, *last_states = rnn(memory)
    memory = Dropout(dropout)(memory)
    summary = keras.layers.Concatenate(name="summary")(last_states)
    count = len(keras.tree.flatten(attention_cell.cell.state_size))
    states = [
        keras.layers.Dense(units, "tanh", name=f"bridge_{index}")(summary) for index in range(count)
    ]
    mask = PaddingMask(name="memory_mask")(source)
    encoder = keras.Model(
        source, {"states": states, "memory": memory, "memory_mask": mask}, name="encoder"
    )

    # what decoding needs: `decoding_parts` finds "encoder" and "decoder" by their names
    return encoder_decoder(encoder, decoder)
