"""`CellRNN`, the `RNN` that makes its own cell."""

from keras import regularizers

from seqkeras.cells.rnn import RNN
from seqkeras.ops.recurrence import cudnn


class CellRNN(RNN):
    """An `RNN` that makes its own cell: the base of `SimpleRNN`, `LSTM` and `GRU`.

    Options that are neither `RNN`'s nor `keras.Layer`'s go to the cell, and the cell's attributes
    can be read off the layer, so none is declared twice. `implementation`, by which Keras chooses
    among its own kernels for one result, is taken and changes nothing.

    A layer that cuDNN has a kernel for sets `takes_cudnn`, and has the option and the attribute
    `use_cudnn` then: "auto", cuDNN where TensorFlow has a GPU and cuDNN has what the options ask
    for, True, which raises where that is not so, or False.
    """

    cell_class = None
    takes_cudnn = False
    OWN = (
        "return_sequences",
        "return_state",
        "go_backwards",
        "stateful",
        "unroll",
        "zero_output_for_mask",
        "learn_initial_state",
        "name",
        "dtype",
        "trainable",
        "activity_regularizer",
    )

    def __init__(self, units, *args, **options):
        own = {name: options.pop(name) for name in self.OWN if name in options}
        options.pop("implementation", None)
        use_cudnn = options.pop("use_cudnn", "auto") if self.takes_cudnn else None
        if use_cudnn not in (None, "auto", True, False):
            raise ValueError(f'use_cudnn: expected "auto", True or False, got {use_cudnn!r}.')
        for name in ("dtype", "trainable"):
            if name in own:
                options[name] = own[name]
        super().__init__(self.cell_class(units, *args, **options), **own)
        if self.takes_cudnn:
            self.use_cudnn = use_cudnn
            if use_cudnn and self._mode_of_options() and cudnn.has_gpu():
                self.supports_jit = False  # XLA does not compile cuDNN's operations

    def _mode_of_options(self):
        """cuDNN's name of what the options ask for, or None if it has no such thing."""
        cell = self.cell
        says_so = next(kind for kind in type(self).__mro__ if "takes_cudnn" in vars(kind))
        same_cell = type(cell) is says_so.cell_class  # and not a subclass with a step of its own
        plain = same_cell and cell.use_bias and not cell.recurrent_dropout
        name, _ = (plain and not self.unroll and cell.fused) or (None, {})
        return cudnn.MODES.get(name)

    @property
    def cudnn_mode(self):
        if not self.takes_cudnn or self.use_cudnn is False:
            return None
        mode = self._mode_of_options()
        if mode and cudnn.has_gpu():
            return mode
        if self.use_cudnn is True:
            reason = (
                "the TensorFlow backend and a GPU, and one of them is missing"
                if mode
                else "what cuDNN has: tanh and sigmoid, biases, reset_after=True, no "
                "recurrent_dropout, no unroll; got other options"
            )
            raise ValueError(
                f"{type(self).__name__}(use_cudnn=True): expected {reason}. Pass use_cudnn='auto' "
                "to run without cuDNN where that has to be."
            )
        return None

    def __getattr__(self, name):
        cell = self.__dict__.get("cell")
        if cell is None or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(cell, name)

    def get_config(self):
        config = super().get_config()
        del config["cell"]
        cell = self.cell.get_config()
        for name in ("name", "dtype", "trainable"):
            del cell[name]
        config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        if self.takes_cudnn:
            config["use_cudnn"] = self.use_cudnn
        return {**cell, **config}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
