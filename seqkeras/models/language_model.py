"""Recurrent language models; notes A Fig. 14, notes B 3.1.

    p(w_1..w_T) = prod_t p(w_t | w_<t)
    h_t = L recurrent layers over D(E w_{t-1})         D: dropout
    p(w_t | w_<t) = softmax(W D(h_t) + b), or what another head makes of D(h_t), and of n-grams

Dropout is on what enters a layer and the softmax, never on the way through time: Zaremba et al.
2014 (arXiv:1409.2329), equation in section 3.1. Variational, it drops the same entries at all steps
of a sequence: Gal & Ghahramani 2016 (arXiv:1512.05287).
"""

import keras
from keras import ops

from seqkeras.blocks.carried_context import CarriedContext
from seqkeras.blocks.dropout import Dropout
from seqkeras.blocks.recent_tokens import RecentTokens
from seqkeras.blocks.token_embedding import TokenEmbedding
from seqkeras.cells.rnn import RNN
from seqkeras.constants import END, PAD, START
from seqkeras.heads.maximum_entropy import MaximumEntropyHead
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
    variational_dropout=False,
    ngrams=None,
    ngram_slots=None,
    counts=None,
    samples=1024,
):
    """Builds a recurrent language model.

    The first token of its input is END, the end of what stood before the text, so that a corpus of
    sentences can be read as one stream.

    Args:
        vocabulary_size: Size V of the vocabulary.
        cell: A name of `seqkeras.models.cells.CELLS`, or a function `units -> cell`.
        embedding_dim: Size of the embeddings.
        units: Size H of every layer; but see `tied_output`.
        layers: Depth L.
        dropout: Rate on the embeddings, between layers and before the softmax.
        tied_output: If True, W is the matrix of the embedding (Press & Wolf 2017,
            arXiv:1608.05859), and the last layer has its size (Merity et al. 2018,
            arXiv:1708.02182).
        embedding: None, or a layer from tokens to vectors in place of a table, such as
            `SpelledEmbedding`; `embedding_dim` is not read then.
        head: The output layer: a name of `seqkeras.models.heads.HEADS`, or a function
            `vocabulary_size -> head`.
        variational_dropout: If True, one mask for all steps of a sequence.
        ngrams: `seqkeras.counts.NGramCounts` of one stream in which END stands between texts, whose
            n-grams have weights in the softmax beside the hidden state, see `MaximumEntropyHead`;
            or None.
        ngram_slots: `slots` of the same.
        counts, samples: As for `make_head`.

    Returns:
        A functional `keras.Model`, tokens `(B, T)` int32 to float32 logits `(B, T, V)` of the token
        after each. Every sequence starts with zero states: `carry_states` makes the model that
        carries them, `with_targets` the one that is trained.

    Raises:
        ValueError: for no layer, an unknown cell or head, an embedding or a head that has no matrix
            to tie, n-grams beside another head than a softmax, of an order below 2 or of another
            vocabulary.

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
    if ngrams is not None:
        _check_ngrams(ngrams, vocabulary_size, head)

    # layers
    embedding = embedding or TokenEmbedding(vocabulary_size, embedding_dim)
    sizes = [units] * (layers - 1) + [embedding_dim if tied_output else units]
    rnns = [
        RNN(make_cell(cell, size), return_sequences=True, name=f"rnn_{index}")
        for index, size in enumerate(sizes)
    ]
    noise_shape = (None, 1, None) if variational_dropout else None
    tied_to = embedding if tied_output else None
    if ngrams is None:
        output = make_head(head, vocabulary_size, tied_to, counts, samples)
    else:
        output = MaximumEntropyHead.from_counts(
            ngrams, slots=ngram_slots, tied_to=tied_to, name="head"
        )

    # functional model
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = embedding(tokens)
    for rnn in rnns:
        x = rnn(Dropout(dropout, noise_shape)(x))
    x = Dropout(dropout, noise_shape)(x)
    options = {}
    if ngrams is not None:
        options["recent"] = RecentTokens(ngrams.order - 1, name="recent")(tokens)
    return keras.Model(tokens, output(x, **options), name="language_model")


def _check_ngrams(ngrams, vocabulary_size, head):
    """Raises ValueError for n-grams that cannot be part of the softmax."""
    if head != "softmax":
        got = repr(head) if isinstance(head, str) else "a function"
        raise ValueError(f"head: expected 'softmax' beside n-grams, got {got}.")
    if ngrams.order < 2 or ngrams.vocabulary_size != vocabulary_size:
        raise ValueError(
            f"ngrams: expected an order of at least 2 and {vocabulary_size} words, got the order "
            f"{ngrams.order} and {ngrams.vocabulary_size} words."
        )


def carry_states(model, streams):
    """Returns a language model with the very weights of one, which carries its states.

    Args:
        model: What `language_model` or `ngram_language_model` returned, or the same after loading.
        streams: int, the batch size of the new model.
    """

    def layer_of(layer):
        if _is_finite(layer):
            return CarriedContext(layer, layer.context_length, name=f"carried_{layer.name}")
        if not isinstance(layer, RNN):
            return layer
        return RNN(layer.cell, return_sequences=True, stateful=True, name=layer.name)

    tokens = keras.Input((None,), batch_size=streams, dtype="int32", name="tokens")
    return keras.models.clone_model(model, input_tensors=tokens, clone_function=layer_of)


class LanguageModelSteps:
    """A language model one token at a time: `step` of `seqkeras.decoding.protocol`.

    Args:
        model: What `language_model` or `ngram_language_model` returned, or the same after loading.

    Example:

    >>> import numpy as np
    >>> from seqkeras.decoding.greedy import greedy_search
    >>> steps = LanguageModelSteps(language_model(9, embedding_dim=4, units=4))
    >>> prompts, lengths = np.array([[5, 6], [7, 0]]), np.array([2, 1])
    >>> found = greedy_search(steps.step, steps.start(prompts, lengths), 2, max_length=5)
    >>> found.tokens.shape
    TensorShape([2, 5])
    """

    def __init__(self, model):
        self.layers = model.layers[1:]  # without the input

    def start(self, prompts, lengths):
        """Returns the state from which a text goes on, for B rows.

        Args:
            prompts: Integer tensor `(B, P)` of token ids, PAD behind the last.
            lengths: Integer tensor `(B,)`, tokens of each prompt; 0 for the start of a text.

        Returns:
            Dict of the states of every layer, and of the `last` token, which is still to be read.
        """
        prompts = ops.cast(prompts, "int32")
        lengths = ops.cast(lengths, "int32")
        before = ops.pad(prompts, [[0, 0], [1, 0]], constant_values=END)
        # The last of them, and what stands behind it, is masked: a step keeps the states then.
        steps = ops.expand_dims(ops.arange(ops.shape(before)[1]), 0)
        _, states = self._run(before, None, steps < ops.expand_dims(lengths, 1))
        last = ops.take_along_axis(before, ops.expand_dims(lengths, 1), axis=1)
        return {"states": states, "last": ops.squeeze(last, 1)}

    def step(self, tokens, state):
        """Tokens `(B,)` to `(logits (B, V), state)`; START stands for the prompt's last one."""
        tokens = ops.where(ops.equal(tokens, START), state["last"], tokens)
        logits, states = self._run(ops.expand_dims(tokens, 1), state["states"])
        return logits[:, 0], {"states": states, "last": state["last"]}

    def _run(self, x, states, mask=None):
        """Returns logits `(B, T, V)` of tokens `(B, T)`, and the states after them."""
        tokens, after, options = x, {}, {}
        *layers, output = self.layers
        for layer in layers:
            if _is_finite(layer):
                options["recent"], after[layer.name] = _continue_finite(layer, tokens, states, mask)
            elif isinstance(layer, RNN):
                x, after[layer.name] = _continue_recurrent(layer, x, states, mask)
            else:
                x = layer(x)
        if _is_finite(output):
            x, after[output.name] = _continue_finite(output, tokens, states, mask)
        else:
            x = output(x, training=False, **options)
        return x, after


