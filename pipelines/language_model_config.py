"""The settings of the language-model pipeline: the only home of each default, and the presets."""

import dataclasses
from typing import Literal

from seqkeras.models.billion_words import ROWS
from seqkeras.models.cells import CELLS
from seqkeras.models.heads import HEADS

CellName = Literal[tuple(CELLS)]
HeadName = Literal[(*HEADS, "characters", "character_lstm")]
RowName = Literal[tuple(ROWS)]


@dataclasses.dataclass(frozen=True)
class Data:
    """What is read, and how it becomes a stream of tokens."""

    path: str = "builtin"
    """"builtin" (a generated log), a folder with SPLIT.txt, one sentence or line of text in each
    line, or tfds:NAME (a set with a feature `text`)."""
    train: str = "train"
    """Name of the training split."""
    validation: str = "validation"
    """Name of the split by which everything is chosen."""
    tests: tuple[str, ...] = ("test",)
    """Names of the splits that only `evaluate` reads."""
    tokenizer: Literal["characters", "words", "whitespace", "subwords"] = "words"
    """What a token is; trained on the training split, part of the export. "whitespace" takes the
    tokens of a prepared corpus as they stand."""
    vocabulary_size: int = 8000
    """Most tokens of the vocabulary."""
    lowercase: bool = False
    """Lower-case it all."""
    streams: int = 20
    """The corpus is cut into so many streams, which are read side by side: rows of a batch."""
    segment_length: int = 35
    """Tokens of each stream in a batch."""
    carried_states: bool = True
    """States go on from batch to batch, gradients do not. False: every segment stands for itself,
    and training begins it with zero states; `evaluate` reads on in any case."""


@dataclasses.dataclass(frozen=True)
class Characters:
    """The network that reads how a word is spelled; see `seqkeras.layers.CharacterCNN`."""

    dim: int = 15
    """Size of a character's vector."""
    widths: int = 6
    """Filters are 1 to so many characters wide."""
    filters: int = 25
    """How many filters of width 1; of width w there are w times as many."""
    highways: int = 1
    """Highway layers on top."""
    max_length: int = 30
    """Most characters of a word, its begin and end among them."""


@dataclasses.dataclass(frozen=True)
class Model:
    """What is trained; see `seqkeras.models.language_model`."""

    row: RowName | None = None
    """A row of the One Billion Word table, at its sizes, see `seqkeras.models.billion_words`. Of
    all below only `samples` is read then, and the most characters of a word."""
    cell: CellName = "lstm"
    embedding_dim: int = 128
    units: int = 128
    """Size of every layer; of a tied output the last has the embedding's."""
    layers: int = 1
    dropout: float = 0.1
    """Rate on embeddings, between layers and before the softmax."""
    variational_dropout: bool = False
    """The same entries are dropped at all steps of a segment."""
    inputs: Literal["words", "characters"] = "words"
    """A table of vectors, or vectors made of each word's characters, whose size is the number of
    filters; `embedding_dim` is not read then."""
    characters: Characters = Characters()
    tied_output: bool = False
    """One matrix for embeddings and output."""
    head: HeadName = "softmax"
    """The output layer. importance, nce, negative and blackout train on samples of the vocabulary,
    balanced and huffman on the way down a tree, adaptive on short vectors for rare words,
    characters on samples whose vectors are made of characters; character_lstm spells words out, and
    is slow to evaluate. Each is evaluated exactly; the training loss of a sampled one is no
    log-probability, that of character_lstm is one among all strings."""
    ngrams: int | None = None
    """Order of the n-grams of the training split that have weights in a softmax, too, beside the
    last layer's: a maximum-entropy model trained together with the network."""
    ngram_slots: int | None = None
    """They share so many weights, by a hash; None: each has its own."""
    samples: int = 1024
    """Words that a sampled output layer draws for a batch."""
    correction_dim: int | None = 128
    """Size of what tells words of near spellings apart in an output of characters."""


