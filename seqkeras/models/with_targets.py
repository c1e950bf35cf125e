"""The model that is trained: targets go in, the loss of each comes out.

A model that ends in a `VocabularyHead` gives logits of the whole vocabulary. Training does not need
them: a head that is told the targets can do with a sample, a path, a cluster.
"""

import keras

from seqkeras.blocks.token_embedding import TokenEmbedding
from seqkeras.heads.base import VocabularyHead
from seqkeras.heads.softmax import SoftmaxHead


def with_targets(model, label_smoothing=0.0):
    """Returns a model with the very layers of one, from inputs and targets to losses.

    Args:
        model: Functional `keras.Model` whose output is that of a `VocabularyHead`, or of a
            `TokenEmbedding` in reverse.
        label_smoothing: float in [0, 1), for training; a full softmax alone can smooth.

    Returns:
        `keras.Model` with one input more, `targets` `(B, T)` int32, PAD where nothing counts: the
        last of a list, or, where the inputs are a dict, by that name. Its outputs are losses
        `(B, T)` in nats: the head's objective in training, -log p otherwise. `TokenCrossentropy`,
        `TokenLoss` and `Perplexity` take them as they take logits.

    Raises:
        ValueError: if the model ends in another layer.

    Example:

    >>> import numpy as np
    >>> from seqkeras.models import language_model
    >>> model = language_model(50, head="adaptive", embedding_dim=8, units=8)
    >>> tokens, targets = np.array([[2, 7, 9]]), np.array([[7, 9, 2]])
    >>> model(tokens).shape, with_targets(model)([tokens, targets]).shape
    (TensorShape([1, 3, 50]), TensorShape([1, 3]))
    """
    head, hidden, options = output_layer(model)
    if isinstance(head, TokenEmbedding):
        options = {}
        head = SoftmaxHead(head.vocabulary_size, tied_to=head, use_bias=head.use_bias, name="head")
    if not isinstance(head, VocabularyHead):
        raise ValueError(
            f"expected a model whose last layer is a VocabularyHead, such as SoftmaxHead; that of "
            f"{model.name!r} is {type(head).__name__}."
        )
    targets = keras.Input(hidden.shape[1:-1], hidden.shape[0], dtype="int32", name="targets")
    losses = head(hidden, **{**options, "targets": targets, "label_smoothing": label_smoothing})
    if isinstance(model.input, dict):
        inputs = {**model.input, "targets": targets}
    else:
        inputs = [*model.inputs, targets]
    return keras.Model(inputs, losses, name=f"{model.name}_with_targets")


def output_layer(model):
    """Returns `(layer, inputs, options)`: a functional model's last layer and how it is called.

    Args:
        model: Functional `keras.Model` of one output.

    Returns:
        The layer; the `KerasTensor` that it reads; a dict of the other arguments of its call.
    """
    layer, node, _ = model.output._keras_history
    arguments = layer._inbound_nodes[node].arguments
    options = dict(arguments.kwargs)
    inputs = arguments.args[0] if arguments.args else options.pop("inputs")
    return layer, inputs, options
