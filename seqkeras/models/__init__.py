"""Functional builders of whole models, one file for each family."""

from seqkeras.models.attention_seq2seq import attention_seq2seq
from seqkeras.models.decoding_parts import decoding_parts
from seqkeras.models.language_model import language_model
from seqkeras.models.ngram_language_model import ngram_language_model
from seqkeras.models.parts import DecodingParts
from seqkeras.models.seq2seq import seq2seq
from seqkeras.models.sequence_classifier import sequence_classifier
from seqkeras.models.set_transformer import set_transformer
from seqkeras.models.transformer import transformer
from seqkeras.models.transformer_decoder import transformer_decoder
from seqkeras.models.transformer_encoder import transformer_encoder
from seqkeras.models.with_targets import with_targets

__all__ = [
    "DecodingParts",
    "attention_seq2seq",
    "decoding_parts",
    "language_model",
    "ngram_language_model",
    "seq2seq",
    "sequence_classifier",
    "set_transformer",
    "transformer",
    "transformer_decoder",
    "transformer_encoder",
    "with_targets",
]
