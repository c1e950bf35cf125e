"""Recurrent language models; notes A Fig. 14, notes B 3.1.

    p(w_1..w_T) = prod_t p(w_t | w_<t)
    h_t = L recurrent layers over D(E w_{t-1})         D: dropout
    p(w_t | w_<t) = softmax(W D(h_t) + b), or what another head makes of D(h_t)

Dropout is on what enters a layer and the softmax, never on the way through time: Zaremba et al.
2014 (arXiv:1409.2329), equation in section 3.1.
"""

import keras

from seqkeras.blocks.dropout import Dropout
from seqkeras.blocks.token_embedding import TokenEmbedding
from seqkeras.cells.rnn import RNN
from seqkeras.models.cells import make_cell
from seqkeras.models.heads import make_head


def language_model(
    vocabulary_size,
    cell="lstm",
    embedding_dim=200,
    units=200,
    layers=2,
    dropout=0.0,
    tied_output=False,
    embedding=None,
    head="softmax",
    **head_options,
):
    """Builds a recurrent language model.

    The first token of its input is END, the end of what stood before the text, so that a corpus of
    sentences can be read as one stream.

    Args:
        vocabulary_size: Size V of the vocabulary.
        cell: A name of `seqkeras.models.cells.CELLS`, or a function `units -> cell`.
        embedding_dim: Size of the embeddings.
        units: Size H of every layer.
        layers: Depth L.
        dropout: Rate on the embeddings, between layers and before the softmax.
        tied_output: If True, W is the matrix of the embedding (Press & Wolf 2017,
            arXiv:1608.05859); then `embedding_dim` must be `units`.
        embedding: None, or a layer from tokens to vectors in place of a table, such as
            `SpelledEmbedding`; `embedding_dim` is not read then.
        head: The output layer: a name of `seqkeras.models.heads.HEADS`, or a function
            `vocabulary_size -> head`.
        head_options: `counts` and `samples` of `make_head`.

    Returns:
        A functional `keras.Model`, tokens `(B, T)` int32 to float32 logits `(B, T, V)` of the token
        after each. Every sequence starts with zero states: `carry_states` makes the model that
        carries them, `with_targets` the one that is trained.

    Raises:
        ValueError: for no layer, an unknown cell or head, or sizes or a head that do not fit a tied
            output.

    Example:

    >>> import numpy as np
    >>> model = language_model(50, embedding_dim=8, units=8)
    >>> model(np.array([[2, 7, 9]])).shape
    TensorShape([1, 3, 50])
    """
    if layers < 1:
        raise ValueError(f"layers: expected at least 1, got {layers}.")
    if tied_output and embedding is not None:
        raise ValueError("tied_output: expected embedding=None, whose table is the output matrix.")
    if tied_output and embedding_dim != units:
        raise ValueError(
            "tied_output: expected embedding_dim to be units, as the output matrix is the "
            f"embedding's; got {embedding_dim} and {units}."
        )

    # layers
    embedding = embedding or TokenEmbedding(vocabulary_size, embedding_dim)
    rnns = [
        RNN(make_cell(cell, units), return_sequences=True, name=f"rnn_{index}")
        for index in range(layers)
    ]
    tied_to = embedding if tied_output else None
    output = make_head(head, vocabulary_size, tied_to, **head_options)

    # functional model
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = embedding(tokens)
    for rnn in rnns:
        x = rnn(Dropout(dropout)(x))
    return keras.Model(tokens, output(Dropout(dropout)(x)), name="language_model")


def carry_states(model, streams):
    """Returns a language model with the very weights of one, which carries its states.

    Args:
        model: What `language_model` returned, or the same after loading.
        streams: int, the batch size of the new model.
    """

    def layer_of(layer):
        if not isinstance(layer, RNN):
            return layer
        return RNN(layer.cell, return_sequences=True, stateful=True, name=layer.name)

    tokens = keras.Input((None,), batch_size=streams, dtype="int32", name="tokens")
    return keras.models.clone_model(model, input_tensors=tokens, clone_function=layer_of)
