"""One token for every Unicode character, the space included."""

import tensorflow as tf

from seqkeras.constants import SPECIAL_TOKENS, UNK
from seqkeras.data.tokenizers.base import Tokenizer
from seqkeras.data.tokenizers.tables import static_table


class CharacterTokenizer(Tokenizer):
    """Splits text into its Unicode characters (code points).

    Needs no training to speak of and knows hardly any unknown token, at the price of long
    sequences: for spelling, transliteration, dates, and languages without spaces.

    Args:
        vocabulary: list of str. The special tokens, then single characters.
        lowercase: bool. Whether text is lowered first.

    Raises:
        ValueError: if a token is not a single character.

    Example:
        >>> tokenizer = CharacterTokenizer.train(["abba", "b a"], vocabulary_size=100)
        >>> tokenizer.encode(["a cab"]).to_list()
        [[4, 6, 3, 4, 5]]
        >>> tokenizer.decode([[4, 6, 3, 4, 5]]).numpy()[0].decode()
        'a ⁇ab'
    """

    kind = "characters"

    def __init__(self, vocabulary, lowercase=False):
        super().__init__(vocabulary, lowercase)
        characters = vocabulary[len(SPECIAL_TOKENS) :]
        longer = [token for token in characters if len(token) != 1]
        if longer:
            raise ValueError(f"Expected single characters after the special tokens, got {longer}.")
        ids = range(len(SPECIAL_TOKENS), len(vocabulary))
        self._ids = static_table([ord(character) for character in characters], ids, UNK)

    @staticmethod
    def _split(texts):
        return tf.strings.unicode_split(texts, "UTF-8")

    def _tokenize(self, texts):
        codepoints = tf.strings.unicode_decode(texts, "UTF-8")
        return codepoints.with_values(self._ids.lookup(tf.cast(codepoints.values, tf.int64)))

    def _join(self, pieces):
        return tf.strings.reduce_join(pieces, axis=1)

    def _label(self, token):
        return "\u2423" if token == " " else token  # ␣
