r"""Carries the Transformer of a run over to KerasHub, and checks that it computes the same.

    python benchmarks/kerashub_convert.py --run runs/multi30k-transformer --output FOLDER

Runs in KerasHub's environment. FOLDER gets subwords.model and model.weights.h5, which
`kerashub_translation.py` reads. Our embedding is multiplied by sqrt(D) at the bottom and not at the
top; theirs never is, so it holds the product, and the last norm before it is divided by sqrt(D).
Their learned positions hold our sinusoids.
"""

import argparse
import math
import pathlib

import numpy as np
from keras import ops

from kerashub_translation import build_model
from run_transformer import check_supported, random_texts, read_run, write_sentencepiece
from seqkeras.constants import END, START
from seqkeras.models.transformer import TransformerParts


def set_layer(theirs, ours):
    """Sets the weights of a `TransformerEncoder` or `TransformerDecoder` to those of our layer."""
    network = ours.feed_forward
    set_attention(theirs._self_attention_layer, ours.self_attention)
    set_norm(theirs._self_attention_layer_norm, ours.around_self.layer_norm)
    if ours.cross_attention:
        set_attention(theirs._cross_attention_layer, ours.memory_attention)
        set_norm(theirs._cross_attention_layer_norm, ours.around_memory.layer_norm)
    set_norm(theirs._feedforward_layer_norm, ours.around_feed_forward.layer_norm)
    set_all(theirs._feedforward_intermediate_dense, network.hidden_kernel, network.hidden_bias)
    set_all(theirs._feedforward_output_dense, network.output_kernel, network.output_bias)


def set_attention(theirs, ours):
    theirs.query_dense.set_weights(ours.query_dense.get_weights())
    theirs.key_dense.set_weights(ours.key_dense.get_weights())
    theirs.value_dense.set_weights(ours.value_dense.get_weights())
    theirs.output_dense.set_weights(ours.output_dense.get_weights())


def set_norm(theirs, ours, factor=1.0):
    set_all(theirs, ours.gamma * factor, ours.beta * factor)


def set_all(layer, *weights):
    layer.set_weights([ops.convert_to_numpy(weight) for weight in weights])


def convert(model, vocabulary_size):
    """Returns the KerasHub model that computes what the functional Transformer does."""
    parts, theirs = TransformerParts(model), build_model(vocabulary_size)
    check_supported(parts)
    scale = math.sqrt(parts.encoder.size)
    (embed,) = [layer for layer in theirs.layers if hasattr(layer, "token_embedding")]
    length = embed.position_embedding.sequence_length
    table = parts.source_positions.encodings(length, 0, parts.encoder.size)
    set_all(embed.token_embedding, parts.target_embedding.embeddings * scale)
    set_all(embed.position_embedding, table)
    named = {
        kind: [layer for layer in theirs.layers if type(layer).__name__ == kind]
        for kind in ("TransformerEncoder", "TransformerDecoder", "LayerNormalization")
    }
    for kind, stack in (
        ("TransformerEncoder", parts.encoder),
        ("TransformerDecoder", parts.decoder),
    ):
        for their_layer, layer in zip(named[kind], stack.layers, strict=True):
            set_layer(their_layer, layer)
    after_encoder, after_decoder = named["LayerNormalization"]
    set_norm(after_encoder, parts.encoder.last_norm)
    set_norm(after_decoder, parts.decoder.last_norm, 1.0 / scale)
    return theirs


def check(ours, theirs, source, target):
    """Asserts that both give the same logits for texts of random subwords."""
    rng = np.random.default_rng(0)

    def ids(tokenizer, first, last):
        rows = tokenizer.encode(random_texts(tokenizer, rng)).to_list()
        rows = [[*first, *row, *last] for row in rows]
        return np.array([row + [0] * (max(map(len, rows)) - len(row)) for row in rows], "int32")

    inputs = {"source": ids(source, [], [END]), "target_in": ids(target, [START], [])}
    real = inputs["target_in"] > 0
    difference = np.abs(ours.predict(inputs, verbose=0) - theirs.predict(inputs, verbose=0))[real]
    assert difference.max() < 1e-3, f"logits differ by up to {difference.max():.2g}"
    print(f"checked: logits differ by up to {difference.max():.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", required=True, help="folder of a run of pipelines.translation")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    options = parser.parse_args()

    model, source, target = read_run(options.run)
    options.output.mkdir(parents=True, exist_ok=True)
    write_sentencepiece(source, options.output / "subwords.model")
    theirs = convert(model, source.vocabulary_size)
    check(model, theirs, source, target)
    theirs.save_weights(options.output / "model.weights.h5")


if __name__ == "__main__":
    main()
