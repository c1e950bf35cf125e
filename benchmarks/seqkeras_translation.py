"""Our translation models as a worker: recurrent with attention, and the Transformer.

Runs in this project's environment and speaks `protocol.py`. Training is `model.fit` on text files;
decoding is what a client of the exported SavedModel gets, strings in and strings out.

The Transformer has the settings of the pipeline's preset multi30k-transformer, but for the subwords
that all libraries share.
"""

import keras
import tensorflow as tf

from fit_windows import TokenCount, fit_until_quit
from pipelines.translation_config import PRESETS as PIPELINES
from protocol import Channel, in_batches, worker_parser
from seqkeras.data.batching import TokenBatches
from seqkeras.data.examples import encode_pairs
from seqkeras.data.readers import read_parallel
from seqkeras.data.tokenizers import SubwordTokenizer
from seqkeras.models.attention_seq2seq import attention_seq2seq
from seqkeras.models.transformer import PRESETS, transformer
from seqkeras.models.with_targets import with_targets
from seqkeras.training.adam import Adam
from seqkeras.training.losses import TokenCrossentropy
from seqkeras.training.optimizer import GuardedOptimizer
from seqkeras.training.schedules import build_schedule

MAX_LENGTH = 100
PIPELINE = PIPELINES["multi30k-transformer"]
TOKENS_PER_BATCH = {
    "recurrent": 1_400,  # 1,230 real target tokens an update; Joey NMT's 80 sentences have 1,227
    "transformer": PIPELINE.data.tokens_per_batch,
}


def build_recurrent(vocabulary_size):
    """Returns the model with the sizes of Joey NMT's: 256 everywhere, untied, dropout 0.2."""
    model = attention_seq2seq(
        vocabulary_size, vocabulary_size, embedding_dim=256, units=256, dropout=0.2
    )
    return _compiled(model, GuardedOptimizer(Adam(1e-3), clip_norm=1.0), TokenCrossentropy())


def build_transformer(vocabulary_size):
    """Returns the tiny Transformer: pre-norm, one matrix for source, target and output."""
    settings = PIPELINE.training
    model = transformer(vocabulary_size, vocabulary_size, shared_embedding=True, **PRESETS["tiny"])
    model = with_targets(model, settings.label_smoothing)
    adam = Adam(
        build_schedule(settings.schedule, settings.learning_rate, settings.warmup_steps),
        beta_2=settings.beta_2,
    )
    optimizer = GuardedOptimizer(adam, clip_norm=settings.clip_norm)
    return _compiled(model, optimizer, TokenCrossentropy())


BUILDERS = {"recurrent": build_recurrent, "transformer": build_transformer}


def _compiled(model, optimizer, loss):
    model.compile(optimizer, loss, metrics=[TokenCount()])
    return model


def read_batches(data, subwords, model):
    """Returns the size of the vocabulary and the training batches of a model."""
    tokenizer = SubwordTokenizer.from_sentencepiece(subwords)
    pairs = read_parallel(data, "train", "en", "de")
    encoded, _ = encode_pairs(pairs, tokenizer, tokenizer, MAX_LENGTH)
    return tokenizer.vocabulary_size, TokenBatches(
        encoded, TOKENS_PER_BATCH[model], seed=42, feed_targets=model == "transformer"
    )


class Decoder:
    """Translates with exported SavedModels.

    Args:
        saved_models: Dict of folder by beam size.
        at_once: How many batches run side by side.
    """

    def __init__(self, saved_models, at_once):
        self._saved_models = saved_models
        self._at_once = at_once
        self._loaded = {}

    def __call__(self, beam, texts):
        if beam not in self._loaded:  # in the warm-up window
            self._loaded[beam] = tf.saved_model.load(self._saved_models[beam])
        translate = self._loaded[beam].signatures["serving_default"]
        (name,) = translate.structured_input_signature[1]

        def of_batch(batch):
            translations = translate(**{name: tf.constant(batch)})["text"].numpy()
            return [text.decode() for text in translations]

        return in_batches(of_batch, texts, self._at_once)


def main():
    parser = worker_parser(__doc__)
    parser.add_argument("--saved-model", action="append", default=[], help="BEAM=FOLDER")
    options = parser.parse_args()

    channel = Channel()
    keras.utils.set_random_seed(42)
    vocabulary_size, batches = read_batches(options.data, options.subwords, options.model)
    model = BUILDERS[options.model](vocabulary_size)
    model.summary()

    saved_models = dict(option.split("=", 1) for option in options.saved_model)
    saved_models = {int(beam): folder for beam, folder in saved_models.items()}
    decode = Decoder(saved_models, options.batches_at_once)
    fit_until_quit(channel, model, batches.dataset(), batches.steps_per_epoch, decode)


if __name__ == "__main__":
    main()
