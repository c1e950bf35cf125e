"""A model of sets as an export has it: raw numbers in, raw numbers out."""

import tensorflow as tf

from seqkeras.serving.raw_sequences import cleaned
from seqkeras.serving.rest import DEFAULT_SIGNATURE


class SetRegressor(tf.Module):
    """Sets in, numbers out.

    Args:
        model: `keras.Model`, `{"elements", "length"}` to `(B, 1, K)`; `set_transformer` builds
            such.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def regress(self, elements, length):
        """Answers sets.

        Args:
            elements: Float tensor `(B, T, D)`, in any order. What lies behind a set's length is not
                looked at.
            length: Integer tensor `(B,)`, the real elements of each.

        Returns:
            `{"answer": (B,) float32, "answers": (B, K) float32}`; the answer is the first of the K.

        Raises:
            tf.errors.InvalidArgumentError: an element within the length of its set is NaN or
                infinite: an answer to it would mean nothing.
        """
        elements, length = cleaned(elements, length, "set")
        answers = self.model({"elements": elements, "length": length}, training=False)[:, 0]
        return {"answer": answers[:, 0], "answers": answers}

    def signatures(self):
        """Returns `{"serving_default": tf.function}`, with the inputs `elements` and `length`."""
        features = self.model.input["elements"].shape[-1]
        specs = [
            tf.TensorSpec([None, None, features], tf.float32, name="elements"),
            tf.TensorSpec([None], tf.int32, name="length"),
        ]
        function = tf.function(self.regress, input_signature=specs, autograph=False)
        return {DEFAULT_SIGNATURE: function}
