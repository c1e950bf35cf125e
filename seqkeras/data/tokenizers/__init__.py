"""Text to token ids and back, in the graph: characters, words, subwords, or as it stands."""

from seqkeras.data.tokenizers.base import Tokenizer
from seqkeras.data.tokenizers.characters import CharacterTokenizer
from seqkeras.data.tokenizers.subwords import SubwordTokenizer
from seqkeras.data.tokenizers.whitespace import WhitespaceTokenizer
from seqkeras.data.tokenizers.words import WordTokenizer

__all__ = [
    "CharacterTokenizer",
    "SubwordTokenizer",
    "Tokenizer",
    "WhitespaceTokenizer",
    "WordTokenizer",
    "load_tokenizer",
    "train_tokenizer",
]

_KINDS = {
    kind.kind: kind
    for kind in (CharacterTokenizer, WordTokenizer, WhitespaceTokenizer, SubwordTokenizer)
}


def train_tokenizer(kind, texts, vocabulary_size, **options):
    """Returns a tokenizer trained on texts.

    Args:
        kind: "characters", "words", "whitespace" or "subwords".
        texts: Iterable of str, which is read once, some lines at a time.
        vocabulary_size: int. Largest size of the vocabulary, the four special tokens included.
        **options: `lowercase`, and what else the `train` of the kind takes.

    Raises:
        ValueError: if there is no such kind, or nothing to train on.
    """
    if kind not in _KINDS:
        raise ValueError(f"Expected a kind of tokenizer out of {sorted(_KINDS)}, got {kind!r}.")
    return _KINDS[kind].train(texts, vocabulary_size, **options)


def load_tokenizer(path):
    """Returns the tokenizer, of whichever kind, that `save` wrote to `path`."""
    return Tokenizer.load(path)
