"""`CellRNN`, the `RNN` that makes its own cell."""

from seqkeras.cells.rnn import RNN


class CellRNN(RNN):
    """An `RNN` that makes its own cell: the base of `SimpleRNN`, `LSTM` and `GRU`.

    Options that are neither `RNN`'s nor `keras.Layer`'s go to the cell, and the cell's attributes
    can be read off the layer, so none is declared twice. `implementation` and `use_cudnn`, by which
    Keras chooses among its kernels for one result, are taken and change nothing.
    """

    cell_class = None
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
        for name in ("implementation", "use_cudnn"):
            options.pop(name, None)
        for name in ("dtype", "trainable"):
            if name in own:
                options[name] = own[name]
        super().__init__(self.cell_class(units, *args, **options), **own)

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
        return {**cell, **config}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
