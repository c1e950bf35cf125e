"""The full softmax over the vocabulary.

    logits = W tanh(R h + r) + b;   p(w | h) = softmax(logits)_w

The readout R is optional; it puts a bottleneck between a wide output ([h; v] of an attention cell)
and the vocabulary, whose matmul is the dearest of the model. W may be the matrix of an embedding,
Press & Wolf 2017 (arXiv:1608.05859): then both have one matrix, and it gets one gradient.
"""

import keras

from seqkeras.blocks.dropout import Dropout
from seqkeras.blocks.token_embedding import TokenEmbedding
from seqkeras.heads.base import VocabularyHead
from seqkeras.ops.linear_crossentropy import linear_crossentropy, vocabulary_logits
from seqkeras.ops.selected_rows import on_selected_rows


@keras.saving.register_keras_serializable(package="seqkeras")
class SoftmaxHead(VocabularyHead):
    """Turns hidden states into logits over the vocabulary, or into the losses of targets.

    Args:
        vocabulary_size: int > 0. V.
        readout_units: Size of the tanh layer before the logits, or None for none.
        dropout: Rate in [0, 1) on what enters the last matmul.
        tied_to: A `TokenEmbedding` or `keras.layers.Embedding` of V tokens, whose matrix is W, or
            None. What enters the last matmul must have the size of its vectors.
        use_bias: If True, there is a bias b: that of the embedding if it has one, else the head's.
        seed: int or None, of the dropout.

    Call arguments and returns: as in `VocabularyHead`; logits are float32 also under mixed
        precision.

    Saving a tied head: a `.keras` file keeps the tie if head and embedding are layers of the same
        functional model or of the same layer, the embedding first. Other ways of copying
        (`clone_model`, `from_config`) would untie them without a word, so `from_config` raises.
        A layer that owns both puts its embedding in: `config["head"]["config"]["tied_to"] =
        embedding`, before it makes its head; and a functional model can call a `TokenEmbedding`
        in reverse instead of having a head, which survives everything.

    Raises:
        ValueError: if V is not positive, or the embedding has another V or size; in `from_config`
            if the embedding is not there.

    Example:

    >>> import numpy as np
    >>> embedding = TokenEmbedding(10, 4)
    >>> head = SoftmaxHead(10, tied_to=embedding)
    >>> head(np.ones((2, 3, 4))).shape, len(head.weights)
    (TensorShape([2, 3, 10]), 2)
    """

    smooths = True

    def __init__(
        self,
        vocabulary_size,
        readout_units=None,
        dropout=0.0,
        tied_to=None,
        use_bias=True,
        seed=None,
        **kwargs,
    ):
        super().__init__(vocabulary_size, **kwargs)
        if tied_to is not None and not isinstance(tied_to, TokenEmbedding | keras.layers.Embedding):
            raise ValueError(f"tied_to: expected an embedding layer or None, got {tied_to!r}.")
        self.readout_units = readout_units
        self.tied_to = tied_to
        self.use_bias = use_bias
        self.seed = seed
        self.readout = (
            keras.layers.Dense(readout_units, "tanh", dtype=self.dtype_policy, name="readout")
            if readout_units
            else None
        )
        self.dropout = Dropout(dropout, seed=seed, dtype=self.dtype_policy)

    def build(self, inputs_shape, targets_shape=None):
        del targets_shape
        dim = self._build_readout(inputs_shape)
        if self.tied_to is None:
            self.own_table = self.add_weight(
                (self.vocabulary_size, dim), "glorot_uniform", name="table"
            )
        elif not self.tied_to.built:
            self.tied_to.build(None)
        table, expected = self.table.shape, (self.vocabulary_size, dim)
        if tuple(table) != expected:
            raise ValueError(
                f"{self.name}: expected a tied embedding of shape {expected}, got {tuple(table)}. "
                "Make the vocabularies equal; readout_units can bring h to the size of the vectors."
            )
        self.bias = getattr(self.tied_to, "bias", None) if self.use_bias else None
        if self.use_bias and self.bias is None:
            shape = (self.vocabulary_size,)
            self.bias = self.add_weight(shape, self._bias_initializer(), name="bias")

    def _build_readout(self, inputs_shape):
        """Builds the readout; returns the size of what enters the last matmul."""
        if self.readout is not None:
            self.readout.build(inputs_shape)
        return self.readout_units or inputs_shape[-1]

    @property
    def table(self):
        """The matrix W `(V, D)`."""
        return self.own_table if self.tied_to is None else self.tied_to.embeddings

    def _bias_initializer(self):
        return "zeros"

    def _hidden(self, inputs, training):
        hidden = inputs if self.readout is None else self.readout(inputs)
        return self.dropout(hidden, training=training)

    def _logits(self, hidden):
        return vocabulary_logits(hidden, self.table, self.bias)

    def _objective(self, rows, labels, real, smoothing):
        def losses(rows, labels):
            return linear_crossentropy(rows, self.table, self.bias, labels, smoothing)

        return on_selected_rows(losses, real, rows, labels)

    def get_config(self):
        config = {
            "readout_units": self.readout_units,
            "dropout": self.dropout.rate,
            "use_bias": self.use_bias,
            "tied_to": keras.saving.serialize_keras_object(self.tied_to),
            "seed": self.seed,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config.get("tied_to"), dict):
            config["tied_to"] = _shared_embedding(config["tied_to"])
        return cls(**config)


def _shared_embedding(config):
    """Returns the embedding that was already made from this config; raises if there is none."""
    # Keras gives an object that it knows back as it is, and makes another one out of the config:
    # its name shows which.
    name, fresh = config["config"]["name"], "not the shared one"
    embedding = keras.saving.deserialize_keras_object(
        {**config, "config": {**config["config"], "name": fresh}}
    )
    if embedding.name == fresh:
        raise ValueError(
            f"SoftmaxHead: expected to find the embedding {name!r} to which the head is tied, got "
            "its config only, so the two would come apart. Load the model from a .keras file in "
            "which the embedding stands before the head; or, in a layer that owns both, set "
            "config['tied_to'] to the embedding; or call the embedding in reverse, without a head."
        )
    return embedding
