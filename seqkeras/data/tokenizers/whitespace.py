"""Tokens as they stand: for a corpus that somebody has tokenized already."""

import tensorflow as tf

from seqkeras.constants import SPECIAL_TOKENS, UNK
from seqkeras.data.tokenizers.base import Tokenizer
from seqkeras.data.tokenizers.tables import static_table


class WhitespaceTokenizer(Tokenizer):
    """Splits text at whitespace and nowhere else; what the vocabulary lacks becomes unknown.

    For prepared corpora such as the Penn Treebank's language-model files, in which the tokens are
    parted by spaces and rare words already read `<unk>`: that is the unknown token here, too.

    Args:
        vocabulary: list of str. The special tokens, then words.
        lowercase: bool. Whether text is lowered first.

    Example:
        >>> tokenizer = WhitespaceTokenizer.train(["it 's <unk> mr. smith"], vocabulary_size=100)
        >>> tokenizer.vocabulary[4:]
        ["'s", 'it', 'mr.', 'smith']
        >>> tokenizer.encode(["mr. <unk> 's"]).to_list()
        [[6, 3, 4]]
    """

    kind = "whitespace"

    def __init__(self, vocabulary, lowercase=False):
        super().__init__(vocabulary, lowercase)
        ids = range(len(SPECIAL_TOKENS), len(vocabulary))
        self._ids = static_table(vocabulary[len(SPECIAL_TOKENS) :], ids, UNK)

    @staticmethod
    def _split(texts):
        return tf.strings.split(texts)

    def _tokenize(self, texts):
        words = self._split(texts)
        return words.with_values(self._ids.lookup(words.values))

    def _join(self, pieces):
        return tf.strings.reduce_join(pieces, axis=1, separator=" ")
