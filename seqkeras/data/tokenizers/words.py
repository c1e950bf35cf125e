"""One token for every word, number and punctuation mark, as a regular expression finds them."""

import tensorflow as tf

from seqkeras.data.tokenizers.split_words import SplitTokenizer

# A number with its points and commas, or a word with its inner hyphens and apostrophes, or else
# one character that is not a space. Every character of a text is in exactly one token.
_TOKEN = r"(\pN+(?:[.,]\pN+)+|[\pL\pM\pN]+(?:['’-][\pL\pM\pN]+)*|[^ ])"
_NO_SPACE_BEFORE = r" ([.,;:!?%)\]}…])"
_NO_SPACE_AFTER = r"([(\[{¿¡]) "


class WordTokenizer(SplitTokenizer):
    """Splits text at whitespace and separates punctuation; rare words become unknown.

    For small vocabularies and tasks where a token should be a word. A language that writes no
    spaces needs another tokenizer. Inner hyphens and apostrophes stay in their word (`don't`,
    `T-shirt`), points and commas in their number (`1,000.5`).

    `decode` puts a space between tokens, but none before . , ; : ! ? % ) ] } … and none after
    ( [ { ¿ ¡ . Quotation marks and dashes stay apart: which side they belong to is lost.

    Args:
        vocabulary: list of str. The special tokens, then words.
        lowercase: bool. Whether text is lowered first.

    Example:
        >>> tokenizer = WordTokenizer.train(["a dog, a cat."], vocabulary_size=100)
        >>> tokenizer.vocabulary[4:]
        ['a', ',', '.', 'cat', 'dog']
        >>> tokenizer.decode(tokenizer.encode(["a cat, a bird."])).numpy()[0].decode()
        'a cat, a ⁇.'
    """

    kind = "words"

    @staticmethod
    def _split(texts):
        return tf.strings.split(tf.strings.regex_replace(texts, _TOKEN, r"\1 "))

    def _join(self, pieces):
        texts = tf.strings.regex_replace(super()._join(pieces), _NO_SPACE_BEFORE, r"\1")
        return tf.strings.regex_replace(texts, _NO_SPACE_AFTER, r"\1")
