"""Many to one: a sequence in, one class out; notes A, "many-to-one", with (11)-(13) in the middle.

x_t -> embedded token, or (x_t - mu) / sigma with the statistics of the training set
y   =  last | mean | max over the real steps of L (bi)directional recurrent layers
p   =  softmax(W D(y) + b)                                   D: dropout
"""

import keras

from seqkeras.blocks.dropout import Dropout
from seqkeras.blocks.pooling import LengthMask, SequencePooling
from seqkeras.cells.bidirectional import Bidirectional
from seqkeras.cells.rnn import RNN
from seqkeras.models.cells import make_cell

POOLINGS = ("last", "mean", "max")


def sequence_classifier(
    classes,
    vocabulary_size=None,
    mean=None,
    variance=None,
    cell="lstm",
    embedding_dim=64,
    units=64,
    layers=1,
    bidirectional=True,
    pooling="last",
    dropout=0.2,
):
    """Builds a classifier of token sequences, or of time series.

    Args:
        classes: int, C.
        vocabulary_size: For tokens: size V of the vocabulary. None: time series.
        mean, variance: For time series: float arrays `(D,)`, each feature's statistics over the
            training set. They become part of the model, which takes raw values.
        cell: A name of `seqkeras.models.cells.CELLS`, or a function `units -> cell`.
        embedding_dim: For tokens: size of the embeddings. A time series needs none: the cell's own
            kernel is its projection.
        units: Size H of every cell and direction.
        layers: Depth L.
        bidirectional: If True, every layer runs in both directions.
        pooling: "last", the output at the last real step (backwards: at the first), or the "mean"
            or "max" over all real steps.
        dropout: Rate on what enters each layer but a time series itself, and before the softmax.

    Returns:
        A functional `keras.Model`, `{"sequence": (B, T) int32 or (B, T, D) float, "length": (B,)}`
        to float32 logits `(B, C)`.

    Raises:
        ValueError: for fewer than two classes, an unknown cell or pooling, no layer, or both or
            neither of the two kinds of input.

    Example:

    >>> import numpy as np
    >>> model = sequence_classifier(3, mean=np.zeros(2), variance=np.ones(2), units=4)
    >>> model({"sequence": np.zeros((5, 7, 2)), "length": np.full(5, 7)}).shape
    TensorShape([5, 3])
    """
    _check(classes, vocabulary_size, mean, variance, layers, pooling)
    tokens = vocabulary_size is not None

    # layers
    rnns = []
    for index in range(layers):
        whole = index < layers - 1 or pooling != "last"
        rnn = RNN(make_cell(cell, units), return_sequences=whole, name=f"rnn_{index}")
        rnns.append(Bidirectional(rnn, name=f"bidirectional_{index}") if bidirectional else rnn)
    if tokens:
        features = keras.layers.Embedding(vocabulary_size, embedding_dim, name="embedding")
    else:
        features = keras.layers.Normalization(mean=mean, variance=variance, name="normalization")

    # functional model
    shape, dtype = ((None,), "int32") if tokens else ((None, len(mean)), "float32")
    sequence = keras.Input(shape, dtype=dtype, name="sequence")
    length = keras.Input((), dtype="int32", name="length")
    mask = LengthMask(name="mask")(sequence, length)
    x = features(sequence)
    for index, rnn in enumerate(rnns):
        if index or tokens:
            x = Dropout(dropout)(x)
        x = rnn(x, mask=mask)
    if pooling != "last":
        x = SequencePooling(pooling, name="pooling")(x, mask=mask)
    x = Dropout(dropout)(x)
    logits = keras.layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model({"sequence": sequence, "length": length}, logits, name="classifier")


def _check(classes, vocabulary_size, mean, variance, layers, pooling):
    if classes < 2:
        raise ValueError(f"classes: expected at least 2, got {classes}.")
    if layers < 1:
        raise ValueError(f"layers: expected at least 1, got {layers}.")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling: expected one of {POOLINGS}, got {pooling!r}.")
    if (mean is None) != (variance is None) or (vocabulary_size is None) == (mean is None):
        raise ValueError(
            "expected either vocabulary_size (token sequences) or mean and variance (time series), "
            f"got vocabulary_size={vocabulary_size}, mean={mean}, variance={variance}."
        )
