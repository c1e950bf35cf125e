"""The linear maps of multi-head attention, from features to heads and back."""

import math

import keras
from keras import constraints, initializers, ops, regularizers

from seqkeras.ops.bias import add_bias


class HeadProjection(keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` on the last axes, as one product of two matrices.

    The weights are Keras' own, so that LoRA, quantisation and loading weights do what they do in
    Keras; only where neither is on the product is ours, with a cheaper gradient of the bias.

    Args:
        input_rank: int, the rank of the input.
        bound: int, how many of the input's last axes are summed over.
        output_shape: Tuple of ints, the axes that take their place.
        use_bias: If False, no bias.
        Others as in `EinsumDense`.
    """

    def __init__(self, input_rank, bound, output_shape, use_bias=True, **kwargs):
        letters = "abcdefghijklmnop"
        free = letters[: input_rank - bound]
        inner = letters[input_rank - bound : input_rank]
        outer = letters[input_rank : input_rank + len(output_shape)]
        super().__init__(
            f"{free}{inner},{inner}{outer}->{free}{outer}",
            output_shape=(*[None] * (len(free) - 1), *output_shape),
            bias_axes=outer if use_bias else None,
            **kwargs,
        )
        self.bound = bound

    def call(self, inputs, training=None):
        if self._is_keras_own:
            return super().call(inputs, training=training)
        free, outer = ops.shape(inputs)[: -self.bound], self.kernel.shape[self.bound :]
        inner = math.prod(self.kernel.shape[: self.bound])
        kernel = ops.reshape(self.kernel, (inner, math.prod(outer)))
        outputs = ops.matmul(ops.reshape(inputs, (-1, inner)), kernel)
        if self.bias is not None:
            outputs = add_bias(outputs, ops.reshape(self.bias, (-1,)))
        outputs = ops.reshape(outputs, (*free, *outer))
        return outputs if self.activation is None else self.activation(outputs)

    @property
    def _is_keras_own(self):
        """Whether LoRA or quantisation is on: then Keras' product runs."""
        return bool(self.lora_enabled or getattr(self, "quantization_mode", None))

    @property
    def is_plain(self):
        """Whether the outputs are the product and the bias alone, for which nothing else is due."""
        return (
            not self._is_keras_own
            and self.activation in (None, keras.activations.linear)
            and self.activity_regularizer is None
        )

    def quantize(self, mode=None, type_check=True, config=None):
        # Keras lets no subclass quantise, for it could compute something else. This one does not.
        super().quantize(mode, type_check=False, config=config)


def project_together(layers, inputs):
    """Returns what `HeadProjection`s of one bound axis make of inputs `(B, T, D)`, as one product.

    Returns:
        Their outputs with heads in front, `(B, N, T, d)`; None if they cannot be made together:
        layers that do more than a product, or that differ in the shape of their outputs.
    """
    shapes = {tuple(layer.kernel.shape) for layer in layers}
    if len(shapes) > 1 or not all(layer.is_plain for layer in layers):
        return None
    ((_, heads, size),) = shapes
    x = ops.cast(inputs, layers[0].compute_dtype)
    kernels = [ops.cast(ops.convert_to_tensor(layer.kernel), x.dtype) for layer in layers]
    kernel = ops.reshape(ops.stack(kernels, axis=1), (x.shape[-1], len(layers) * heads * size))
    outputs = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), kernel)
    if layers[0].bias is not None:
        biases = [ops.reshape(ops.convert_to_tensor(layer.bias), (-1,)) for layer in layers]
        outputs = add_bias(outputs, ops.cast(ops.concatenate(biases, axis=0), x.dtype))
    batch, length = ops.shape(x)[:2]
    outputs = ops.reshape(outputs, (batch, length, len(layers), heads, size))
    return ops.unstack(ops.transpose(outputs, (2, 0, 3, 1, 4)), len(layers), axis=0)


class Projections:
    """Makes the projections of a layer, which have their options in common.

    Losses of activities are the projections', not those of the layer that owns them.

    Args:
        kernel_initializer, bias_initializer, others: as in `keras.layers.EinsumDense`, see `names`.
    """

    names = (
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "activity_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )
    _modules = (*[initializers] * 2, *[regularizers] * 3, *[constraints] * 2)

    def __init__(self, kernel_initializer="glorot_uniform", bias_initializer="zeros", **others):
        given = {
            "kernel_initializer": kernel_initializer,
            "bias_initializer": bias_initializer,
            **others,
        }
        self._options = {
            name: module.get(given.get(name))
            for name, module in zip(self.names, self._modules, strict=True)
        }

    def build(self, name, shape, outputs, bound=1, **options):
        """Returns a built `HeadProjection` of inputs `(B, T, D)`, or of heads `(B, T, N, D)`.

        Args:
            name: str.
            shape: Shape of the inputs; of those of bound 1 only B and D count.
            outputs: Tuple of ints, the axes that take the place of D, or of N and D.
            bound: 1 or 2, how many axes are summed over.
            options: Further arguments of `HeadProjection`.
        """
        shape = shape if bound == 2 else (shape[0], None, shape[-1])
        layer = HeadProjection(len(shape), bound, outputs, name=name, **self._fresh(), **options)
        layer.build(shape)
        return layer

    def _fresh(self):
        """Returns the options with initializers of their own: used twice, one may repeat itself."""
        options = dict(self._options)
        for name in ("kernel_initializer", "bias_initializer"):
            options[name] = options[name].__class__.from_config(options[name].get_config())
        return options

    def get_config(self):
        pairs = zip(self._options.items(), self._modules, strict=True)
        return {name: module.serialize(option) for (name, option), module in pairs}
