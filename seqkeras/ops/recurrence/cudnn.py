"""The standard LSTM and GRU as one call of cuDNN, where TensorFlow has a GPU.

cuDNN's recurrence is that of `seqkeras.cells.lstm` and, with `reset_after`, `seqkeras.cells.gru`;
it has two biases for every gate, of which an LSTM here uses one, and orders the gates of a GRU
r, z, c. Its weights are one vector: W_1^T, ..., U_1^T, ..., b_1, ..., d_1, ..., gate by gate.

What it cannot do is left to the loop, by a condition in the graph: a mask that is more than padding
on the right, and rows of padding only.
"""

import keras

MODES = {"lstm": "lstm", "gru_reset_after": "gru"}  # from the kernels of `seqkeras.ops.recurrence`


def has_gpu():
    """Returns whether TensorFlow is the backend and has a GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def run(mode, inputs, states, weights, mask, reverse, otherwise):
    """Runs cuDNN, or what stands in for it where the mask asks for that.

    Args:
        mode: "lstm" or "gru".
        inputs: Float tensor `(T, B, D)`, zero where masked.
        states: List of float tensors `(B, H)`: `[h, c]` or `[h]`.
        weights: `(kernel (D, nH), recurrent kernel (H, nH), bias)`, the bias as the cells have it:
            `(4H,)` or `(2, 3H)`.
        mask: Boolean tensor `(T, B)`, True = real, or None.
        reverse: If True, steps run from T-1 to 0.
        otherwise: Function without arguments that returns the same for any mask.

    Returns:
        `(outputs (T, B, H), states)`, the outputs in the order of processing. A masked step repeats
        the last output, zero before the first real step.
    """
    import tensorflow as tf

    weights = [tf.convert_to_tensor(weight) for weight in weights]  # of a variable the value
    if mask is None:
        length, batch_size = tf.shape(inputs)[0], tf.shape(inputs)[1]
        lengths = tf.fill([batch_size], length)
        return _call(mode, inputs, states, weights, lengths, None, reverse)
    lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=0)  # (B,)
    padded_right = tf.transpose(tf.sequence_mask(lengths, tf.shape(mask)[0]))
    fits = tf.reduce_all(tf.equal(mask, padded_right)) & tf.reduce_all(lengths > 0)
    return tf.cond(
        fits, lambda: _call(mode, inputs, states, weights, lengths, mask, reverse), otherwise
    )


def _call(mode, inputs, states, weights, lengths, mask, reverse):
    import tensorflow as tf

    def turned(x):
        """Every row's real steps the other way round."""
        return tf.reverse_sequence(x, lengths, seq_axis=0, batch_axis=1) if reverse else x

    first = [state[None] for state in states]  # (layers, B, H)
    outputs, *last, _, _ = tf.raw_ops.CudnnRNNV3(
        input=turned(inputs),
        input_h=first[0],
        input_c=first[1] if mode == "lstm" else tf.zeros([], inputs.dtype),
        params=_parameters(mode, *weights),
        sequence_lengths=lengths,
        rnn_mode=mode,
    )
    last = [state[0] for state in last[: len(states)]]
    if reverse:
        # In the order of processing padding, which has zeros, comes first.
        outputs = tf.reverse(turned(outputs), [0])
    elif mask is not None:
        outputs = tf.where(mask[:, :, None], outputs, last[0])
    outputs.set_shape([*inputs.shape[:2], states[0].shape[-1]])
    return outputs, last


def _parameters(mode, kernel, recurrent_kernel, bias):
    """Returns cuDNN's vector of all weights."""
    import tensorflow as tf

    if mode == "lstm":
        order, bias = (0, 1, 2, 3), tf.stack([bias, tf.zeros_like(bias)])  # i, f, c, o
    else:
        order = (1, 0, 2)  # of z, r, c
    parts = [tf.transpose(matrix) for matrix in (kernel, recurrent_kernel)]
    parts += [bias[0], bias[1]]
    gates = [tf.split(part, len(order), axis=0) for part in parts]
    return tf.concat([tf.reshape(of[gate], [-1]) for of in gates for gate in order], axis=0)
