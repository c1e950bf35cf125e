"""Files -> texts, series, images or pairs -> token rows -> batches (tf.data), in that order."""

from seqkeras.data.batching import TokenBatches
from seqkeras.data.examples import EncodedPairs, LengthReport, encode_pairs
from seqkeras.data.images import pixel_permutation, pixel_sequences, read_npz_images
from seqkeras.data.labelled_text import read_labelled_tfds, read_labelled_tsv
from seqkeras.data.position_batches import ArrayBatches, GeneratedBatches
from seqkeras.data.readers import available_splits, read_parallel, read_tfds, read_tsv
from seqkeras.data.segments import SegmentBatches
from seqkeras.data.sequence_batches import LabelledSequences, SequenceBatches, join_sequences
from seqkeras.data.series import read_series_csv, read_series_npz
from seqkeras.data.spelling import spell
from seqkeras.data.tokenizers import (
    CharacterTokenizer,
    SubwordTokenizer,
    Tokenizer,
    WordTokenizer,
    load_tokenizer,
    train_tokenizer,
)

__all__ = [
    "ArrayBatches",
    "CharacterTokenizer",
    "EncodedPairs",
    "GeneratedBatches",
    "LabelledSequences",
    "LengthReport",
    "SegmentBatches",
    "SequenceBatches",
    "SubwordTokenizer",
    "TokenBatches",
    "Tokenizer",
    "WordTokenizer",
    "available_splits",
    "encode_pairs",
    "join_sequences",
    "load_tokenizer",
    "pixel_permutation",
    "pixel_sequences",
    "read_labelled_tfds",
    "read_labelled_tsv",
    "read_npz_images",
    "read_parallel",
    "read_series_csv",
    "read_series_npz",
    "read_tfds",
    "read_tsv",
    "spell",
    "train_tokenizer",
]
