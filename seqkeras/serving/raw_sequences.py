"""Raw sequences of vectors, as requests hold them: padded by the client, cleaned by the graph."""

import numpy as np
import tensorflow as tf


def cleaned(values, length, what):
    """Returns `(values (B, T + 1, D), length)` without what lies behind the end of each sequence.

    Args:
        values: Float tensor `(B, T, D)`. What lies behind a sequence's length is not looked at.
        length: Integer tensor `(B,)`; taken as 0 below 0, and as T above T.
        what: str, the name of a sequence in the error.

    Raises:
        tf.errors.InvalidArgumentError: a value within the length of its sequence is NaN or
            infinite: an answer to it would mean nothing.
    """
    length = tf.clip_by_value(length, 0, tf.shape(values)[1])
    mask = tf.sequence_mask(length, tf.shape(values)[1])
    values = tf.where(mask[:, :, None], values, 0.0)
    values = tf.debugging.check_numerics(
        values, f"expected finite numbers within the length of each {what}"
    )
    return tf.pad(values, [[0, 0], [0, 1], [0, 0]]), length  # a step, also where all are empty


def padded(sequences):
    """Returns a list of arrays `(T, D)` as `(values (B, T, D), length (B,))`, zeros at the ends.

    Example:

    >>> import numpy as np
    >>> values, length = padded([np.ones((2, 1)), np.ones((1, 1))])
    >>> values[:, :, 0].tolist(), length.tolist()
    ([[1.0, 1.0], [1.0, 0.0]], [2, 1])
    """
    length = np.array([len(values) for values in sequences], np.int32)
    rows = tf.RaggedTensor.from_row_lengths(np.concatenate(sequences).astype(np.float32), length)
    return rows.to_tensor().numpy(), length
