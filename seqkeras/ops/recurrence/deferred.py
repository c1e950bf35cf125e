"""A `StepKernel` out of any step that makes its products by `dot`. TensorFlow.

Forwards the products y = x U are saved. Backwards the rest of the step, which is elementwise, is
computed anew and differentiated by the backend, with the saved y in the place of the products: so
in a graph no product is computed twice, and the gradients of the weights wait until after the loop.
"""

import tensorflow as tf
from keras import tree

from seqkeras.ops.recurrence.kernel import BEFORE, SAVED, Product, Pullback, StepKernel


def derive_kernel(advance, inputs, states, weights):
    """Returns the kernel of a cell's step, or None if its output is not its first state.

    None also if the step reads a trainable variable that is not in `weights`, which would get no
    gradient.

    Args:
        advance: Function `(z_t, states, weights, dot) -> (output, states)`, which calls
            `dot(x, weight)` at most once for a weight.
        inputs: Structure of tensors `(T, B, ...)`, of which advance gets `(B, ...)` as z_t.
        states: List of tensors.
        weights: Dict of tensors.
    """
    blank = tree.map_structure(lambda x: tf.zeros(tf.shape(x)[1:], x.dtype), inputs)
    weights = {name: tf.convert_to_tensor(weight) for name, weight in weights.items()}
    products = _Products(weights)
    with tf.GradientTape() as tape:
        output, new = advance(blank, states, weights, products.dot)
    if output is not new[0] or tape.watched_variables():
        return None
    return DeferredKernel(advance, inputs, _left_sides(products.made, states), weights)


def _left_sides(made, states):
    """Returns the `Product` of each `(name, x, y)`; of `forward`'s saved list x precedes y."""
    found, saved = {}, 0
    for name, x, _ in made:
        own = [k for k, state in enumerate(states) if state is x]
        found[name] = Product(BEFORE, own[0]) if own else Product(SAVED, saved)
        saved += 1 if own else 2
    return found


class DeferredKernel(StepKernel):
    """Both directions of a cell's step, by differentiation; see `derive_kernel`."""

    reads_inputs = True

    def __init__(self, advance, inputs, products, weights):
        self.structure, self.products = inputs, products
        self.sums = tuple(name for name in weights if name not in products)
        self.advance = advance

    def _run(self, z_t, states, weights, dot):
        _, new = self.advance(tree.pack_sequence_as(self.structure, z_t), states, weights, dot)
        return list(new)

    def forward(self, z_t, states, weights):
        products = _Products(weights)
        new = self._run(z_t, states, weights, products.dot)
        saved = []
        for name, x, y in products.made:
            saved += [y] if self.products[name].place == BEFORE else [x, y]
        return new, saved

    def backward(self, z_t, states, saved, gradients, weights, transposed):
        made, saved = {}, iter(saved)
        for name, product in self.products.items():
            if product.place == SAVED:
                next(saved)  # x
            made[name] = next(saved)
        replay = _Replay(weights, transposed, made)
        others = [weights[name] for name in self.sums]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([z_t, states, others])
            new = self._run(z_t, states, weights, replay.dot)
        by_inputs, by_states, by_others = tape.gradient(
            new,
            (z_t, states, others),
            output_gradients=gradients,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        sums = dict(zip(self.sums, by_others, strict=True))
        return Pullback(list(by_inputs), list(by_states), replay.by_products, sums)


def _name_of(weight, weights):
    for name, known in weights.items():
        if known is weight:
            return name
    raise ValueError(
        f"dot: expected one of the loop's weights, {sorted(weights)}, got another tensor of shape "
        f"{tuple(weight.shape)}. Slice or transpose a weight in loop_weights()."
    )


class _Products:
    """Products as they are, noted as `(name, x, y)`."""

    def __init__(self, weights):
        self.weights, self.made = weights, []

    def dot(self, x, weight):
        y = tf.matmul(x, weight)
        name = _name_of(weight, self.weights)
        if any(name == other for other, _, _ in self.made):
            raise ValueError(
                f"dot: expected one product with {name!r} in a step, got a second one."
            )
        self.made.append((name, x, y))
        return y


class _Replay:
    """Products out of what was saved; their gradients are noted instead of those of the weights."""

    def __init__(self, weights, transposed, made):
        self.weights, self.transposed, self.made = weights, transposed, made
        self.by_products = {}

    def dot(self, x, weight):
        name = _name_of(weight, self.weights)

        @tf.custom_gradient
        def product(x, _):
            def gradient(by_y):
                by_x, by_weight = tf.matmul(by_y, self.transposed[name]), None
                if name in self.by_products:  # a second derivative, which needs dL/dU here and now
                    by_weight = tf.matmul(x, by_y, transpose_a=True)
                else:
                    self.by_products[name] = by_y
                return by_x, by_weight

            return tf.identity(self.made[name]), gradient

        return product(x, weight)
