"""Models of the sentencepiece library: learning one, and reading what a tokenizer needs of it."""

import io
import pathlib
from typing import NamedTuple

from seqkeras.constants import END, PAD, SPECIAL_TOKENS, START, UNK

MODEL_TYPES = ("bpe", "unigram")

_NO_LINE_IS_TOO_LONG = 2**30  # sentencepiece would drop lines above 4192 bytes


class Pieces(NamedTuple):
    """What a tokenizer takes from a model: its pieces, their scores, and how to segment."""

    vocabulary: list
    scores: list
    model_type: str


def learn_model(lines, vocabulary_size, model_type, character_coverage):
    """Returns a serialized model of at most `vocabulary_size` pieces, learned from `lines`.

    Equal lines give equal models: one thread, no sampling of lines.

    Args:
        lines: iterable of normalised str.
        vocabulary_size: int. Largest size, the four special tokens included.
        model_type: "bpe" or "unigram".
        character_coverage: float. Share of the text's characters that get a piece; the rarest
            are left unknown.

    Raises:
        ValueError: if sentencepiece cannot learn a model under these settings.
    """
    import sentencepiece

    if model_type not in MODEL_TYPES:
        raise ValueError(f"Expected a model_type out of {MODEL_TYPES}, got {model_type!r}.")
    model = io.BytesIO()
    # sentencepiece skips the special tokens' names where it meets them in the text. No normalised
    # word holds a space, so these names meet nothing, and "<s>" in a text is three characters.
    names = {
        f"{name}_piece": f" {token}"
        for name, token in zip(("pad", "bos", "eos", "unk"), SPECIAL_TOKENS, strict=True)
    }
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=model_type,
            vocab_size=vocabulary_size,
            hard_vocab_limit=False,
            character_coverage=character_coverage,
            normalization_rule_name="identity",
            max_sentence_length=_NO_LINE_IS_TOO_LONG,
            num_threads=1,
            minloglevel=2,
            pad_id=PAD,
            bos_id=START,
            eos_id=END,
            unk_id=UNK,
            **names,
        )
    except RuntimeError as error:
        raise ValueError(
            f"sentencepiece cannot learn a {model_type} vocabulary of at most {vocabulary_size} "
            "tokens from these texts. It has to hold the special tokens and every character of "
            "the texts: pass a larger vocabulary_size, or a character_coverage below "
            f"{character_coverage} to leave out rare characters. It said: {error}"
        ) from error
    return model.getvalue()


def read_model(model):
    """Returns the `Pieces` of a model.

    Args:
        model: bytes of a serialized model, or the path of a `.model` file.

    Raises:
        ValueError: if the model uses what the tokenizer cannot do: other special ids, other
            kinds of models, a normalisation of its own, byte fallback, user-defined symbols.
    """
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2 as messages

    if not isinstance(model, bytes):
        model = pathlib.Path(model).read_bytes()
    try:
        proto = messages.ModelProto.FromString(model)
    except DecodeError as error:
        raise ValueError(f"Expected a serialized sentencepiece model: {error}.") from error
    model_type = messages.TrainerSpec.ModelType.Name(proto.trainer_spec.model_type).lower()
    _check_specification(proto, model_type, messages)
    ordinary = proto.pieces[len(SPECIAL_TOKENS) :]
    return Pieces(
        vocabulary=[*SPECIAL_TOKENS, *(piece.piece for piece in ordinary)],
        scores=[piece.score for piece in proto.pieces],
        model_type=model_type,
    )


def _check_specification(proto, model_type, messages):
    """Raises ValueError, with all its reasons, unless a tokenizer can do what the model does."""
    kinds = messages.ModelProto.SentencePiece.Type
    special = [kinds.CONTROL, kinds.CONTROL, kinds.CONTROL, kinds.UNKNOWN]
    first, ordinary = proto.pieces[: len(special)], proto.pieces[len(special) :]
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    ids = (trainer.pad_id, trainer.bos_id, trainer.eos_id, trainer.unk_id)
    scores = [piece.score for piece in ordinary]
    shuffled = model_type == "bpe" and scores != sorted(scores, reverse=True)
    problems = [
        (f"model_type {model_type!r}, not one of {MODEL_TYPES}", model_type not in MODEL_TYPES),
        ("other ids than pad_id=0, bos_id=1, eos_id=2, unk_id=3", ids != (PAD, START, END, UNK)),
        ("special tokens of other types than usual", [piece.type for piece in first] != special),
        (
            "user-defined symbols, bytes, or unused pieces",
            {piece.type for piece in ordinary} != {kinds.NORMAL},
        ),
        ("merges that are not in the order of their scores", shuffled),
        ("a normalization of its own", bool(normalizer.precompiled_charsmap)),
        ("add_dummy_prefix=False", not normalizer.add_dummy_prefix),
        ("remove_extra_whitespaces=False", not normalizer.remove_extra_whitespaces),
        ("treat_whitespace_as_suffix=True", trainer.treat_whitespace_as_suffix),
    ]
    found = [problem for problem, present in problems if present]
    if found:
        raise ValueError(
            f"The sentencepiece model has {'; '.join(found)}. Train it with "
            "normalization_rule_name='identity', pad_id=0, bos_id=1, eos_id=2, unk_id=3 and "
            "without user-defined symbols, or with `SubwordTokenizer.train`."
        )
