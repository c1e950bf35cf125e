"""Vector-Jacobian products on every backend.

    (x_1, ..., x_n) -> sum_m (dy_m / dx_i)^T v_m       for outputs y_1, y_2, ... = f(x_1, ..., x_n)

The one step of reverse-mode differentiation that what looks inside a model is made of. A Jacobian
is this with the rows of the identity for v.
"""

import keras


def vjp(function, inputs, cotangents, variables=()):
    """Pulls cotangents of a function's outputs back to its inputs and to variables that it reads.

    Args:
        function: Function of tensors `inputs` that returns a list of tensors.
        inputs: List of float tensors.
        cotangents: List of tensors v, one shaped like each output.
        variables: List of `keras.Variable` that the function reads.

    Returns:
        `(input gradients, variable gradients)`, two lists of tensors; zeros where no output depends
        on an input.
    """
    inputs = [keras.ops.convert_to_tensor(x) for x in inputs]
    backend = {"tensorflow": _tensorflow, "jax": _jax}.get(keras.backend.backend())
    if backend is None:
        raise NotImplementedError(
            f"vjp: expected the tensorflow or jax backend, got {keras.backend.backend()!r}."
        )
    return backend(function, inputs, list(cotangents), list(variables))


def _tensorflow(function, inputs, cotangents, variables):
    import tensorflow as tf

    values = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        tape.watch(values)
        outputs = function(*inputs)
    return tape.gradient(
        outputs,
        (inputs, values),
        output_gradients=cotangents,
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )


def _jax(function, inputs, cotangents, variables):
    import jax

    def pure(inputs, values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return list(function(*inputs))

    _, pull_back = jax.vjp(pure, inputs, [variable.value for variable in variables])
    return pull_back([keras.ops.convert_to_tensor(v) for v in cotangents])
