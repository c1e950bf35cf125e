"""Running a step function over time: the loop under every recurrent layer.

`keras.ops.scan` wants outputs shaped like the states and, on TensorFlow, copies the states through
arrays in every step; this loop carries them as they are.
"""

import keras
from keras import ops, tree


def scan(step, states, sequences, reverse=False, unroll=False, in_turn=False):
    """Applies `step` to every time step in turn.

    Args:
        step: Function `(x_t, states) -> (output_t, states)`. `x_t` has the structure of `sequences`
            without the time axis; outputs may be any structure of tensors.
        states: Structure of tensors, the states before the first step.
        sequences: Structure of time-major tensors `(T, B, ...)`, T >= 1.
        reverse: If True, steps run from T-1 to 0. Outputs are in the order of processing.
        unroll: If True, a Python loop over a static T instead of a loop in the graph.
        in_turn: If True, no step starts before the one before it has ended, as TensorFlow else may
            where a step does not wait for the states: the memory of one step instead of ten.

    Returns:
        `(outputs, states)`: the outputs stacked over time `(T, B, ...)`, and the last states.

    Raises:
        ValueError: if `unroll` is asked for and T is not known.
    """
    if unroll:
        return _unrolled(step, states, sequences, reverse)
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_loop(step, states, sequences, reverse, in_turn)
    return _jax_loop(step, states, sequences, reverse)


def masked_scan(step, states, sequences, mask, reverse=False, unroll=False, zero_output=False):
    """`scan` in which a masked step keeps the states and repeats the last output, at first zero.

    Args:
        step, states, sequences, reverse, unroll: as for `scan`; outputs and states are batch-major,
            `(B, ...)` of rank 2.
        mask: Boolean tensor `(T, B)`, True = real.
        zero_output: If True, the output of a masked step is zero.

    Returns:
        `(outputs, states)`, as `scan` does.
    """
    blank = tree.map_structure(lambda x: ops.zeros_like(x[0]), sequences)
    first_output, _ = step(blank, states)  # only its structure and shapes are used
    last_output = tree.map_structure(ops.zeros_like, first_output)

    def masked_step(x, carried):
        x_t, real = x
        old_states, old_output = carried
        output, new_states = step(x_t, old_states)

        def keep(new, old):
            return ops.where(real, new, old)

        states = tree.map_structure(keep, new_states, old_states)
        output = tree.map_structure(keep, output, old_output)
        emitted = output
        if zero_output:
            emitted = tree.map_structure(lambda y: keep(y, ops.zeros_like(y)), output)
        return emitted, (states, output)

    inputs = (sequences, ops.expand_dims(mask, -1))  # (T, B, 1)
    outputs, (states, _) = scan(masked_step, (states, last_output), inputs, reverse, unroll)
    return outputs, states


def _unrolled(step, states, sequences, reverse):
    length = tree.flatten(sequences)[0].shape[0]
    if length is None:
        raise ValueError(
            "Cannot unroll: expected a known number of time steps, got None. Give the Input a "
            "fixed length or use unroll=False."
        )
    outputs = []
    for t in reversed(range(length)) if reverse else range(length):
        output, states = step(tree.map_structure(lambda x, t=t: x[t], sequences), states)
        outputs.append(output)
    return tree.map_structure(lambda *steps: ops.stack(steps, axis=0), *outputs), states


def _jax_loop(step, states, sequences, reverse):
    import jax

    def body(carry, x_t):
        output, carry = step(x_t, carry)
        return carry, output

    states = tree.map_structure(ops.convert_to_tensor, states)
    states, outputs = jax.lax.scan(body, states, sequences, reverse=reverse)
    if reverse:  # lax puts the output of step t at t; ours are in the order of processing
        outputs = tree.map_structure(lambda y: ops.flip(y, axis=0), outputs)
    return outputs, states


def _tensorflow_loop(step, states, sequences, reverse, in_turn):
    import tensorflow as tf

    flat_sequences = [tf.convert_to_tensor(x) for x in tree.flatten(sequences)]
    static_length = flat_sequences[0].shape[0]
    length = tf.shape(flat_sequences[0])[0] if static_length is None else static_length
    inputs = [
        tf.TensorArray(x.dtype, size=length, element_shape=x.shape[1:]).unstack(x)
        for x in flat_sequences
    ]
    flat_states = [tf.convert_to_tensor(s) for s in tree.flatten(states)]

    # The structure and dtypes of the outputs are known only from a call. Nothing reads the values
    # of this one, so the graph is pruned of it.
    blank = [tf.zeros(tf.shape(x)[1:], x.dtype) for x in flat_sequences]
    first_output, _ = step(tree.pack_sequence_as(sequences, blank), states)
    outputs = [
        tf.TensorArray(y.dtype, size=length, element_shape=y.shape)
        for y in tree.flatten(first_output)
    ]

    def body(t, flat, outputs):
        t_read = length - 1 - t if reverse else t
        x_t = tree.pack_sequence_as(sequences, [array.read(t_read) for array in inputs])
        output, new_states = step(x_t, tree.pack_sequence_as(states, flat))
        outputs = [
            array.write(t, y) for array, y in zip(outputs, tree.flatten(output), strict=True)
        ]
        return t + 1, tree.flatten(new_states), outputs

    _, flat_states, outputs = tf.while_loop(
        lambda t, *_: t < length,
        body,
        (0, flat_states, outputs),
        parallel_iterations=1 if in_turn else 10,
        maximum_iterations=length,
    )
    stacked = [array.stack() for array in outputs]
    for y in stacked:
        y.set_shape([static_length, *y.shape[1:]])
    return tree.pack_sequence_as(first_output, stacked), tree.pack_sequence_as(states, flat_states)
