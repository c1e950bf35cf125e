"""What every recurrent cell shares: its options, its weights, and its two halves.

A cell computes a_t = project(x_t) + R(h_{t-1}) and from it the next states. `project` does not
depend on the state, so `RNN` applies it to the whole sequence in one matmul, before the loop;
`step` is what remains for the loop. Whatever is random is drawn before the loop (`draw_noise`), so
`step` is deterministic.

`step` is `advance` with the cell's own weights. `advance` is a pure function: the weights come as
tensors (`loop_weights`), and every product with one of them is `dot`, so that a kernel of
`seqkeras.ops.recurrence` can run it and defer the gradients of the weights to after the loop.
"""

import keras
from keras import constraints, initializers, ops, regularizers, tree

from seqkeras.ops.bias import add_bias

WEIGHTS = ("kernel", "recurrent", "bias")


def check_cell(cell, owner):
    """Raises a ValueError that names `owner` if `cell` is not something to run over time."""
    whole_layer = hasattr(cell, "return_sequences")
    if whole_layer or not hasattr(cell, "state_size") or not callable(getattr(cell, "call", None)):
        raise ValueError(
            f"{owner}: expected a cell with `call(inputs, states)` and `state_size`, got {cell!r}. "
            "Pass a cell such as GRUCell(64), not a layer such as GRU(64)."
        )


def is_split(cell):
    """Returns whether a cell has the two halves, so that only `step` need run in the loop."""
    return all(hasattr(cell, name) for name in ("project", "step", "draw_noise"))


def steps_by_advance(cell):
    """Returns whether `step` is `advance`, and not a subclass' own above it."""

    def depth(name):
        return next((i for i, kind in enumerate(type(cell).__mro__) if name in vars(kind)), None)

    return depth("advance") is not None and depth("advance") <= depth("step")


def kernel_by_hand(cell):
    """Returns what the cell says by `fused`, if that is about its own `advance`, or None.

    A subclass with another `advance` takes another step than the kernel of the class above it.
    """
    owner = next(kind for kind in type(cell).__mro__ if "advance" in vars(kind))
    return cell.fused if "fused" in vars(owner) else None


def takes_training(cell):
    """Returns whether a cell, which need not be a layer, wants to be told `training`."""
    return isinstance(cell, keras.Layer) and cell._call_has_training_arg


def cell_output_size(cell):
    """Returns the size of a cell's output; where it does not say, that of its first state."""
    size = getattr(cell, "output_size", None)
    return tree.flatten(cell.state_size)[0] if size is None else size


def drop_inputs(inputs, mask):
    """Returns inputs `(T, B, D)` or `(B, D)` times a mask `(B, D)`; None masks nothing."""
    return inputs if mask is None else inputs * mask


