"""Classifiers as an export has them: raw strings or raw series in, the names of labels out.

A classifier has one method, `classify`, and `signatures()` for `export_saved_model`. Outputs:

    label          string (B,)      the most probable class; of equal ones the first
    probability    float32 (B,)     its probability
    labels         string (B, C)    all classes, in the order of the next
    probabilities  float32 (B, C)
"""

import tensorflow as tf

from seqkeras.constants import END, PAD
from seqkeras.serving import raw_sequences
from seqkeras.serving.rest import DEFAULT_SIGNATURE


class Classifier(tf.Module):
    """What both kinds of classifier share: the model, and what its logits become.

    Args:
        model: `keras.Model`, `{"sequence", "length"}` to logits `(B, C)`; `sequence_classifier`
            builds such.
        labels: list of C str.
        max_length: int. Steps behind the first so many are not read, as in training.

    Raises:
        ValueError: if there are not C labels.
    """

    def __init__(self, model, labels, max_length):
        super().__init__()
        if model.output_shape[-1] != len(labels):
            raise ValueError(
                f"expected a label for each of the model's {model.output_shape[-1]} classes, got "
                f"{len(labels)}"
            )
        self.model = model
        self.labels = list(labels)
        self.max_length = max_length

    def _answer(self, sequence, length):
        sequence = sequence[:, : self.max_length]
        length = tf.minimum(length, self.max_length)
        logits = self.model({"sequence": sequence, "length": length}, training=False)
        probabilities = tf.nn.softmax(logits)
        names = tf.constant(self.labels)
        shape = [tf.shape(logits)[0], len(self.labels)]
        labels = tf.ensure_shape(tf.broadcast_to(names, shape), [None, len(self.labels)])
        return {
            "label": tf.gather(names, tf.argmax(probabilities, axis=1)),
            "probability": tf.reduce_max(probabilities, axis=1),
            "labels": labels,
            "probabilities": probabilities,
        }


class TextClassifier(Classifier):
    """Strings in, labels out; the tokenizer is part of the graph.

    Args:
        model, labels, max_length: see `Classifier`.
        tokenizer: `Tokenizer`.
    """

    def __init__(self, model, labels, max_length, tokenizer):
        super().__init__(model, labels, max_length)
        self.tokenizer = tokenizer

    def classify(self, text):
        """Classifies strings `(B,)`; returns the outputs of the module's docstring."""
        ids = self.tokenizer.encode(text)[:, : self.max_length - 1]
        ids = tf.concat([ids, tf.fill([tf.shape(text)[0], 1], END)], axis=1)
        return self._answer(ids.to_tensor(PAD), tf.cast(ids.row_lengths(), tf.int32))

    def signatures(self):
        """Returns `{"serving_default": tf.function}`, with the input `text`."""
        specs = [tf.TensorSpec([None], tf.string, name="text")]
        function = tf.function(self.classify, input_signature=specs, autograph=False)
        return {DEFAULT_SIGNATURE: function}


class SeriesClassifier(Classifier):
    """Time series in, labels out; values as they were measured.

    Args:
        model, labels, max_length: see `Classifier`.
    """

    def classify(self, series, length):
        """Classifies series.

        Args:
            series: Float tensor `(B, T, D)`. What lies behind a series' length is not looked at.
            length: Integer tensor `(B,)`, the real steps of each.

        Returns:
            The outputs of the module's docstring.

        Raises:
            tf.errors.InvalidArgumentError: a value within the length of its series is NaN or
                infinite: a label for it would mean nothing.
        """
        series, length = raw_sequences.cleaned(series, length, "series")
        return self._answer(series, length)

    def signatures(self):
        """Returns `{"serving_default": tf.function}`, with the inputs `series` and `length`."""
        channels = self.model.input["sequence"].shape[-1]
        specs = [
            tf.TensorSpec([None, None, channels], tf.float32, name="series"),
            tf.TensorSpec([None], tf.int32, name="length"),
        ]
        function = tf.function(self.classify, input_signature=specs, autograph=False)
        return {DEFAULT_SIGNATURE: function}


def padded(series):
    """Returns `{"series": (B, T, D), "length": (B,)}`, zeros behind the end of each, of a list.

    Example:

    >>> import numpy as np
    >>> batch = padded([np.ones((2, 1)), np.ones((1, 1))])
    >>> batch["series"][:, :, 0].tolist(), batch["length"].tolist()
    ([[1.0, 1.0], [1.0, 0.0]], [2, 1])
    """
    values, length = raw_sequences.padded(series)
    return {"series": values, "length": length}
