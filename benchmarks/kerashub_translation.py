"""A Transformer of KerasHub's layers as a worker, made and used as its translation guide does.

Runs in an environment of its own (`requirements-kerashub.txt`) that finds seqkeras too, and speaks
`protocol.py`. What is timed is `model.fit`, with one of two kinds of batches:

    guide       64 pairs in the order of the file, both sides padded to 40 tokens or cut there
    seqkeras    those of `seqkeras_translation.py`, of pairs of like lengths

and `BeamSampler` over the whole model: as in the guide there is no cache, so every step runs
encoder and decoder on 40 positions of every hypothesis. Unlike in the guide the search is one
graph, as in `generate` of KerasHub's own models, and takes a batch.

The sizes are those of our Transformer, and as there a last norm follows the pre-norm layers. One
`TokenAndPositionEmbedding` serves source, target and, transposed, output; it does not scale, and
its positions are learned. One rate of dropout is for attention weights too. Padding is masked, as
the guide's text says. Adam is Keras', with our schedule and without clipping; so is the loss, which
knows no label smoothing for ids.
"""

import functools

import keras
import keras_hub
import tensorflow as tf

from fit_windows import TokenCount, fit_until_quit
from protocol import Channel, in_batches, worker_parser
from seqkeras.constants import END, PAD, START
from seqkeras.data.readers import read_parallel
from seqkeras.models.transformer import PRESETS
from seqkeras.training.schedules import build_schedule
from seqkeras_translation import MAX_LENGTH, PIPELINE, read_batches

LENGTH = 40  # of every sequence, in the guide
PAIRS_PER_BATCH = 64


def build_model(vocabulary_size):
    """Returns the compiled model: `{"source", "target_in"}`, as in our batches, to logits."""
    sizes = PRESETS["tiny"]
    options = {
        "intermediate_dim": sizes["hidden_units"],
        "num_heads": sizes["num_heads"],
        "dropout": sizes["dropout"],
        "normalize_first": True,
    }
    embed = keras_hub.layers.TokenAndPositionEmbedding(
        vocabulary_size, MAX_LENGTH, sizes["units"], mask_zero=True
    )
    source = keras.Input((None,), dtype="int32", name="source")
    target_in = keras.Input((None,), dtype="int32", name="target_in")
    x = keras.layers.Dropout(sizes["dropout"])(embed(source))
    for _ in range(sizes["layers"]):
        x = keras_hub.layers.TransformerEncoder(**options)(x)
    memory = keras.layers.LayerNormalization(epsilon=1e-5)(x)
    y = keras.layers.Dropout(sizes["dropout"])(embed(target_in))
    for _ in range(sizes["layers"]):
        y = keras_hub.layers.TransformerDecoder(**options)(y, memory)
    y = keras.layers.LayerNormalization(epsilon=1e-5)(y)
    logits = embed.token_embedding(y, reverse=True)
    model = keras.Model({"source": source, "target_in": target_in}, logits)

    settings = PIPELINE.training
    rate = build_schedule(settings.schedule, settings.learning_rate, settings.warmup_steps)
    model.compile(
        keras.optimizers.Adam(rate, beta_2=settings.beta_2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD),
        metrics=[TokenCount()],
    )
    return model


def guide_batches(data, tokenizer):
    """Returns the finite dataset of the guide, which it keeps in memory."""
    pack_source = keras_hub.layers.StartEndPacker(LENGTH, pad_value=PAD)
    pack_target = keras_hub.layers.StartEndPacker(
        LENGTH + 1, start_value=START, end_value=END, pad_value=PAD
    )

    def preprocess(source, target):
        target = pack_target(tokenizer(target))
        source = pack_source(tokenizer(source))
        return {"source": source, "target_in": target[:, :-1]}, target[:, 1:]

    sources, targets = map(list, zip(*read_parallel(data, "train", "en", "de"), strict=True))
    dataset = tf.data.Dataset.from_tensor_slices((sources, targets)).batch(PAIRS_PER_BATCH)
    dataset = dataset.map(preprocess, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.shuffle(2048).prefetch(16).cache()


def make_search(model, tokenizer, beam):
    """Returns the beam search as a graph, strings `(B,)` to strings `(B,)`."""
    sampler = keras_hub.samplers.BeamSampler(num_beams=beam)
    pack = keras_hub.layers.StartEndPacker(LENGTH, pad_value=PAD)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def search(texts):
        source = tf.repeat(pack(tokenizer(texts)), beam, axis=0)

        def next_logits(prompt, cache, index):
            inputs = {"source": source, "target_in": prompt}
            return model(inputs, training=False)[:, index - 1], None, cache

        start = tf.fill([tf.shape(texts)[0], 1], START)
        prompt = tf.pad(start, [[0, 0], [0, LENGTH - 1]], constant_values=PAD)
        tokens = sampler(next_logits, prompt, stop_token_ids=[END], index=1)[:, 1:]
        before_end = tf.cumsum(tf.cast(tokens == END, tf.int32), axis=1) == 0
        return tokenizer.detokenize(tf.ragged.boolean_mask(tokens, before_end))

    return search


def make_decoder(model, tokenizer):
    """Returns the function `(beam, texts) -> translations`."""
    search = functools.cache(lambda beam: make_search(model, tokenizer, beam))

    def decode(beam, texts):
        def of_batch(batch):
            return [text.decode() for text in search(beam)(tf.constant(batch)).numpy()]

        return in_batches(of_batch, texts)

    return decode


def main():
    parser = worker_parser(__doc__, models=("transformer",))
    parser.add_argument("--batches", choices=("guide", "seqkeras"), default="guide")
    options = parser.parse_args()

    channel = Channel()
    keras.utils.set_random_seed(42)
    tokenizer = keras_hub.tokenizers.SentencePieceTokenizer(str(options.subwords))
    model = build_model(tokenizer.vocabulary_size())
    model.summary()
    if options.weights:
        model.load_weights(options.weights)
    if options.batches == "guide":
        dataset, steps = guide_batches(options.data, tokenizer), None
    else:
        _, batches = read_batches(options.data, options.subwords, options.model)
        dataset, steps = batches.dataset(), batches.steps_per_epoch
    fit_until_quit(channel, model, dataset, steps, make_decoder(model, tokenizer))


if __name__ == "__main__":
    main()