@dataclasses.dataclass(frozen=True)
class Training:
    """How it is trained; the loss is the mean over the tokens of a batch."""

    epochs: int = 8
    optimizer: Literal["sgd", "adagrad", "adam"] = "adam"
    learning_rate: float = 3e-3
    """Of the first epochs. For sgd mind that the loss is a mean: where a recipe sums over the steps
    of a segment, this rate is theirs times the segment's length, and `clip_norm` theirs divided by
    it."""
    hold_epochs: int = 4
    """Epochs after which the learning rate begins to fall, each by `decay`."""
    decay: float = 0.5
    clip_norm: float = 1.0
    """Largest global norm of the gradient."""
    uniform_weights: float | None = None
    """Start all weights and biases uniform in plus or minus this; None: as each layer does."""
    checkpoint_steps: int = 500
    """Steps between two checkpoints: the most that a kill can lose."""
    log_steps: int = 50
    """Steps between two points of the TensorBoard curves."""
    deterministic: bool = False
    """Bit-identical results for the same seed, also over --resume."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what a run does."""

    run: str = "runs/log"
    """Folder of the run."""
    resume: bool = False
    """Go on from the last checkpoint of the run."""
    init_from: str | None = None
    """Folder of another run, whose tokenizer and weights this one starts from."""
    seed: int = 1
    data: Data = Data()
    model: Model = Model()
    training: Training = Training()


_BUILTIN = Config()

_PTB = Data(
    path="ptb",
    train="ptb.train",
    validation="ptb.valid",
    tests=("ptb.test",),
    tokenizer="whitespace",
    vocabulary_size=20_000,
    segment_length=20,
)

_KIM = Config(
    data=dataclasses.replace(_PTB, segment_length=35),
    training=Training(
        epochs=25,
        optimizer="sgd",
        learning_rate=35.0,
        hold_epochs=14,
        decay=0.5,
        clip_norm=5.0 / 35.0,
    ),
)

PRESETS = {
    "builtin": _BUILTIN,
    # Kim et al. 2016 (arXiv:1508.06615), table 2: the small model of characters, and that of words
    # of as many parameters. There the rate falls when validation says so, here after 14 epochs.
    "ptb-characters": dataclasses.replace(
        _KIM,
        run="runs/ptb-characters",
        model=Model(units=300, layers=2, dropout=0.5, inputs="characters"),
    ),
    "ptb-words": dataclasses.replace(
        _KIM,
        run="runs/ptb-words",
        model=Model(embedding_dim=200, units=200, layers=2, dropout=0.5),
    ),
    # Zaremba et al. 2014 (arXiv:1409.2329), the non-regularised LSTM: rate 1, halved in each epoch
    # after the fourth, norm clipped at 5, for losses summed over 20 steps.
    "ptb-small": Config(
        run="runs/ptb-small",
        data=_PTB,
        model=Model(embedding_dim=200, units=200, layers=2, dropout=0.0),
        training=Training(
            epochs=13,
            optimizer="sgd",
            learning_rate=20.0,
            clip_norm=0.25,
            uniform_weights=0.1,
        ),
    ),
    # Jozefowicz et al. 2016 (arXiv:1602.02410), the third LSTM of table 1.
    "lm1b": Config(
        run="runs/lm1b",
        data=Data(
            path="tfds:lm1b",
            train="train[10000:]",
            validation="train[:10000]",
            tests=("test",),
            tokenizer="whitespace",
            vocabulary_size=793_471,
            streams=128,
            segment_length=20,
        ),
        model=Model(row="LSTM-2048-512", samples=8192),
        training=Training(
            epochs=5, optimizer="adagrad", learning_rate=0.2, hold_epochs=5, log_steps=100
        ),
    ),
    # One matrix for words that go in and come out, as Press & Wolf 2017 (arXiv:1608.05859), and the
    # sizes and rates that 5 million parameters and two hours on two cores allow.
    "ptb-tied": Config(
        run="runs/ptb-tied",
        data=dataclasses.replace(_PTB, segment_length=35),
        model=Model(
            embedding_dim=256,
            units=480,
            layers=2,
            dropout=0.35,
            variational_dropout=True,
            tied_output=True,
        ),
        training=Training(
            epochs=36,
            optimizer="sgd",
            learning_rate=20.0,
            hold_epochs=14,
            decay=0.85,
            clip_norm=0.25,
            uniform_weights=0.08,
        ),
    ),
    "smoke": dataclasses.replace(
        _BUILTIN,
        run="runs/smoke_language_model",
        data=Data(vocabulary_size=60, segment_length=20, streams=100),
        model=Model(embedding_dim=8, units=8, cell="gru", layers=2),
        training=Training(epochs=2, learning_rate=1e-2, log_steps=20, checkpoint_steps=50),
    ),
}
