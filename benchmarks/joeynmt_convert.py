r"""Carries the Transformer of a run over to Joey NMT.

    python benchmarks/joeynmt_convert.py --run runs/multi30k-transformer --output FOLDER

FOLDER gets subwords.model and weights.npz, whose arrays have the names that Joey NMT's parameters
have. Rows of the embedding stand in the order of our subwords; `joeynmt_translation.py`, which
reads both, puts them into that of its vocabulary. With them come some pairs and the
log-probabilities that our model gives them, which it must give them too.

Joey NMT adds 1e-6 inside layer norm and we 1e-5, which is left as it is.
"""

import argparse
import pathlib

import numpy as np
from keras import ops

from run_transformer import check_supported, flat, random_texts, read_run, write_sentencepiece
from seqkeras.decoding.translator import BeamSettings, Translator
from seqkeras.models import decoding_parts
from seqkeras.models.transformer import TransformerParts


def attention(attention):
    """Returns the arrays of an attention by their names within it."""
    projections = {
        "q_layer": attention.query_dense,
        "k_layer": attention.key_dense,
        "v_layer": attention.value_dense,
        "output_layer": attention.output_dense,
    }
    return {
        name: array
        for key, projection in projections.items()
        for name, array in linear(key, *flat(projection)).items()
    }


def linear(name, kernel, bias):
    """Returns a linear map, stored `(out, in)`."""
    return {f"{name}.weight": ops.transpose(kernel), f"{name}.bias": bias}


def norm(name, layer):
    return {f"{name}.weight": layer.gamma, f"{name}.bias": layer.beta}


def stack_arrays(name, stack):
    """Returns the arrays of an encoder or a decoder, but for its embeddings."""
    arrays = norm(f"{name}.layer_norm", stack.last_norm)
    for index, layer in enumerate(stack.layers):
        network = layer.feed_forward
        parts = {
            "src_src_att": attention(layer.self_attention),
            "": norm("layer_norm", layer.around_self.layer_norm),
            "feed_forward": {
                **norm("layer_norm", layer.around_feed_forward.layer_norm),
                **linear("pwff_layer.0", network.hidden_kernel, network.hidden_bias),
                **linear("pwff_layer.3", network.output_kernel, network.output_bias),
            },
        }
        if layer.cross_attention:
            parts["trg_trg_att"] = parts.pop("src_src_att")
            parts["src_trg_att"] = attention(layer.memory_attention)
            parts[""] = {
                **norm("x_layer_norm", layer.around_self.layer_norm),
                **norm("dec_layer_norm", layer.around_memory.layer_norm),
            }
        for part, found in parts.items():
            prefix = f"{name}.layers.{index}." + (f"{part}." if part else "")
            arrays |= {prefix + key: array for key, array in found.items()}
    return arrays


def model_arrays(parts):
    """Returns all arrays of a Transformer by Joey NMT's names."""
    check_supported(parts)
    table = parts.target_embedding.embeddings
    names = ("src_embed.lut.weight", "trg_embed.lut.weight", "decoder.output_layer.weight")
    arrays = dict.fromkeys(names, table)
    arrays |= stack_arrays("encoder", parts.encoder) | stack_arrays("decoder", parts.decoder)
    return {name: ops.convert_to_numpy(array) for name, array in arrays.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", required=True, help="folder of a run of pipelines.translation")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    options = parser.parse_args()

    model, source, target = read_run(options.run)
    options.output.mkdir(parents=True, exist_ok=True)
    write_sentencepiece(source, options.output / "subwords.model")
    rng = np.random.default_rng(0)
    sources, targets = random_texts(source, rng), random_texts(target, rng)
    greedy = BeamSettings(beam_size=1, n_best=1, length_factor=0.0, length_offset=21)
    translator = Translator([decoding_parts(model)], source, target, greedy)
    np.savez(
        options.output / "weights.npz",
        **model_arrays(TransformerParts(model)),
        sources=sources,
        targets=targets,
        log_probabilities=translator.score(sources, targets)["log_probability"].numpy(),
    )


if __name__ == "__main__":
    main()
