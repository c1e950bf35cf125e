"""The loop that runs a `StepKernel` over time, and the loop that runs it back. TensorFlow.

A step is a chain of small operations, each of which waits for the one before it; what one core does
not finish in a few microseconds is cut up for all of them, and meeting again after every operation
costs more than the operation. So a batch is cut in two instead: both halves stand in the body of
one loop, they share nothing but the weights, and TensorFlow runs them side by side.

             step t, core 1      z_t[:B/2]  -> h U -> gates -> h' [:B/2]
             step t, core 2      z_t[B/2:]  -> h U -> gates -> h' [B/2:]
"""

import copy

import tensorflow as tf
from tensorflow.python.saved_model import save_context

from seqkeras.ops.recurrence import cudnn
from seqkeras.ops.recurrence.kernel import BEFORE
from seqkeras.ops.recurrence.side_by_side import runs_alone

# Of a half: the weights are read once for each half, and with fewer rows that costs more than a
# second core brings.
_FEWEST_ROWS = 16


def recurrence(kernel, inputs, states, weights, mask=None, reverse=False, halves=True):
    """Runs a kernel over time.

    Args:
        kernel: A `StepKernel`.
        inputs: List of time-major tensors z `(T, B, ...)`, T >= 1.
        states: List of tensors `(B, H)`, the states before the first step.
        weights: Dict of tensors.
        mask: Boolean tensor `(T, B)`, True = real, or None. A masked step keeps the states.
        reverse: If True, steps run from T-1 to 0.
        halves: If False, the kernel must get all rows of the batch at once.

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
        loop = _Loop(kernel, tensors[: ends[0]], named, mask, reverse, halves)
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

    Attributes:
        parts: The rows `(begin, end)` of each half of the batch, or `[None]` for all of it. Where
            the batch size is known only at run time, the first half of a small batch is empty.
        kept: For each part the arrays of the states before a step and of what its kernel saved.
        left_sides: Dict from the name of a weight U to x `(T, B, N)` of its product y = x U.
        other_sides: The products whose x is not the first state, which the outputs hold already.
    """

    def __init__(self, kernel, inputs, weights, mask, reverse, halves):
        self.kernel, self.inputs, self.weights, self.reverse = kernel, inputs, weights, reverse
        self.mask = None if mask is None else tf.convert_to_tensor(mask)[:, :, None]  # (T, B, 1)
        self.eager = tf.executing_eagerly()
        self.length = inputs[0].shape[0] or tf.shape(inputs[0])[0]
        self.batch_size = inputs[0].shape[1]
        worth_it = halves and runs_alone() and not self.eager
        self.parts = _halves(inputs[0]) if worth_it else [None]
        self.other_sides = {
            name: product
            for name, product in kernel.products.items()
            if product.place and (product.place, product.index) != (BEFORE, 0)
        }

    def forwards(self, states):
        """Returns `(outputs, last states)`."""
        parts = [[_rows(state, part) for state in states] for part in self.parts]
        _, kept, sides = self._step(self.length - 1, parts)  # for shapes: a graph is pruned of it

        def body(t, parts, firsts, kept, sides):
            place = self._place(t)
            new, made, x = self._step(place, parts)
            kept = [_write(arrays, place, of) for arrays, of in zip(kept, made, strict=True)]
            after = place if self.reverse else place + 1
            firsts = firsts.write(after, _join([states[0] for states in new]))
            return t + 1, new, firsts, kept, _write(sides, place, x)

        # The first state at T + 1 points in time: after every step, and before it.
        firsts = self._arrays(states[:1], self.length + 1)[0]
        firsts = firsts.write(self.length if self.reverse else 0, states[0])
        kept = [self._arrays(made) for made in kept]
        variables = (parts, firsts, kept, self._arrays(sides))
        _, parts, firsts, self.kept, sides = self._run(body, variables)
        firsts = firsts.stack()
        after, before = (firsts[:-1], firsts[1:]) if self.reverse else (firsts[1:], firsts[:-1])
        before = self._of_length(before)
        self.left_sides = {name: before for name, p in self.kernel.products.items() if p.place}
        self.left_sides |= dict(zip(self.other_sides, map(self._stack, sides), strict=True))
        outputs = self._of_length(tf.reverse(after, [0]) if self.reverse else after)
        return outputs, [_join(states) for states in zip(*parts, strict=True)]

    def _step(self, place, parts):
        """Returns new states and what is kept, for each part, and x of the `other_sides`."""
        new, kept, sides = [], [], []
        for part, states in zip(self.parts, parts, strict=True):
            z_t = [_at(x, place, part) for x in self.inputs]
            made, saved = self.kernel.forward(z_t, states, self.weights)
            if self.mask is not None:
                made = _choose(_at(self.mask, place, part), made, states)
            new.append(made)
            kept.append([*states, *saved])
            others = self.other_sides.values()
            sides.append([(states if p.place == BEFORE else saved)[p.index] for p in others])
        return new, kept, [_join(x) for x in zip(*sides, strict=True)]

    def in_this_graph(self):
        """Returns the loop to run back; `tape.jacobian` runs an eager one back in a graph."""
        if not self.eager or tf.executing_eagerly():
            return self
        twin = copy.copy(self)
        twin.kept = []
        for arrays in self.kept:
            stacks = [array.stack() for array in arrays]
            made = zip(self._arrays([x[0] for x in stacks]), stacks, strict=True)
            twin.kept.append([array.unstack(x) for array, x in made])
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

        def body(step, parts, sums, by_inputs, by_products):
            t = self.length - 1 - step
            place = self._place(t)
            pulled = [
                self._pull(place, part, kept, _at(by_outputs, t, part), by_states, transposed)
                for part, kept, by_states in zip(self.parts, self.kept, parts, strict=True)
            ]
            sums = {name: sum((p.sums[name] for p in pulled), sums[name]) for name in sums}
            joined = [_join(x) for x in zip(*(p.inputs for p in pulled), strict=True)]
            by_inputs = _write(by_inputs, place, joined)
            joined = [_join([p.products[name] for p in pulled]) for name in own]
            by_products = _write(by_products, place, joined)
            return step + 1, [p.states for p in pulled], sums, by_inputs, by_products

        parts = [[_rows(gradient, part) for gradient in by_states] for part in self.parts]
        sums = {name: tf.zeros_like(self.weights[name]) for name in kernel.sums}
        by_inputs = self._arrays([x[0] for x in self.inputs])
        by_products = self._arrays([self._like_product(name) for name in own])
        _, parts, sums, by_inputs, by_products = self._run(
            body, (parts, sums, by_inputs, by_products)
        )
        by_inputs = [self._stack(array) for array in by_inputs]
        by_products = dict(zip(own, map(self._stack, by_products), strict=True))
        for name, product in kernel.products.items():
            by_y = by_products[name] if name in by_products else by_inputs[product.by_input]
            sums[name] = self._by_weight(name, by_y)
        return by_inputs, [_join(states) for states in zip(*parts, strict=True)], sums

    def _pull(self, place, part, kept, by_output, by_states, transposed):
        """Returns the `Pullback` of a part's step at `place`."""
        by_states = [by_states[0] + by_output, *by_states[1:]]
        if self.mask is not None:
            real, nothing = _at(self.mask, place, part), [tf.zeros_like(g) for g in by_states]
            passed_on = _choose(real, nothing, by_states)
            by_states = _choose(real, by_states, nothing)
        kept = [array.read(place) for array in kept]
        pulled = self.kernel.backward(
            [_at(x, place, part) for x in self.inputs] if self.kernel.reads_inputs else None,
            kept[: len(by_states)],
            kept[len(by_states) :],
            by_states,
            self.weights,
            transposed,
        )
        if self.mask is not None:
            states = [a + b for a, b in zip(pulled.states, passed_on, strict=True)]
            pulled = pulled._replace(states=states)
        return pulled

    def _by_weight(self, name, by_y):
        """sum_t x_t^T dL/dy_t, as one matmul."""
        by_y = tf.reshape(by_y, [-1, by_y.shape[-1]])  # (T * B, N)
        if name not in self.left_sides:
            # A bias. A column sum by matmul: `reduce_sum` takes five times as long.
            return tf.matmul(tf.ones([1, tf.shape(by_y)[0]], by_y.dtype), by_y)[0]
        x = self.left_sides[name]
        return tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), by_y, transpose_a=True)

    def _like_product(self, name):
        weight = self.weights[name]
        return tf.TensorSpec([self.batch_size, weight.shape[-1]], weight.dtype)

    def _place(self, t):
        return self.length - 1 - t if self.reverse else t

    def _arrays(self, like, size=None):
        options = {"size": self.length if size is None else size, "clear_after_read": False}
        return [tf.TensorArray(x.dtype, element_shape=x.shape, **options) for x in like]

    def _stack(self, array):
        return self._of_length(array.stack())

    def _of_length(self, stacked):
        stacked.set_shape([self.inputs[0].shape[0], *stacked.shape[1:]])
        return stacked

    def _run(self, body, variables):
        return tf.while_loop(
            lambda t, *_: t < self.length, body, (0, *variables), maximum_iterations=self.length
        )


def _halves(inputs):
    """Returns the `parts` of a batch `(T, B, ...)`."""
    if cudnn.has_gpu():
        return [None]  # it wants few and large operations
    batch_size, fewest = inputs.shape[1], 2 * _FEWEST_ROWS
    if batch_size is None:
        batch_size = tf.shape(inputs)[1]
        half = tf.where(batch_size < fewest, 0, batch_size // 2)
    elif batch_size < fewest:
        return [None]
    else:
        half = batch_size // 2
    return [(0, half), (half, batch_size)]


def _rows(x, part):
    return x if part is None else x[part[0] : part[1]]


def _at(x, place, part):
    """Returns `(rows, ...)` of `(T, B, ...)`."""
    if part is None:
        return x[place]
    begin, end = part
    rows = x[place, begin:end]
    rows.set_shape([end - begin if isinstance(end, int) else None, *x.shape[2:]])
    return rows


def _join(parts):
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=0)


def _choose(mask, new, old):
    return [tf.where(mask, n, o) for n, o in zip(new, old, strict=True)]


def _write(arrays, place, tensors):
    return [array.write(place, x) for array, x in zip(arrays, tensors, strict=True)]
