"""Adam, Kingma & Ba 2015 (arXiv:1412.6980), in one pass over the parameters."""

import keras

from seqkeras.ops.updates import HAS_FUSED_ADAM, fused_adam, to_dense


@keras.saving.register_keras_serializable(package="seqkeras")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with the update of each variable in one kernel.

    Same arguments, variables and values up to rounding. Keras writes the update as about ten
    elementwise operations, each of which reads and writes an array as large as the variable; for
    ten million parameters on a CPU that is a large part of a training step.
    Takes Keras' way for `amsgrad=True` and on backends other than TensorFlow.

    Rows of an embedding that occur several times in a batch get the gradient of their sum; Keras'
    second moment adds the squares of the occurrences instead.

    Raises:
        ValueError: At build, for variables in bfloat16: beta_2 = 0.999 rounds to 1 there, and
            Keras' Adam would not move them at all.
    """

    def build(self, var_list):
        for variable in var_list:
            if keras.backend.standardize_dtype(variable.dtype) == "bfloat16":
                raise ValueError(
                    f"Adam cannot update {variable.path!r} in bfloat16, which rounds beta_2 to 1. "
                    'Use the policy "mixed_bfloat16": it keeps the weights in float32.'
                )
        super().build(var_list)

    def update_step(self, gradient, variable, learning_rate):
        if self.amsgrad or not HAS_FUSED_ADAM:
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        fused_adam(
            variable,
            self._momentums[index],
            self._velocities[index],
            to_dense(gradient, variable),
            self.iterations + 1,
            learning_rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
        )
