"""What tokenizers share whose tokens stand in the text: they are split off, and looked up."""

import tensorflow as tf

from seqkeras.constants import SPECIAL_TOKENS, UNK
from seqkeras.data.tokenizers.base import Tokenizer
from seqkeras.data.tokenizers.tables import static_table


class SplitTokenizer(Tokenizer):
    """Base of tokenizers that only have to say how a text is split, in `_split`."""

    def __init__(self, vocabulary, lowercase=False):
        super().__init__(vocabulary, lowercase)
        ids = range(len(SPECIAL_TOKENS), len(vocabulary))
        self._ids = static_table(vocabulary[len(SPECIAL_TOKENS) :], ids, UNK)

    def _tokenize(self, texts):
        words = self._split(texts)
        return words.with_values(self._ids.lookup(words.values))

    def _join(self, pieces):
        return tf.strings.reduce_join(pieces, axis=1, separator=" ")
