"""Tokens as they stand: for a corpus that somebody has tokenized already."""

import tensorflow as tf

from seqkeras.data.tokenizers.split_words import SplitTokenizer


class WhitespaceTokenizer(SplitTokenizer):
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

    @staticmethod
    def _split(texts):
        return tf.strings.split(texts)
