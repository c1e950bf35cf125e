"""Subwords that `sentencepiece` learns and core TensorFlow ops find again, Kudo & Richardson 2018.

A piece is a string of characters; the mark U+2581 in front stands for the space before a word. The
ids are those that sentencepiece gives for the normalised text (arXiv:1808.06226), by its two
models: byte-pair encoding (`bpe.py`) and the unigram language model (`unigram.py`).

Two short cuts change no result. A word that a batch has many times is segmented once. And a word is
cut between two characters that stand side by side in no piece, as no piece can cross that place:
what remains to segment are short runs, also in a language that writes no spaces.
"""

import itertools

import tensorflow as tf

from seqkeras.constants import PAD, SPECIAL_TOKENS, UNK
from seqkeras.data.tokenizers.base import Tokenizer
from seqkeras.data.tokenizers.bpe import BPESegmenter
from seqkeras.data.tokenizers.normalization import WHITESPACE, normalize_in_batches
from seqkeras.data.tokenizers.sentencepiece_models import MODEL_TYPES, learn_model, read_model
from seqkeras.data.tokenizers.tables import static_table
from seqkeras.data.tokenizers.unigram import UnigramSegmenter

SPACE_MARK = "\u2581"  # ▁


class SubwordTokenizer(Tokenizer):
    """Splits words into learned pieces, so that a small vocabulary spells every word.

    The usual choice for translation. Train one tokenizer on the text of both languages and use it
    for both sides where they should share their vocabulary.

    Only characters that the training text lacks are unknown; neighbouring ones make one `UNK`, as
    in sentencepiece. U+2581 in a text reads as a space, which it stands for. Where two unigram
    segmentations of a word are equally probable (`0` `00` and `00` `0`), sentencepiece decides by
    the rounding of a sum over the sentence before; here the longer last piece wins, always.

    Args:
        vocabulary: list of str. The special tokens, then pieces; in the order of their merges for
            "bpe". Every character of a piece is a piece too.
        scores: list of float. Log probability of every piece; for "unigram" only.
        model_type: "bpe" or "unigram".
        lowercase: bool. Whether text is lowered first.

    Raises:
        ValueError: if `model_type` is unknown, `scores` do not fit it, a piece reaches over two
            words, or a character of a piece is no piece.

    Example:
        >>> texts = ["low lower lowest", "new newer newest"]
        >>> tokenizer = SubwordTokenizer.train(texts, vocabulary_size=20)
        >>> ids = tokenizer.encode(["slower"])
        >>> [label.decode() for label in tokenizer.pieces(ids).values.numpy()]
        ['▁', 's', 'lo', 'wer']
        >>> tokenizer.decode(ids).numpy()[0].decode()
        'slower'
    """

    kind = "subwords"
    whitespace = WHITESPACE + r"\x{2581}"

    def __init__(self, vocabulary, scores=None, model_type="bpe", lowercase=False):
        super().__init__(vocabulary, lowercase)
        _check_pieces(vocabulary[len(SPECIAL_TOKENS) :])
        _check_model(model_type, scores, len(vocabulary))
        self.model_type = model_type
        self._scores = scores and tuple(scores)
        if model_type == "bpe":
            self._segmenter = BPESegmenter(vocabulary)
        else:
            self._segmenter = UnigramSegmenter(vocabulary, scores)
        index = {piece: i for i, piece in enumerate(vocabulary) if i > UNK}
        characters = {ord(piece): i for piece, i in index.items() if len(piece) == 1}
        self._characters = static_table(characters, characters.values(), UNK)
        neighbours = {
            index[left] * len(vocabulary) + index[right]
            for piece in index
            for left, right in itertools.pairwise(piece)
        }
        self._neighbours = static_table(sorted(neighbours), [1] * len(neighbours), 0)

    @classmethod
    def train(
        cls, texts, vocabulary_size, model_type="bpe", character_coverage=1.0, lowercase=False
    ):
        """Returns a tokenizer whose pieces sentencepiece learned from the texts.

        Args:
            texts: Iterable of str, which is read once, some lines at a time.
            vocabulary_size: int. Largest size, the four special tokens included; the result is
                smaller where the texts do not have as many pieces.
            model_type: "bpe", or "unigram", which takes longer to learn.
            character_coverage: float. Share of the texts' characters that get a piece: 1.0, or
                0.9995 for a script of thousands of characters, whose rarest stay unknown.
            lowercase: bool. Whether text is lowered first.

        Raises:
            ValueError: if there is nothing to learn from, or the vocabulary is too small to hold
                the characters of the texts.
        """
        batches = normalize_in_batches(texts, lowercase, cls.whitespace)
        lines = (line.decode() for batch in batches for line in batch.numpy())
        model = learn_model(lines, vocabulary_size, model_type, character_coverage)
        return cls.from_sentencepiece(model, lowercase)

    @classmethod
    def from_sentencepiece(cls, model, lowercase=False):
        """Returns a tokenizer that does what a sentencepiece model does.

        Args:
            model: bytes of a serialized model, or the path of a `.model` file. Trained with
                `normalization_rule_name="identity", pad_id=0, bos_id=1, eos_id=2, unk_id=3`.
            lowercase: bool. Whether text is lowered first, as the model's training text was.

        Raises:
            ValueError: if the model was trained otherwise.
        """
        pieces = read_model(model)
        scores = pieces.scores if pieces.model_type == "unigram" else None
        return cls(pieces.vocabulary, scores, pieces.model_type, lowercase)

    def config(self):
        config = super().config()
        config["options"]["model_type"] = self.model_type
        if self._scores is not None:
            config["scores"] = list(self._scores)
        return config

    @classmethod
    def from_config(cls, config):
        return cls(config["vocabulary"], config.get("scores"), **config["options"])

    def _tokenize(self, texts):
        words = tf.strings.split(texts)
        distinct, which = tf.unique(words.values)
        ids = tf.gather(self._tokenize_words(distinct), which)  # (W, None)
        return tf.RaggedTensor.from_row_splits(ids, words.row_splits).merge_dims(1, 2)

    def _tokenize_words(self, words):
        """Returns the ragged ids `(U, None)` of words `(U,)`."""
        codepoints = tf.strings.unicode_decode(tf.strings.join([SPACE_MARK, words]), "UTF-8")
        characters = self._characters.lookup(tf.cast(codepoints.values, tf.int64))  # (M,)
        word = codepoints.value_rowids()
        left = tf.pad(characters, [[1, 0]], constant_values=PAD)[:-1]
        new_word = word != tf.pad(word, [[1, 0]], constant_values=-1)[:-1]

        pair = tf.cast(left, tf.int64) * self.vocabulary_size + tf.cast(characters, tf.int64)
        new_run = new_word | (self._neighbours.lookup(pair) == 0)
        ids = self._segmenter.segment(characters, tf.cumsum(tf.cast(new_run, tf.int32)) - 1)
        repeated = (characters == UNK) & (left == UNK) & ~new_word
        return tf.ragged.boolean_mask(
            codepoints.with_values(ids), codepoints.with_values((ids != PAD) & ~repeated)
        )

    def _join(self, pieces):
        return tf.strings.reduce_join(pieces, axis=1)

    def _surface(self, token):
        return token.replace(SPACE_MARK, " ")


def _check_pieces(pieces):
    known = set(pieces)
    spanning = [piece for piece in pieces if SPACE_MARK in piece[1:]]
    if spanning:
        raise ValueError(f"Expected pieces that stay inside one word, got {spanning[:5]}.")
    missing = sorted({SPACE_MARK, *"".join(pieces)} - known)
    if missing:
        raise ValueError(
            "Expected a vocabulary that has every character of its pieces, and the mark "
            f"{SPACE_MARK}, as a piece too; these are missing: {missing[:5]}."
        )


def _check_model(model_type, scores, vocabulary_size):
    if model_type not in MODEL_TYPES:
        raise ValueError(f"Expected a model_type out of {MODEL_TYPES}, got {model_type!r}.")
    expected = vocabulary_size if model_type == "unigram" else None
    given = None if scores is None else len(scores)
    if given != expected:
        raise ValueError(
            f"A {model_type} model of {vocabulary_size} pieces expects "
            f"{expected or 'no'} scores, got {given or 'none'}."
        )
