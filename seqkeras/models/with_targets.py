"""The model that is trained: targets go in, the loss of each comes out.

A model that ends in a `VocabularyHead` gives logits of the whole vocabulary. Training does not need
them: a head that is told the targets can do with a sample, a path, a cluster.
"""

import keras

from seqkeras.heads.base import VocabularyHead


def with_targets(model):
    """Returns a model with the very layers of one, from inputs and targets to losses.

    Args:
        model: Functional `keras.Model` whose output is that of a `VocabularyHead`.

    Returns:
        `keras.Model` with one input more, `targets` `(B, T)` int32, PAD where nothing counts. Its
        output are losses `(B, T)` in nats: the head's objective in training, -log p otherwise.
        `TokenCrossentropy`, `TokenLoss` and `Perplexity` take them for logits' losses.

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
    head, node, _ = model.output._keras_history
    if not isinstance(head, VocabularyHead):
        raise ValueError(
            f"expected a model whose last layer is a VocabularyHead, such as SoftmaxHead; that of "
            f"{model.name!r} is {type(head).__name__}. Build it with an untied head, or with "
            "`SoftmaxHead(tied_to=embedding)` for a tied one."
        )
    (hidden,) = head._inbound_nodes[node].input_tensors
    targets = keras.Input(hidden.shape[1:-1], hidden.shape[0], dtype="int32", name="targets")
    losses = head(hidden, targets=targets)
    return keras.Model([*model.inputs, targets], losses, name=f"{model.name}_with_targets")
