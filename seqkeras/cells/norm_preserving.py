"""What the cells share whose recurrent matrix keeps the norm of the state while it trains.

    h' = phi(x W + h Q(p)),   Q(p)' Q(p) = I for every p

The optimizer moves the free parameters p; Q is worked out from them once per sequence, before the
loop (`loop_weights`).
"""

from keras import ops

from seqkeras.cells.base import RecurrentCell


class NormPreservingCell(RecurrentCell):
    """A plain cell whose recurrent matrix is a function of free parameters.

    A subclass says how many parameters there are (`parameter_shape`), what matrix they make
    (`recurrent_matrix`) and what its modReLU is (`modrelu`).

    Q is worked out in the precision of the weights, and rounded to that of the computation: under
    mixed_bfloat16 it is orthogonal to three digits.

    Args:
        units: int > 0. Size of the state.
        activation: "modrelu", or any Keras activation, which then gets x W + h Q + b.
        use_bias: If False, there is no bias. With "modrelu" the bias is the b of modReLU, and
            without it modReLU is the identity.
        recurrent_initializer, recurrent_regularizer, recurrent_constraint: Of the parameters p.
        **options: see `RecurrentCell`.
    """

    def __init__(self, units, activation="modrelu", *args, **options):
        self.is_modrelu = activation == "modrelu"
        super().__init__(units, "linear" if self.is_modrelu else activation, *args, **options)

    @property
    def output_size(self):
        return self.state_size

    def bias_shape(self):
        return (self.units,) if self.is_modrelu else (self.output_size,)

    @property
    def parameter_shape(self):
        """Shape of p."""
        raise NotImplementedError(f"{type(self).__name__} must define parameter_shape.")

    def recurrent_matrix(self):
        """Returns Q `(H, H)`, which h multiplies from the left, in the precision of the weights."""
        raise NotImplementedError(f"{type(self).__name__} must define recurrent_matrix().")

    def modrelu(self, z, b):
        """Returns modReLU of z `(B, H)` with bias b."""
        raise NotImplementedError(f"{type(self).__name__} must define modrelu().")

    def build(self, input_shape):
        self.kernel = self._add("kernel", (input_shape[-1], self.output_size), "kernel")
        self.recurrent_parameters = self.add_weight(
            shape=self.parameter_shape,
            name="recurrent_parameters",
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
            autocast=False,  # an inverse or a Fourier transform in bfloat16 would be no rotation
        )
        self.bias = None
        if self.use_bias:
            self.bias = self._add("bias", self.bias_shape(), "bias", self.initial_bias)

    def add_input_bias(self, projected):
        return projected if self.is_modrelu else super().add_input_bias(projected)

    def loop_weights(self):
        weights = {"recurrent_kernel": ops.cast(self.recurrent_matrix(), self.compute_dtype)}
        if self.is_modrelu and self.use_bias:
            weights["modrelu_bias"] = ops.convert_to_tensor(self.bias)
        return weights

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        h = states[0] if noise is None else states[0] * noise
        h = z_t + dot(h, weights["recurrent_kernel"])
        if "modrelu_bias" in weights:
            h = self.modrelu(h, weights["modrelu_bias"])
        else:
            h = self.activation(h)
        return h, [h]

    def get_config(self):
        config = super().get_config()
        if self.is_modrelu:
            config["activation"] = "modrelu"
        return config
