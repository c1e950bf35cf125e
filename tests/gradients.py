"""Values and gradients on every backend, as NumPy arrays."""

import keras
from keras import tree


def value_and_gradients(function, inputs, variables=()):
    """Returns `(value, input gradients, variable gradients)` of a scalar function.

    Args:
        function: Function of `inputs` that returns a scalar and may read `variables`.
        inputs: List of float arrays.
        variables: List of `keras.Variable`.

    Returns:
        The value as float, and two lists of arrays; zeros where nothing depends on an input.
    """
    inputs = [keras.ops.convert_to_tensor(x) for x in inputs]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        result = _tensorflow(function, inputs, list(variables))
    elif backend == "jax":
        result = _jax(function, inputs, list(variables))
    else:
        raise NotImplementedError(f"no gradients on the {backend} backend")
    return tree.map_structure(keras.ops.convert_to_numpy, result)


def _tensorflow(function, inputs, variables):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(*inputs)
    gradients = tape.gradient(
        value,
        (inputs, [v.value for v in variables]),
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    return (value, *gradients)


def _jax(function, inputs, variables):
    import jax

    def pure(inputs, values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*inputs)

    values = [v.value for v in variables]
    # Compiled as a whole: one by one, every loop in it would be.
    value, gradients = jax.jit(jax.value_and_grad(pure, argnums=(0, 1)))(inputs, values)
    return (value, *gradients)
