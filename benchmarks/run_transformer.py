"""What every library gets of a run's Transformer: its weights by part, and its subwords.

What cannot be carried over is refused: activations other than ReLU, other positions, an output
matrix of its own, tokenizers other than subwords.
"""

import math

import keras
from keras import ops
from sentencepiece import sentencepiece_model_pb2

from pipelines.run_directory import RunDirectory
from seqkeras.blocks.positions import SinusoidalPositions
from seqkeras.constants import END, PAD, SPECIAL_TOKENS, START, UNK
from seqkeras.data.tokenizers import load_tokenizer


def read_run(folder):
    """Returns `(model, source tokenizer, target tokenizer)` of a run of pipelines.translation."""
    run = RunDirectory(folder)
    model = keras.models.load_model(run.require(run.model))
    source = load_tokenizer(run.require(run.source_tokenizer))
    return model, source, load_tokenizer(run.require(run.target_tokenizer))


def check_supported(parts):
    """Raises ValueError for a Transformer that would be carried over wrongly."""
    embeddings = (parts.source_embedding, parts.target_embedding)
    positions = (parts.source_positions, parts.target_positions)
    if (
        parts.encoder.options.get("activation", "relu") != "relu"
        or parts.head is not None
        or not all(embedding.scale and embedding.bias is None for embedding in embeddings)
        or not all(isinstance(layer, SinusoidalPositions) for layer in positions)
    ):
        raise ValueError(
            "Carrying weights over: expected a Transformer with ReLU, sinusoidal positions, and a "
            "scaled embedding that also makes the logits. Train one with the preset "
            "multi30k-transformer."
        )


def flat(projection):
    """Returns kernel and bias of a `HeadProjection` with the heads one after the other."""
    kernel = projection.kernel
    inputs = math.prod(kernel.shape[: projection.bound])
    return ops.reshape(kernel, (inputs, -1)), ops.reshape(projection.bias, (-1,))


def write_sentencepiece(tokenizer, path):
    """Writes the sentencepiece model that gives the ids of a `SubwordTokenizer`."""
    config = tokenizer.config()
    if tokenizer.kind != "subwords" or tokenizer.lowercase:
        raise ValueError(
            f"sentencepiece: expected subwords that keep the case, got {tokenizer.kind}, "
            f"lowercase={tokenizer.lowercase}."
        )
    scores = config.get("scores") or [-float(i) for i in range(tokenizer.vocabulary_size)]
    proto = sentencepiece_model_pb2.ModelProto()
    kinds = proto.SentencePiece.Type
    special = {PAD: kinds.CONTROL, START: kinds.CONTROL, END: kinds.CONTROL, UNK: kinds.UNKNOWN}
    for i, (piece, score) in enumerate(zip(tokenizer.vocabulary, scores, strict=True)):
        proto.pieces.add(piece=piece, score=score, type=special.get(i, kinds.NORMAL))
    types = sentencepiece_model_pb2.TrainerSpec.ModelType
    trainer = proto.trainer_spec
    trainer.model_type = types.Value(config["options"]["model_type"].upper())
    trainer.pad_id, trainer.bos_id, trainer.eos_id, trainer.unk_id = PAD, START, END, UNK
    path.write_bytes(proto.SerializeToString())


def random_texts(tokenizer, rng, count=16, length=12):
    """Returns strings of random subwords: a check on them needs neither data nor training."""
    ids = rng.integers(len(SPECIAL_TOKENS), tokenizer.vocabulary_size, (count, length))
    return [text.decode() for text in tokenizer.decode(ids).numpy()]
