"""The neural rows of the table of the One Billion Word benchmark; notes A Fig. 14.

Jozefowicz et al. 2016 (arXiv:1602.02410), table 1.

Every row is a builder and a number of parameters that is worked out, not allocated: with n units,
p outputs of the projection (p = n without one) and m inputs a layer of LSTMs has

    4 ((m + p) n + n) + n p        the last term only with a projection

To the printed digits seven of the eleven rows agree. Of the others, LSTM-2048-512 has 0.823 billion
(0.83 printed), the correction brings its row to 0.396 (0.39, cut off instead of rounded), and both
LSTM-8192-2048 have 3.40 (3.3: their words alone, going in and coming out, are 3.25). The filters
that read characters are not in the paper, nor is the size of the LSTM that writes them; these
widths are usual, and weigh 0.0005, and that size fits.
"""

from typing import NamedTuple

from seqkeras.blocks.character_cnn import CharacterCNN
from seqkeras.blocks.spelled_embedding import SpelledEmbedding
from seqkeras.cells.lstm import LSTMCell
from seqkeras.cells.lstmp import ProjectedLSTMCell
from seqkeras.cells.simple_rnn import SimpleRNNCell
from seqkeras.heads.character_lstm import CharacterLSTMHead
from seqkeras.heads.spelled_softmax import SpelledSoftmaxHead
from seqkeras.models.language_model import language_model

WORDS = 793_471  # of the benchmark
CHARACTERS = 256
SAMPLES = 8192


class Spelling(NamedTuple):
    """The sizes of a `CharacterCNN`."""

    dim: int = 16
    filters: tuple = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024), (8, 2048))
    highways: int = 2

    def parameters(self, output_dim, characters=CHARACTERS):
        """Returns how many parameters the network has."""
        units = sum(number for _, number in self.filters)
        convolutions = sum(width * self.dim * number + number for width, number in self.filters)
        highways = self.highways * 2 * units * (units + 1)
        return characters * self.dim + convolutions + highways + units * output_dim

    def network(self, output_dim, characters=CHARACTERS):
        """Returns the layer."""
        return CharacterCNN(characters, self.dim, dict(self.filters), self.highways, output_dim)


class Row(NamedTuple):
    """A model of the table.

    Attributes:
        perplexity: On the benchmark's test set, as printed.
        billions: Of parameters, as printed.
        units: n, of each layer.
        projection: p, or None for layers without one.
        layers: How many.
        cell: "lstm", or "sigmoid_rnn".
        dropout: Rate between layers.
        inputs: None for a table of words, or the sizes of the network that reads characters.
        outputs: The same for the softmax.
        correction: Size of the correction of an output of characters, or None.
        character_lstm: Units of an LSTM that spells the words out, or None.
        words: V.
        head: How the softmax is trained: a name of `seqkeras.models.heads.HEADS`.
    """

    perplexity: float
    billions: float
    units: int
    projection: int | None = None
    layers: int = 1
    cell: str = "lstm"
    dropout: float = 0.0
    inputs: Spelling | None = None
    outputs: Spelling | None = None
    correction: int | None = None
    character_lstm: int | None = None
    words: int = WORDS
    head: str = "importance"

    @property
    def outgoing(self):
        """The size of what a layer puts out, which is also that of the vectors of words."""
        return self.projection or self.units

    def parameters(self, characters=CHARACTERS):
        """Returns the number of parameters of what `build` builds for `words` words."""
        p, n = self.outgoing, self.units
        if self.cell == "sigmoid_rnn":
            layer = n * (p + n + 1)
        else:
            layer = 4 * ((p + p) * n + n) + (n * p if self.projection else 0)
        into = self.inputs.parameters(p, characters) if self.inputs else self.words * p
        if self.character_lstm:
            dim, u = self.inputs.dim, self.character_lstm
            out = characters * dim + 4 * u * (dim + p + u + 1) + (u + 1) * characters
            return into + self.layers * layer + out
        if not self.outputs:
            return into + self.layers * layer + self.words * (p + 1)
        out = self.outputs.parameters(p, characters)
        corrections = self.correction * (self.words + p) if self.correction else 0
        return into + self.layers * layer + out + corrections

    def build(self, spellings=None, characters=CHARACTERS, samples=SAMPLES, counts=None):
        """Returns the model for `words` words, tokens to logits: see `language_model`.

        Args:
            spellings: Integers `(V, L)`, where words are known by their characters.
            characters: int, how many different ones there are.
            samples: int, words that are drawn for each batch in training.
            counts: V counts of words, by which they are drawn; None: Zipf's law.
        """
        p = self.outgoing
        if (self.inputs or self.outputs) and spellings is None:
            raise ValueError("spellings: expected those of all words, as `data.spell` makes them.")
        embedding, head = None, self.head
        if self.inputs:
            embedding = SpelledEmbedding(spellings, self.inputs.network(p, characters))
        if self.outputs:
            network = self.outputs.network(p, characters)

            def head(words):
                return SpelledSoftmaxHead(
                    words,
                    spellings,
                    network,
                    self.correction,
                    counts=counts,
                    samples=samples,
                    name="head",
                )

        if self.character_lstm:

            def head(words):
                sizes = (self.inputs.dim, self.character_lstm)
                return CharacterLSTMHead(words, spellings, characters, *sizes, name="head")

        return language_model(
            self.words,
            cell=self._cell,
            embedding_dim=p,
            units=self.units,
            layers=self.layers,
            dropout=self.dropout,
            embedding=embedding,
            head=head,
            samples=samples,
            counts=counts,
        )

    def _cell(self, units):
        if self.cell == "sigmoid_rnn":
            return SimpleRNNCell(units, activation="sigmoid")
        return ProjectedLSTMCell(units, self.projection) if self.projection else LSTMCell(units)


_BIG = {"units": 8192, "projection": 1024, "layers": 2, "dropout": 0.25}
_CNN = Spelling()

ROWS = {
    # BlackOut's own vocabulary has a million words: Ji et al. 2015.
    "Sigmoid-RNN-2048": Row(68.3, 4.1, 2048, cell="sigmoid_rnn", words=1_000_000, head="blackout"),
    "LSTM-512-512": Row(54.1, 0.82, 512, 512),
    "LSTM-1024-512": Row(48.2, 0.82, 1024, 512),
    "LSTM-2048-512": Row(43.7, 0.83, 2048, 512),
    "LSTM-8192-2048, no dropout": Row(37.9, 3.3, 8192, 2048),
    "LSTM-8192-2048, 50 % dropout": Row(32.2, 3.3, 8192, 2048, dropout=0.5),
    "2-layer LSTM-8192-1024 (BIG LSTM)": Row(30.6, 1.8, **_BIG),
    "BIG LSTM + CNN inputs": Row(30.0, 1.04, **_BIG, inputs=_CNN),
    "BIG LSTM + CNN inputs + CNN softmax": Row(39.8, 0.29, **_BIG, inputs=_CNN, outputs=_CNN),
    "BIG LSTM + CNN inputs + CNN softmax + 128-d correction": Row(
        35.8, 0.39, **_BIG, inputs=_CNN, outputs=_CNN, correction=128
    ),
    "BIG LSTM + CNN inputs + char LSTM predictions": Row(
        47.9, 0.23, **_BIG, inputs=_CNN, character_lstm=1024
    ),
}
