"""The loop that runs a `StepKernel` over time, and the loop that runs it back. TensorFlow."""

import copy

import tensorflow as tf
from tensorflow.python.saved_model import save_context

from seqkeras.ops.recurrence.kernel import BEFORE


def recurrence(kernel, inputs, states, weights, mask=None, reverse=False):
    """Runs a kernel over time.

    Args:
        kernel: A `StepKernel`.
        inputs: List of time-major tensors z `(T, B, ...)`, T >= 1.
        states: List of tensors `(B, H)`, the states before the first step.
        weights: Dict of tensors.
        mask: Boolean tensor `(T, B)`, True = real, or None. A masked step keeps the states.
        reverse: If True, steps run from T-1 to 0.

    Returns:
        `(outputs (T, B, H), states)`: the first state after each step, in the order of processing,
        and the last states. Gradients reach `inputs`, `states` and `weights`.
    """
    names = list(weights)
    ends = (len(inputs), len(inputs) + len(states))

    @tf.custom_gradient
    def run(*tensors):
        named = dict(zip(names, tensors[ends[1] :], strict=True))
        first = list(tensors[ends[0] : ends[1]])
        loop = _Loop(kernel, tensors[: ends[0]], named, mask, reverse)
        outputs, last = loop.forwards(first)

        def gradient(by_outputs, *by_last):
            if save_context.in_save_context():
                # A SavedModel cannot hold the arrays that the loop kept: its gradient runs forwards
                # once more.
                loop.forwards(first)
            back = loop.in_this_graph()
            by_inputs, by_states, by_weights = back.backwards(by_outputs, list(by_last))
            return (*by_inputs, *by_states, *(by_weights[name] for name in names))

        return (outputs, *last), gradient

    # Of a variable the value: `custom_gradient` does not take variables.
    tensors = [tf.convert_to_tensor(x) for x in (*inputs, *states, *weights.values())]
    outputs, *last = run(*tensors)
    return outputs, last


