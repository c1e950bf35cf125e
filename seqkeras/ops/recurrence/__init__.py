"""Recurrences with their gradients: what runs under a recurrent layer on TensorFlow.

    s_t = F(z_t, s_{t-1}; U),   t = 1..T

A loop that is differentiated by the backend multiplies and adds up a full-size gradient of every
weight in every step. Here the gradient is written out: the loop backwards carries the states'
gradients only and keeps those of the products, and then

    dL/dU = sum_t x_t^T dL/dy_t      for every product y_t = x_t U of the loop

is one matmul over all steps. `kernel` says what one step is, forwards and backwards; `loop` runs
it; `elman`, `lstm` and `gru` are written out by hand, and `deferred` derives both directions from
any step that makes its products by `dot`. The naive twin of all of them is `seqkeras.ops.scan`.
"""

import keras
from keras import tree


def find_kernel(named, advance, inputs, states, weights):
    """Returns the `StepKernel` of a cell, or None where there is none, and `scan` must run it.

    Args:
        named: `(name, options)` of a kernel that is written out, or None.
        advance: The cell's step, `(z_t, states, weights, dot) -> (output, states)`.
        inputs, states, weights: What it will run on.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    from seqkeras.ops.recurrence.deferred import derive_kernel
    from seqkeras.ops.recurrence.elman import ElmanKernel
    from seqkeras.ops.recurrence.gru import ResetAfterGRUKernel, ResetBeforeGRUKernel
    from seqkeras.ops.recurrence.lstm import LSTMKernel

    if named is None:
        return derive_kernel(advance, inputs, states, weights)
    kernels = {
        "elman": ElmanKernel,
        "lstm": LSTMKernel,
        "gru_reset_after": ResetAfterGRUKernel,
        "gru_reset_before": ResetBeforeGRUKernel,
    }
    name, options = named
    return kernels[name](**options)


def run(kernel, inputs, states, weights, mask=None, reverse=False, halves=True):
    """`loop.recurrence` for inputs that are any structure of tensors `(T, B, ...)`."""
    from seqkeras.ops.recurrence.loop import recurrence

    return recurrence(kernel, tree.flatten(inputs), states, weights, mask, reverse, halves)
