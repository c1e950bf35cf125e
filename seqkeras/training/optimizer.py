"""What stands between the raw gradients and the optimizer's update.

    g     = sum_i n_i g_i / sum_i n_i      over k batches, n_i their weights (target tokens)
    ||g|| = sqrt(sum of squares over all variables)
    g'    = g min(1, gamma / ||g||)        clipping; Pascanu et al. 2013 (arXiv:1211.5063), alg. 1

g_i is the gradient of batch i's mean loss per token, so g is the gradient of the mean over the
tokens of all k batches: what one batch of all of them would have given.

If ||g|| is not finite the update is skipped: weights, moments and the number of updates stay as
they were, the accumulated gradients are dropped, and `non_finite_steps` goes up by one.
"""

import keras
from keras import ops

from seqkeras.ops.updates import add_scaled, global_norm, to_dense


@keras.saving.register_keras_serializable(package="seqkeras")
class GuardedOptimizer(keras.optimizers.Optimizer):
    """Wraps an optimizer: accumulates, measures, clips, and keeps NaN away from the weights.

    `iterations` and the learning-rate schedule are the inner optimizer's: they count updates, not
    batches. For float16, Keras' `LossScaleOptimizer` goes outside (`compile` puts it there).

    Variables to read: `gradient_norm`, ||g|| before clipping of the latest update;
    `non_finite_steps`, the number of updates skipped so far. The first k - 1 of k batches change
    neither. TensorFlow only, as the update depends on a condition on the gradients.

    Args:
        inner_optimizer: The `keras.optimizers.Optimizer` that makes the update.
        clip_norm: float or None, gamma: the largest ||g|| let through.
        accumulate_steps: int, k: batches per update.
        batch_weight: Scalar `keras.Variable` with the weight n of the batch whose gradients come,
            for example `TokenCrossentropy().token_count`; None: all batches weigh the same. It is
            not part of the config: a reloaded optimizer gets it from `weigh_batches_by`.
        name: str.

    Example:

    >>> from seqkeras.training.adam import Adam
    >>> from seqkeras.training.losses import TokenCrossentropy
    >>> loss = TokenCrossentropy()
    >>> optimizer = GuardedOptimizer(
    ...     Adam(1e-3), clip_norm=1.0, accumulate_steps=4, batch_weight=loss.token_count
    ... )
    """

    def __init__(
        self,
        inner_optimizer,
        clip_norm=None,
        accumulate_steps=1,
        batch_weight=None,
        name="guarded",
    ):
        super().__init__(learning_rate=0.0, name=name)
        _check(inner_optimizer, clip_norm, accumulate_steps)
        self.inner_optimizer = inner_optimizer
        self.clip_norm = clip_norm
        self.accumulate_steps = accumulate_steps
        self._weighted = batch_weight is not None
        self.weigh_batches_by(batch_weight)

    def weigh_batches_by(self, batch_weight):
        """Sets `batch_weight`; for an optimizer that was loaded with its model."""
        # A closure: as an attribute it would be tracked and saved as the optimizer's own variable.
        self._batch_weight = lambda: batch_weight

    def build(self, variables):
        if self.built:
            return
        self.inner_optimizer.build(variables)
        super().build(variables)
        self.gradient_norm = self.add_variable((), name="gradient_norm")
        self.non_finite_steps = self.add_variable((), dtype="int", name="non_finite_steps")
        if self.accumulate_steps > 1:
            self.accumulated_batches = self.add_variable((), dtype="int", name="batches")
            self.accumulated_weight = self.add_variable((), name="weight")
            self.accumulators = self.add_optimizer_variables(variables, "accumulated")

    @property
    def variables(self):
        return super().variables + self.inner_optimizer.variables

    def apply(self, grads, trainable_variables=None):
        variables = list(trainable_variables or self._trainable_variables)
        self.build(variables)
        if self.accumulate_steps == 1:
            gradients = [to_dense(g, v) for g, v in zip(grads, variables, strict=True)]
            self._update(gradients, variables, 1.0)
            return
        weight = self._current_weight()
        for gradient, variable in zip(grads, variables, strict=True):
            if gradient is not None:
                add_scaled(self.accumulators[self._get_variable_index(variable)], gradient, weight)
        self.accumulated_weight.assign_add(weight)
        self.accumulated_batches.assign_add(1)
        ops.cond(
            ops.equal(self.accumulated_batches, self.accumulate_steps),
            lambda: self._update_from_accumulators(grads, variables),
            lambda: None,
        )

    def _current_weight(self):
        batch_weight = self._batch_weight()
        if batch_weight is not None:
            return ops.cast(batch_weight, "float32")
        if self._weighted:
            raise ValueError(
                "This GuardedOptimizer weighed its batches before it was saved, and a variable is "
                "not saved with the config. Call `optimizer.weigh_batches_by(loss.token_count)` "
                "with the loss that the model is compiled with, before `fit`."
            )
        return ops.ones(())

    def _update_from_accumulators(self, grads, variables):
        sums = [
            None if g is None else self.accumulators[self._get_variable_index(v)].value
            for g, v in zip(grads, variables, strict=True)
        ]
        self._update(sums, variables, ops.maximum(self.accumulated_weight, 1e-30))
        for accumulator in self.accumulators:
            accumulator.assign(ops.zeros_like(accumulator))
        self.accumulated_weight.assign(0.0)
        self.accumulated_batches.assign(0)

    def _update(self, sums, variables, divisor):
        """Clips sums / divisor to `clip_norm` and hands it to the inner optimizer."""
        norm = global_norm([s for s in sums if s is not None]) / divisor
        self.gradient_norm.assign(norm)
        factor = 1.0 / divisor
        if self.clip_norm is not None:
            factor = factor * (self.clip_norm / ops.maximum(norm, self.clip_norm))
        unchanged = self.clip_norm is None and self.accumulate_steps == 1

        def scale(s):
            if s is None:
                return None  # the inner optimizer names the variables without a gradient
            # TensorFlow wants tensors of the branch; stop_gradient makes one without a copy.
            return ops.stop_gradient(s) if unchanged else s * ops.cast(factor, s.dtype)

        def update():
            self.inner_optimizer.apply([scale(s) for s in sums], variables)

        def skip():
            self.non_finite_steps.assign_add(1)

        ops.cond(ops.isfinite(norm), update, skip)

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        raise NotImplementedError(
            "GuardedOptimizer runs on the TensorFlow backend only. "
            "Set KERAS_BACKEND=tensorflow, or compile the model with the inner optimizer."
        )

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        return {
            "name": self.name,
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "clip_norm": self.clip_norm,
            "accumulate_steps": self.accumulate_steps,
            "weighted": self._weighted,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        weighted = config.pop("weighted")
        config["inner_optimizer"] = keras.saving.deserialize_keras_object(
            config["inner_optimizer"], custom_objects=custom_objects
        )
        optimizer = cls(**config)
        optimizer._weighted = weighted
        return optimizer


def _check(inner, clip_norm, accumulate_steps):
    if isinstance(inner, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "LossScaleOptimizer must be outside, as clipping needs unscaled gradients: "
            "LossScaleOptimizer(GuardedOptimizer(inner))."
        )
    if inner.gradient_accumulation_steps or inner.global_clipnorm:
        raise ValueError(
            f"{type(inner).__name__} must not accumulate or clip by global norm itself; drop its "
            "gradient_accumulation_steps and global_clipnorm and use GuardedOptimizer's "
            "accumulate_steps and clip_norm."
        )
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm must be above 0, or None for no clipping; got {clip_norm}.")
    if accumulate_steps < 1:
        raise ValueError(f"accumulate_steps must be at least 1, got {accumulate_steps}.")


def find_guard(optimizer):
    """Returns the `GuardedOptimizer` in a chain of wrapped optimizers, or None."""
    while optimizer is not None and not isinstance(optimizer, GuardedOptimizer):
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return optimizer
