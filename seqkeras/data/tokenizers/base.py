"""What all tokenizers share: strings `(B,)` to ragged ids `(B, None)` and back, and one JSON file.

A tokenizer is a `tf.Module` of core TensorFlow ops (lookup tables, regular expressions, ragged
tensors): no custom op and no Python at run time, so a SavedModel that holds one loads in any
TensorFlow runtime. Ids `PAD`, `START`, `END`, `UNK` are the first four of every vocabulary and
never come out of text, whatever the text says, but for `UNK`.
"""

import json
import pathlib
from collections import Counter

import tensorflow as tf

from seqkeras.constants import END, PAD, SPECIAL_TOKENS, START, UNK
from seqkeras.data.tokenizers.normalization import WHITESPACE, normalize, normalize_in_batches

UNKNOWN_SURFACE = "\u2047"  # ⁇, what an unknown token reads as in decoded text
_FORMAT = "seqkeras.tokenizer"


class Tokenizer(tf.Module):
    """Base of the tokenizers: text in, ids out, and back, inside or outside a graph.

    A subclass sets `kind`, and has `_tokenize(texts)`, which turns normalised texts into ids, and
    `_join(pieces)`, which turns pieces into texts. One that learns more than a list of the most
    frequent tokens has a `train(texts, vocabulary_size, **options)` of its own; for the others it
    is enough to have `_split(texts)`, which turns normalised texts into ragged tokens.

    Args:
        vocabulary: list of str. Token of every id, the four `SPECIAL_TOKENS` first.
        lowercase: bool. Whether text is lowered before anything else.

    Raises:
        ValueError: if the vocabulary does not begin with the special tokens, has nothing else, or
            has a token twice.
    """

    kind = None
    whitespace = WHITESPACE

    def __init__(self, vocabulary, lowercase=False):
        super().__init__()
        _check_vocabulary(vocabulary)
        self.lowercase = lowercase
        self._vocabulary = tuple(vocabulary)
        self._labels = tf.constant([self._label(token) for token in vocabulary])
        surfaces = [self._surface(token) for token in vocabulary]
        surfaces[UNK] = UNKNOWN_SURFACE
        self._surfaces = tf.constant(surfaces)

    @classmethod
    def train(cls, texts, vocabulary_size, lowercase=False):
        """Returns a tokenizer whose vocabulary is the most frequent tokens of the texts.

        Args:
            texts: Iterable of str, which is read once, some lines at a time.
            vocabulary_size: int. Largest size, the four special tokens included.
            lowercase: bool. Whether text is lowered first.

        Raises:
            ValueError: if there is nothing to train on, or no place but for the special tokens.
        """
        counts = Counter()
        for lines in normalize_in_batches(texts, lowercase, cls.whitespace):
            tokens, _, numbers = tf.unique_with_counts(cls._split(lines).values)
            for token, number in zip(tokens.numpy(), numbers.numpy().tolist(), strict=True):
                counts[token.decode()] += number
        return cls(frequent_tokens(counts, vocabulary_size), lowercase)

    @property
    def vocabulary(self):
        """The token of every id, a list of str."""
        return list(self._vocabulary)

    @property
    def vocabulary_size(self):
        """The number of ids V."""
        return len(self._vocabulary)

    def encode(self, texts):
        """Turns texts into token ids, without `START` and `END`.

        Args:
            texts: String tensor `(B,)` or list of str.

        Returns:
            `tf.RaggedTensor` `(B, None)`, int32.

        Raises:
            ValueError: if `texts` has another rank than 1.
        """
        texts = tf.convert_to_tensor(texts, tf.string)
        if texts.shape.rank not in (None, 1):
            raise ValueError(
                f"Expected texts of shape (batch,), got shape {texts.shape}; one text is [text]."
            )
        with tf.device("CPU:0"):  # strings and tables live there: no transfer inside the loops
            return self._encode(tf.ensure_shape(texts, [None]))

    def decode(self, ids):
        """Turns token ids into texts: stops at the first `END`, skips `PAD` and `START`.

        Args:
            ids: Integers `(B, T)`, dense or ragged.

        Returns:
            String tensor `(B,)`; whitespace is collapsed and stripped, as in what `encode` reads.

        Raises:
            ValueError: if `ids` has another rank than 2.
        """
        if isinstance(ids, tf.RaggedTensor):
            ids = ids.to_tensor(PAD)
        ids = tf.cast(ids, tf.int32)
        if ids.shape.rank not in (None, 2):
            raise ValueError(
                f"Expected ids of shape (batch, time), got shape {ids.shape}; one row is [ids]."
            )
        with tf.device("CPU:0"):
            return self._decode(tf.ensure_shape(ids, [None, None]))

    def pieces(self, ids):
        """Returns a readable label of every token, strings of the shape of `ids`, for plots."""
        with tf.device("CPU:0"):
            return tf.gather(self._labels, ids)

    def normalize(self, texts):
        """Returns the texts `(B,)` as `encode` sees them."""
        return normalize(texts, self.lowercase, self.whitespace)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def _encode(self, texts):
        return self._tokenize(self.normalize(texts))

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def _decode(self, ids):
        before_end = tf.cumsum(tf.cast(ids == END, tf.int32), axis=1) == 0
        text = tf.ragged.boolean_mask(ids, before_end & (ids != PAD) & (ids != START))
        return normalize(self._join(tf.gather(self._surfaces, text)))

    def _label(self, token):
        return token

    def _surface(self, token):
        return token

    def config(self):
        """Returns all that `from_config` needs, as JSON has it."""
        return {
            "kind": self.kind,
            "options": {"lowercase": self.lowercase},
            "vocabulary": self.vocabulary,
        }

    @classmethod
    def from_config(cls, config):
        """Returns the tokenizer whose `config()` this is."""
        return cls(config["vocabulary"], **config["options"])

    def save(self, path):
        """Writes the tokenizer into one UTF-8 JSON file."""
        text = json.dumps({"format": _FORMAT, **self.config()}, ensure_ascii=False, indent=1)
        pathlib.Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote; `Tokenizer.load` takes any kind, a subclass its own.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is not a tokenizer's, or of a kind that is not asked for.
        """
        config = _read_config(path)
        kinds = {kind.kind: kind for kind in _descendants(cls) if kind.kind}
        if config["kind"] not in kinds:
            raise ValueError(
                f"{path} holds a tokenizer of kind {config['kind']!r}; "
                f"{cls.__name__}.load knows {', '.join(map(repr, sorted(kinds)))}."
            )
        return kinds[config["kind"]].from_config(config)


def _descendants(cls):
    """Returns a class and all that were made of it."""
    return [cls, *(kind for child in cls.__subclasses__() for kind in _descendants(child))]


def frequent_tokens(counts, vocabulary_size):
    """Returns a vocabulary of at most `vocabulary_size` tokens, the special ones included.

    The most frequent comes first; what is equally frequent is in the order of its code points, so
    the order of the texts does not matter.

    Args:
        counts: dict from token to how often it occurs; special tokens are not counted twice.
        vocabulary_size: int. Largest size.
    """
    if vocabulary_size <= len(SPECIAL_TOKENS):
        raise ValueError(
            f"Expected a vocabulary_size above {len(SPECIAL_TOKENS)}, the number of special "
            f"tokens, got {vocabulary_size}."
        )
    words = counts.keys() - set(SPECIAL_TOKENS)  # a prepared corpus may say <unk> itself
    ranked = sorted(words, key=lambda token: (-counts[token], token))
    return [*SPECIAL_TOKENS, *ranked[: vocabulary_size - len(SPECIAL_TOKENS)]]


def _check_vocabulary(vocabulary):
    first = tuple(vocabulary[: len(SPECIAL_TOKENS)])
    if first != SPECIAL_TOKENS or len(vocabulary) == len(first):
        raise ValueError(
            f"Expected a vocabulary that begins with {SPECIAL_TOKENS} and goes on, got "
            f"{len(vocabulary)} tokens beginning with {first}."
        )
    if len(set(vocabulary)) < len(vocabulary):
        twice = sorted({token for token in vocabulary if vocabulary.count(token) > 1})
        raise ValueError(f"Expected a vocabulary of distinct tokens, got these twice: {twice[:5]}.")


def _read_config(path):
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a tokenizer file at {path}, found none; `Tokenizer.save` writes one."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not UTF-8, or not JSON
        raise ValueError(f"{path} is not a tokenizer file: {error}.") from error
    expected = {"format", "kind", "options", "vocabulary"}
    if not isinstance(config, dict) or not expected <= config.keys() or config["format"] != _FORMAT:
        raise ValueError(
            f"{path} is not a tokenizer file: expected a JSON object with the keys "
            f"{sorted(expected)} and the format {_FORMAT!r}; `Tokenizer.save` writes one."
        )
    return config
