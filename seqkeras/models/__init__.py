"""Functional builders of whole models, one file for each family."""

from seqkeras.models.attention_seq2seq import attention_seq2seq
from seqkeras.models.encoder_decoder import DecodingParts, decoding_parts
from seqkeras.models.seq2seq import seq2seq
from seqkeras.models.sequence_classifier import sequence_classifier

__all__ = ["DecodingParts", "attention_seq2seq", "decoding_parts", "seq2seq", "sequence_classifier"]
