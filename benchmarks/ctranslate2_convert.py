r"""Carries the Transformer of a run over to CTranslate2, and checks that it computes the same.

    python benchmarks/ctranslate2_convert.py --run runs/multi30k-transformer --output FOLDER

FOLDER gets the model and two sentencepiece models, source.model and target.model. What libraries do
differently, and where it is settled:

- Positions: ours count from 0 and alternate sine and cosine; CTranslate2's own have all the sines
  first. It takes a table instead, here of 1,024 positions: a longer text fails.
- Layer norm: epsilon is in the configuration. Linear maps are stored `(out, in)`; those of queries,
  keys and values of one input are one matrix.
- Embeddings are multiplied by sqrt(D), and the target's embedding makes the logits, without a bias.
- The decoder starts from START, "<s>"; END, "</s>", is added to the source by CTranslate2 itself.
- Our search never writes PAD or START; CTranslate2's may, unless `suppress_sequences` forbids it. A
  trained model gives them no probability, so the benchmark leaves that out, as it costs time.

What cannot be carried over is refused, see `run_transformer.py`.
"""

import argparse
import pathlib

import ctranslate2
import numpy as np
import sentencepiece
from ctranslate2.specs import TransformerSpec
from keras import ops

from run_transformer import check_supported, flat, random_texts, read_run, write_sentencepiece
from seqkeras.constants import PAD, SPECIAL_TOKENS, START
from seqkeras.decoding.translator import BeamSettings, Translator
from seqkeras.models import decoding_parts
from seqkeras.models.transformer import TransformerParts

MAX_POSITIONS = 1024


class Converter(ctranslate2.converters.Converter):
    """A converter as CTranslate2 has them for other libraries.

    Args:
        model: What `seqkeras.models.transformer` returned, or the same after loading.
        source_vocabulary, target_vocabulary: Lists of str.
    """

    def __init__(self, model, source_vocabulary, target_vocabulary):
        self._parts = TransformerParts(model)
        self._source_vocabulary = source_vocabulary
        self._target_vocabulary = target_vocabulary

    def _load(self):
        parts = self._parts
        encoder, decoder = parts.encoder, parts.decoder
        check_supported(parts)
        spec = TransformerSpec.from_config(
            (encoder.num_layers, decoder.num_layers),
            encoder.num_heads,
            pre_norm=encoder.options["norm"] == "pre",
        )
        set_embedding(spec.encoder.embeddings[0], parts.source_embedding)
        set_embedding(spec.decoder.embeddings, parts.target_embedding)
        set_embedding(spec.decoder.projection, parts.target_embedding)
        for side, positions, stack in (
            (spec.encoder, parts.source_positions, encoder),
            (spec.decoder, parts.target_positions, decoder),
        ):
            set_stack(side, positions, stack)
        spec.config.layer_norm_epsilon = encoder.options["epsilon"]
        spec.config.decoder_start_token = SPECIAL_TOKENS[START]
        spec.config.add_source_eos = True
        spec.register_source_vocabulary(self._source_vocabulary)
        spec.register_target_vocabulary(self._target_vocabulary)
        return spec


def set_stack(spec, positions, stack):
    """Fills in an encoder or a decoder, but for its embeddings."""
    table = positions.encodings(MAX_POSITIONS, 0, stack.size)
    spec.position_encodings.encodings = ops.convert_to_numpy(table)
    if stack.last_norm is not None:
        set_norm(spec.layer_norm, stack.last_norm)
    for layer_spec, layer in zip(spec.layer, stack.layers, strict=True):
        attention = layer.self_attention
        asked = (attention.query_dense, attention.key_dense, attention.value_dense)
        set_attention(layer_spec.self_attention, layer.around_self, [asked], attention)
        if layer.cross_attention:
            attention = layer.memory_attention
            asked = ([attention.query_dense], [attention.key_dense, attention.value_dense])
            set_attention(layer_spec.attention, layer.around_memory, asked, attention)
        network = layer.feed_forward
        set_norm(layer_spec.ffn.layer_norm, layer.around_feed_forward.layer_norm)
        set_linear(layer_spec.ffn.linear_0, [(network.hidden_kernel, network.hidden_bias)])
        set_linear(layer_spec.ffn.linear_1, [(network.output_kernel, network.output_bias)])


def set_attention(spec, residual, asked, attention):
    """Fills in an attention; `asked` are its projections, grouped as CTranslate2 joins them."""
    set_norm(spec.layer_norm, residual.layer_norm)
    for linear, group in zip(spec.linear, (*asked, [attention.output_dense]), strict=True):
        set_linear(linear, [flat(projection) for projection in group])


def set_norm(spec, norm):
    spec.gamma, spec.beta = map(ops.convert_to_numpy, (norm.gamma, norm.beta))


def set_embedding(spec, embedding):
    spec.weight = ops.convert_to_numpy(embedding.embeddings)


def set_linear(spec, maps):
    """Stores maps `(kernel (in, out), bias (out,))` of one input, one after the other."""
    kernels, biases = zip(*maps, strict=True)
    spec.weight = np.concatenate([ops.convert_to_numpy(kernel).T for kernel in kernels])
    spec.bias = np.concatenate([ops.convert_to_numpy(bias) for bias in biases])


def split(tokenizer, texts, path):
    """Returns the pieces of texts after a sentencepiece model; asserts that its ids are ours."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    assert model.encode(texts) == tokenizer.encode(texts).to_list(), f"{path}: other ids"
    return model.encode(texts, out_type=str)


def check(translator, folder):
    """Asserts that CTranslate2 tokenizes, scores and translates as a greedy `Translator` does."""
    rng = np.random.default_rng(0)
    source, target = translator.source_tokenizer, translator.target_tokenizer
    sources, targets = random_texts(source, rng), random_texts(target, rng)
    source_pieces = split(source, sources, folder / "source.model")
    target_pieces = split(target, targets, folder / "target.model")
    theirs = ctranslate2.Translator(str(folder), compute_type="float32")

    scores = [sum(r.log_probs) for r in theirs.score_batch(source_pieces, target_pieces)]
    ours = translator.score(sources, targets)["log_probability"].numpy()
    difference = np.abs(scores - ours).max()
    assert difference < 1e-3, f"log-probabilities differ by up to {difference:.2g} nats"

    results = theirs.translate_batch(
        source_pieces,
        beam_size=1,
        max_decoding_length=translator.settings.length_offset - 1,  # END does not count
        min_decoding_length=0,
        suppress_sequences=[[SPECIAL_TOKENS[PAD]], [SPECIAL_TOKENS[START]]],
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "target.model"))
    written = model.decode([result.hypotheses[0] for result in results])
    expected = [text.decode() for text in translator.translate(sources)["text"].numpy()]
    assert written == expected, f"greedy translations differ: {written} and {expected}"
    print(f"checked: log-probabilities differ by up to {difference:.1e} nats, greedy search agrees")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", required=True, help="folder of a run of pipelines.translation")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    options = parser.parse_args()

    model, source, target = read_run(options.run)
    converter = Converter(model, list(source.vocabulary), list(target.vocabulary))
    converter.convert(str(options.output))
    write_sentencepiece(source, options.output / "source.model")
    write_sentencepiece(target, options.output / "target.model")
    greedy = BeamSettings(beam_size=1, n_best=1, length_factor=0.0, length_offset=21)
    check(Translator([decoding_parts(model)], source, target, greedy), options.output)


if __name__ == "__main__":
    main()