class _Loop:
    """One run of a kernel. What the forward loop keeps is for the backward loop.

    Arrays are written at a step's place in time, also if time runs backwards, so that what is
    multiplied after the loop is in one order; only the outputs are in the order of processing.
    """

    def __init__(self, kernel, inputs, weights, mask, reverse):
        self.kernel, self.inputs, self.weights, self.reverse = kernel, inputs, weights, reverse
        self.mask = None if mask is None else mask[:, :, None]  # (T, B, 1)
        self.eager = tf.executing_eagerly()
        self.length = inputs[0].shape[0] or tf.shape(inputs[0])[0]

    def forwards(self, states):
        """Returns `(outputs, last states)`."""
        blank = [tf.zeros(tf.shape(x)[1:], x.dtype) for x in self.inputs]
        _, kept = self.kernel.forward(blank, states, self.weights)  # for shapes: a graph prunes it

        def body(t, states, outputs, arrays):
            place = self._place(t)
            new, kept = self.kernel.forward(self._inputs_at(place), states, self.weights)
            if self.mask is not None:
                new = _choose(self.mask[place], new, states)
            arrays = _write(arrays, place, [*states, *kept])
            return t + 1, new, outputs.write(t, new[0]), arrays

        arrays = self._arrays([*states, *kept])
        outputs = self._arrays(states[:1])[0]
        _, last, outputs, arrays = self._run(body, (states, outputs, arrays))
        self.before, self.saved = arrays[: len(states)], arrays[len(states) :]
        return self._stack(outputs), last

    def in_this_graph(self):
        """Returns the loop to run back; `tape.jacobian` runs an eager one back in a graph."""
        if not self.eager or tf.executing_eagerly():
            return self
        twin = copy.copy(self)
        stacks = [array.stack() for array in (*self.before, *self.saved)]
        arrays = self._arrays([x[0] for x in stacks])
        arrays = [array.unstack(x) for array, x in zip(arrays, stacks, strict=True)]
        twin.before, twin.saved = arrays[: len(self.before)], arrays[len(self.before) :]
        return twin

    def backwards(self, by_outputs, by_states):
        """Returns the gradients by the inputs, by the first states and by the weights (a dict)."""
        kernel = self.kernel
        transposed = {
            name: tf.transpose(self.weights[name])
            for name, product in kernel.products.items()
            if product.place
        }
        own = [name for name, product in kernel.products.items() if product.by_input is None]

        def body(step, by_states, sums, by_inputs, by_products):
            t = self.length - 1 - step
            place = self._place(t)
            by_states = [by_states[0] + by_outputs[t], *by_states[1:]]
            if self.mask is not None:
                real, nothing = self.mask[place], [tf.zeros_like(g) for g in by_states]
                passed_on = _choose(real, nothing, by_states)
                by_states = _choose(real, by_states, nothing)
            pulled = kernel.backward(
                self._inputs_at(place) if kernel.reads_inputs else None,
                [array.read(place) for array in self.before],
                [array.read(place) for array in self.saved],
                by_states,
                self.weights,
                transposed,
            )
            by_states = pulled.states
            if self.mask is not None:
                by_states = [a + b for a, b in zip(by_states, passed_on, strict=True)]
            sums = {name: total + pulled.sums[name] for name, total in sums.items()}
            by_inputs = _write(by_inputs, place, pulled.inputs)
            by_products = _write(by_products, place, [pulled.products[name] for name in own])
            return step + 1, by_states, sums, by_inputs, by_products

        sums = {name: tf.zeros_like(self.weights[name]) for name in kernel.sums}
        by_inputs = self._arrays([x[0] for x in self.inputs])
        by_products = self._arrays([self._like_product(name) for name in own])
        _, by_states, sums, by_inputs, by_products = self._run(
            body, (by_states, sums, by_inputs, by_products)
        )
        by_inputs = [self._stack(array) for array in by_inputs]
        by_products = dict(zip(own, map(self._stack, by_products), strict=True))
        for name, product in kernel.products.items():
            by_y = by_products[name] if name in by_products else by_inputs[product.by_input]
            sums[name] = self._by_weight(product, by_y)
        return by_inputs, by_states, sums

    def _by_weight(self, product, by_y):
        """sum_t x_t^T dL/dy_t, as one matmul."""
        by_y = tf.reshape(by_y, [-1, by_y.shape[-1]])  # (T * B, N)
        if product.place is None:
            # A column sum by matmul: `reduce_sum` takes five times as long.
            return tf.matmul(tf.ones([1, tf.shape(by_y)[0]], by_y.dtype), by_y)[0]
        x = self._stack((self.before if product.place == BEFORE else self.saved)[product.index])
        return tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), by_y, transpose_a=True)

    def _like_product(self, name):
        batch = self.before[0].element_shape[0]
        return tf.TensorSpec([batch, self.weights[name].shape[-1]], self.weights[name].dtype)

    def _inputs_at(self, place):
        return [x[place] for x in self.inputs]

    def _place(self, t):
        return self.length - 1 - t if self.reverse else t

    def _arrays(self, like):
        return [
            tf.TensorArray(x.dtype, size=self.length, element_shape=x.shape, clear_after_read=False)
            for x in like
        ]

    def _stack(self, array):
        stacked = array.stack()
        stacked.set_shape([self.inputs[0].shape[0], *stacked.shape[1:]])
        return stacked

    def _run(self, body, variables):
        return tf.while_loop(
            lambda t, *_: t < self.length, body, (0, *variables), maximum_iterations=self.length
        )


def _choose(mask, new, old):
    return [tf.where(mask, n, o) for n, o in zip(new, old, strict=True)]


def _write(arrays, place, tensors):
    return [array.write(place, x) for array, x in zip(arrays, tensors, strict=True)]
