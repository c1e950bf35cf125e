"""Words predicted one character at a time, Jozefowicz et al. 2016 (arXiv:1602.02410), section 3.3.

    a_j = LSTM([E c_{j-1}; h], a_{j-1})               c_0: where a word begins
    p(c_j | c_<j, h) = softmax(U a_j + d)
    q(w | h) = prod_j p(c_j | c_<j, h)                up to where the word ends
    p(w | h) = q(w | h) / sum over the vocabulary of q

q also goes to strings that are no words, so its sum over the vocabulary is at most 1: without the
last line it would not compare with models of words.
"""

import keras
from keras import ops

from seqkeras.blocks.spelled_embedding import check_spellings
from seqkeras.cells.lstm import LSTMCell
from seqkeras.cells.rnn import RNN
from seqkeras.constants import PAD
from seqkeras.heads.base import VocabularyHead
from seqkeras.heads.tries import trie
from seqkeras.ops.crossentropy import masked_crossentropy


@keras.saving.register_keras_serializable(package="seqkeras")
class CharacterLSTMHead(VocabularyHead):
    """Spells words out: its size does not depend on V, and training does not look at it.

    Trains on -log q of the targets. The distribution over the vocabulary takes a step of the LSTM
    for each beginning that words have, for each row: for large vocabularies it is slow.

    Args:
        vocabulary_size: int > 0. V.
        spellings: Integers `(V, L)`, made by `seqkeras.data.spell`. Words of one spelling share
            one probability, and each has all of it.
        characters: int, how many different ones there are, PAD among them.
        dim: Size of a character's vector.
        units: Size of the LSTM.

    Call arguments and returns: as in `VocabularyHead`; the logits are log q, in nats.

    Raises:
        ValueError: if there are not V spellings, or words without begin and end.

    Example:

    >>> import numpy as np
    >>> from seqkeras.data import spell
    >>> spellings, alphabet = spell(["cat", "car", "a"])
    >>> head = CharacterLSTMHead(3, spellings, len(alphabet) + 4, dim=4, units=8)
    >>> head(np.ones((2, 5, 6))).shape
    TensorShape([2, 5, 3])
    """

    def __init__(self, vocabulary_size, spellings, characters, dim=16, units=128, **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        self.spellings = check_spellings(spellings, vocabulary_size)
        self.characters = characters
        self.dim = dim
        self.units = units
        self.trie = trie(self.spellings)
        self.rnn = RNN(
            LSTMCell(units, dtype=self.dtype_policy),
            return_sequences=True,
            dtype=self.dtype_policy,
            name="rnn",
        )
        self.output_layer = keras.layers.Dense(characters, dtype=self.dtype_policy, name="output")

    def build(self, inputs_shape, targets_shape=None):
        del targets_shape
        shape = (self.characters, self.dim)
        self.embeddings = self.add_weight(shape, "uniform", name="embeddings")
        self.rnn.build((None, None, self.dim + inputs_shape[-1]))
        self.output_layer.build((None, self.units))

    def _inputs(self, characters, rows):
        """Returns `[E c; h]` of characters `(M, J)` and rows `(M, H)`, `(M, J, D + H)`."""
        vectors = ops.cast(ops.take(self.embeddings, characters, axis=0), rows.dtype)
        shape = (*ops.shape(characters), rows.shape[-1])
        return ops.concatenate([vectors, ops.broadcast_to(rows[:, None], shape)], axis=-1)

    def _objective(self, rows, labels, real, smoothing):
        del real, smoothing
        spelled = ops.take(ops.convert_to_tensor(self.spellings), labels, axis=0)  # (N, L)
        states = self.rnn(self._inputs(spelled[:, :-1], rows))
        targets = spelled[:, 1:]
        losses = masked_crossentropy(targets, self.output_layer(states), targets != PAD)
        return ops.sum(losses, axis=-1)

    def _logits(self, hidden):
        rows = ops.reshape(hidden, (-1, hidden.shape[-1]))
        n = ops.shape(rows)[0]
        begin = ops.full((n, 1), int(self.spellings[0, 0]), "int32")
        start = self.rnn.get_initial_state(n)
        log_p, states = self._step(begin, rows, start)  # (N, 1, C)
        reached, found = ops.zeros((n, 1), "float32"), []
        for level in self.trie.levels:
            flat = ops.reshape(log_p, (n, log_p.shape[1] * self.characters))
            gained = ops.take(flat, level.parent * self.characters + level.character, axis=1)
            reached = ops.take(reached, level.parent, axis=1) + gained  # (N, M)
            found.append(ops.take(reached, level.leaves, axis=1))
            if not len(level.inner):  # the last level
                break
            reached = ops.take(reached, level.inner, axis=1)
            parents = level.parent[level.inner]
            states = [ops.take(s, parents, axis=1) for s in states]
            characters = ops.broadcast_to(level.character[level.inner], (n, len(level.inner)))
            log_p, states = self._step(characters, rows, states)
        log_q = ops.take(ops.concatenate(found, axis=1), self.trie.place, axis=1)
        return ops.reshape(log_q, (*ops.shape(hidden)[:-1], self.vocabulary_size))

    def _step(self, characters, rows, states):
        """Goes one character on from M nodes: `(N, M)`, `(N, H)`, states `(N, M, U)` or `(N, U)`.

        Returns:
            Log-probabilities of the next character, float32 `(N, M, C)`, and the states after it.
        """
        m = characters.shape[1]
        x = self._inputs(characters, rows)
        flat = [ops.reshape(s, (-1, self.units)) for s in states]
        output, after = self.rnn.cell(ops.reshape(x, (-1, x.shape[-1])), flat)
        log_p = ops.log_softmax(ops.cast(self.output_layer(output), "float32"))
        n = ops.shape(rows)[0]
        after = [ops.reshape(s, (n, m, self.units)) for s in after]
        return ops.reshape(log_p, (n, m, self.characters)), after

    def get_config(self):
        config = {
            "spellings": self.spellings.tolist(),
            "characters": self.characters,
            "dim": self.dim,
            "units": self.units,
        }
        return {**super().get_config(), **config}