class RecurrentCell(keras.Layer):
    """A gated or plain cell with one input kernel, one recurrent kernel and a bias.

    The one home of the options that all cells have in common. A subclass says how many blocks of
    `units` columns its kernels have (`blocks`), what its states are (`state_size`), and writes
    `advance`; one that reads further weights in the loop names them in `loop_weights`.

    Args:
        units: int > 0. Size H of the output.
        activation: Activation of the candidate, a name or a function.
        use_bias: If False, there is no bias.
        kernel_initializer, recurrent_initializer, bias_initializer: Keras initializers.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Keras regularizers or None.
        kernel_constraint, recurrent_constraint, bias_constraint: Keras constraints or None.
        dropout: Rate in [0, 1) on the inputs, one mask for all steps (variational).
        recurrent_dropout: Rate in [0, 1) on h_{t-1} where it enters the gates; one mask for all
            steps and all gates (Gal & Ghahramani 2016, tied; Keras draws one mask for each gate).
        seed: int or None, of the dropout masks.

    Call arguments:
        inputs: Float tensor `(B, D)`, the input of this step.
        states: List of float tensors, as `state_size` says.
        training: If True, dropout is applied, with masks drawn anew in each call. `RNN` draws them
            once for a sequence.

    Returns:
        `(output, states)`: float `(B, H)`, and the next states in the structure of `state_size`.

    Raises:
        ValueError: if `units` is not positive or a rate is outside [0, 1).
    """

    blocks = 1

    def __init__(
        self,
        units,
        activation="tanh",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(units, int) or units <= 0:
            raise ValueError(f"units: expected a positive integer, got {units!r}.")
        for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if not 0.0 <= rate < 1.0:
                raise ValueError(f"{name}: expected a rate in [0, 1), got {rate!r}.")
        self.units = units
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def state_size(self):
        return self.units

    @property
    def output_size(self):
        return self.units

    @property
    def noise_size(self):
        """How many numbers of h are dropped each by itself: all of them."""
        return tree.flatten(self.state_size)[0]

    def build(self, input_shape):
        columns = self.blocks * self.units
        self.kernel = self._add("kernel", (input_shape[-1], columns), "kernel")
        rows = tree.flatten(self.state_size)[0]  # h may be narrower than the cell
        self.recurrent_kernel = self._add("recurrent_kernel", (rows, columns), "recurrent")
        self.bias = None
        if self.use_bias:
            self.bias = self._add("bias", self.bias_shape(), "bias", self.initial_bias)

    def _add(self, name, shape, role, initializer=None):
        return self.add_weight(
            shape=shape,
            name=name,
            initializer=initializer or getattr(self, f"{role}_initializer"),
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
        )

    def bias_shape(self):
        """Shape of the bias; a cell with a second, recurrent bias says so here."""
        return (self.blocks * self.units,)

    def initial_bias(self, shape, dtype=None):
        """First value of the bias; a cell that starts a part of it elsewhere says so here."""
        return self.bias_initializer(shape, dtype=dtype)

    @property
    def input_bias(self):
        """The bias `(blocks * H,)` that belongs to the input side."""
        return self.bias

    def project(self, inputs, training=False):
        """Returns `(T, B, blocks * H)` from time-major `(T, B, D)`, or without T for one step."""
        mask = self.draw_input_mask(ops.shape(inputs)[-2], inputs.shape[-1], training)
        return self.add_input_bias(self.project_rows(drop_inputs(inputs, mask), 0))

    def project_rows(self, inputs, first_row):
        """The share of D' input features in `project`, those that meet the kernel at `first_row`.

        An attention cell projects its inputs before the loop and the contexts inside it.
        """
        size = inputs.shape[-1]
        kernel = self.kernel
        if size != kernel.shape[0]:
            kernel = kernel[first_row : first_row + size]
        return ops.matmul(inputs, kernel)

    def add_input_bias(self, projected):
        return add_bias(projected, self.input_bias) if self.use_bias else projected

    def draw_input_mask(self, batch_size, features, training=False):
        """Returns an inverted dropout mask `(B, D)` for the inputs of a sequence, or None."""
        if training and self.dropout > 0.0:
            return self._dropout_mask((batch_size, features), self.dropout)
        return None

    def draw_noise(self, batch_size, training=False):
        """Returns what `step` needs that is random: a mask `(B, H)` for h, or None.

        No gradient goes through it: what is learned belongs into `loop_weights`.
        """
        if training and self.recurrent_dropout > 0.0:
            return self._dropout_mask((batch_size, self.noise_size), self.recurrent_dropout)
        return None

    def _dropout_mask(self, shape, rate):
        ones = ops.ones(shape, dtype=self.compute_dtype)
        return keras.random.dropout(ones, rate, seed=self.seed_generator)

    def call(self, inputs, states, training=False):
        single = not isinstance(states, (list, tuple))
        states = [states] if single else list(states)
        noise = self.draw_noise(ops.shape(inputs)[0], training)
        output, states = self.step(self.project(inputs, training), states, noise)
        return output, states[0] if single else states

    def loop_weights(self):
        """Returns a dict of tensors: the weights that `advance` reads, ready for use in a loop."""
        return {"recurrent_kernel": ops.convert_to_tensor(self.recurrent_kernel)}

    def step(self, z_t, states, noise=None):
        """Returns `(output, states)` from the projected input z_t `(B, blocks * H)`."""
        return self.advance(z_t, states, self.loop_weights(), noise)

    @property
    def fused(self):
        """`(name, options)` of the kernel in `seqkeras.ops.recurrence` that is `advance` without
        noise, written out by hand; None if there is none.
        """
        return None

    def advance(self, z_t, states, weights, noise=None, dot=ops.matmul):
        """`step` as a pure function, in which no row of the batch depends on another.

        A kernel may run it for some rows at a time. A cell whose rows depend on each other, by
        statistics of the batch for example, overrides `step`, which gets them all.

        Args:
            z_t: What `project` made of the input, without its time axis.
            states: List of float tensors, as `state_size` says.
            weights: What `loop_weights` returned.
            noise: What `draw_noise` returned.
            dot: Function `(x (B, N), weight (N, M)) -> (B, M)`, for products with `weights`.

        Returns:
            `(output, states)`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define advance().")

    def get_initial_state(self, batch_size=None):
        sizes = self.state_size if isinstance(self.state_size, list) else [self.state_size]
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in sizes]

    def get_config(self):
        config = {
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }
        for weight in WEIGHTS:
            for kind, module in (
                ("initializer", initializers),
                ("regularizer", regularizers),
                ("constraint", constraints),
            ):
                name = f"{weight}_{kind}"
                config[name] = module.serialize(getattr(self, name))
        return {**super().get_config(), **config}
