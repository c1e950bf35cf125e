"""Files -> pairs of texts -> token rows -> padded batches (tf.data), in that order."""

from seqkeras.data.batching import TokenBatches
from seqkeras.data.examples import EncodedPairs, LengthReport, encode_pairs
from seqkeras.data.readers import available_splits, read_parallel, read_tfds, read_tsv
from seqkeras.data.tokenizers import (
    CharacterTokenizer,
    SubwordTokenizer,
    Tokenizer,
    WordTokenizer,
    load_tokenizer,
    train_tokenizer,
)

__all__ = [
    "CharacterTokenizer",
    "EncodedPairs",
    "LengthReport",
    "SubwordTokenizer",
    "TokenBatches",
    "Tokenizer",
    "WordTokenizer",
    "available_splits",
    "encode_pairs",
    "load_tokenizer",
    "read_parallel",
    "read_tfds",
    "read_tsv",
    "train_tokenizer",
]