def _is_finite(layer):
    """Returns whether a layer reads tokens, so many before the last at most."""
    return hasattr(layer, "context_length")


def _continue_recurrent(layer, x, states, mask):
    """Returns the outputs of an `RNN` for x `(B, T, D)`, and its states after them."""
    given = layer.get_initial_state(ops.shape(x)[0]) if states is None else states[layer.name]
    runner = RNN(layer.cell, return_sequences=True, return_state=True)
    runner.built = True
    x, *after = runner(x, initial_state=given, mask=mask)
    return x, after


def _continue_finite(layer, ids, states, mask):
    """Returns a finite layer's outputs for ids `(B, T)`, and the ids that the next depends on.

    `mask` `(B, T)` is True at the beginning of each row only; what follows is not read.
    """
    length = layer.context_length
    if states is None:
        before = ops.full((ops.shape(ids)[0], length), PAD, dtype="int32")
    else:
        before = states[layer.name]
    ids = ops.concatenate([before, ids], axis=1)
    read = ops.shape(ids)[1] - length
    if mask is not None:
        read = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)
    places = ops.expand_dims(ops.arange(length, dtype="int32"), 0) + read
    places = ops.broadcast_to(places, (ops.shape(ids)[0], length))
    return layer(ids)[:, length:], ops.take_along_axis(ids, places, axis=1)
