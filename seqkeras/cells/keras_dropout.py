"""The dropout masks of Keras' own cells, which `RNN` must look after when it runs one of them.

Such a cell draws its masks in the first step that needs them and keeps them as attributes. Drawn in
the loop they would be tensors of the loop's graph, and kept after it they would serve the next
batch too; so they are drawn before the loop and dropped after it, as Keras' `RNN` does.
"""

from keras import ops, tree

from seqkeras.cells.base import cell_output_size


def keeps_masks(cell):
    """Returns whether the cell, or a cell of a stack, draws dropout masks that it keeps."""
    return any(
        hasattr(part, "get_dropout_mask") and (part.dropout or part.recurrent_dropout)
        for part in getattr(cell, "cells", [cell])
    )


def draw_masks(cell, x_t, states):
    """Lets the cell, or each cell of a stack, draw its masks for inputs like x_t `(B, D)`."""
    stacked = hasattr(cell, "cells")
    for part, own in zip(cell.cells, states, strict=True) if stacked else [(cell, states)]:
        if hasattr(part, "get_dropout_mask"):
            part.get_dropout_mask(x_t)
            part.get_recurrent_dropout_mask(tree.flatten(own)[0])
        x_t = ops.zeros((ops.shape(x_t)[0], cell_output_size(part)), dtype=x_t.dtype)


def forget_masks(cell):
    """Makes the cell, or each cell of a stack, forget its masks."""
    for part in getattr(cell, "cells", [cell]):
        if hasattr(part, "reset_dropout_mask"):
            part.reset_dropout_mask()
            part.reset_recurrent_dropout_mask()
