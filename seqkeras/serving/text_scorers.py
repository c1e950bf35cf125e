"""A language model as an export has it: raw strings in, the log-probability of every token out.

    tokens              string (B, T)    each text's tokens, "</s>" behind the last, then ""
    log_probabilities   float32 (B, T)   of each token given those before it, in nats; 0 behind END
    length              int32 (B,)       how many tokens a text has, END included
    log_probability     float32 (B,)     of the whole text: their sum
    perplexity          float32 (B,)     exp(-log_probability / length)

Every text stands for itself: what came before it is only END, the end of another text.
"""

import tensorflow as tf

from seqkeras.constants import END, PAD
from seqkeras.ops.crossentropy import masked_crossentropy
from seqkeras.serving.rest import DEFAULT_SIGNATURE


class TextScorer(tf.Module):
    """Scores texts with a language model; the tokenizer is part of the graph.

    Args:
        model: `keras.Model`, tokens `(B, T)` to logits `(B, T, V)`, of any batch size;
            `language_model` builds such.
        tokenizer: `Tokenizer`.

    Raises:
        ValueError: if the tokenizer's vocabulary is not of size V, or the model has a batch size,
            because it carries states.
    """

    def __init__(self, model, tokenizer):
        super().__init__()
        check_tokenizer(model, tokenizer)
        if model.input_shape[0] is not None:
            raise ValueError(
                f"expected a model of any batch size, got one of {model.input_shape[0]} carried "
                "streams. Take the model that `carry_states` was given."
            )
        self.model = model
        self.tokenizer = tokenizer

    def score(self, text):
        """Scores strings `(B,)`; returns the outputs of the module's docstring."""
        ids = self.tokenizer.encode(text)
        ends = tf.fill([tf.shape(text)[0], 1], END)
        length = tf.cast(ids.row_lengths(), tf.int32) + 1
        target = tf.concat([ids, ends], axis=1).to_tensor(PAD)
        inputs = tf.concat([ends, ids], axis=1).to_tensor(PAD)
        real = tf.sequence_mask(length)
        logits = self.model(inputs, training=False)
        log_probabilities = -masked_crossentropy(target, logits, real)
        total = tf.reduce_sum(log_probabilities, axis=1)
        return {
            "tokens": tf.where(real, self.tokenizer.pieces(target), ""),
            "log_probabilities": log_probabilities,
            "length": length,
            "log_probability": total,
            "perplexity": tf.exp(-total / tf.cast(length, tf.float32)),
        }

    def signatures(self):
        """Returns `{"serving_default": tf.function}`, with the input `text`."""
        specs = [tf.TensorSpec([None], tf.string, name="text")]
        function = tf.function(self.score, input_signature=specs, autograph=False)
        return {DEFAULT_SIGNATURE: function}


def check_tokenizer(model, tokenizer):
    """Raises ValueError unless the tokenizer has as many tokens as the model's output."""
    if model.output_shape[-1] != tokenizer.vocabulary_size:
        raise ValueError(
            f"expected a tokenizer of {model.output_shape[-1]} tokens, as the model's output "
            f"has, got {tokenizer.vocabulary_size}"
        )
