"""A cell over time: what leaves the loop, and which loop runs the rest.

Everything that does not depend on h_{t-1} leaves the loop: the projection of all inputs is one
matmul, the noise of a sequence is drawn once, and what an attention cell derives from its memory is
computed once (`prepare`). What remains runs by `seqkeras.ops.recurrence`, which has the gradient of
the whole loop, where it can, else by `seqkeras.ops.scan`.
"""

from typing import NamedTuple

from keras import ops

from seqkeras.cells.base import (
    drop_inputs,
    is_split,
    kernel_by_hand,
    steps_by_advance,
    takes_training,
)
from seqkeras.cells.keras_dropout import draw_masks, forget_masks
from seqkeras.ops import recurrence
from seqkeras.ops.masks import zero_masked
from seqkeras.ops.recurrence import cudnn
from seqkeras.ops.scan import masked_scan, scan


class How(NamedTuple):
    """The options of `RNN` that the loop reads."""

    reverse: bool
    unroll: bool
    zero_output: bool
    cudnn: str | None


def run_cell(cell, inputs, states, mask, training, context, how):
    """Runs a cell over time-major inputs.

    Args:
        cell: Any cell, ours or Keras'.
        inputs: Float tensor `(T, B, D)`, zero where masked.
        states: The states before the first step, in the structure of `cell.state_size`.
        mask: Boolean tensor `(T, B)`, True = real, or None.
        training: True; False, for which nothing is kept for a gradient; or None if nobody said.
        context: What the cell's `prepare` returned, or None.
        how: `How`.

    Returns:
        `(outputs (T, B, ...), states)`, the outputs in the order of processing.
    """
    if not is_split(cell):
        if training:
            draw_masks(cell, inputs[0], states)
        outputs, states = _scan(_whole_step(cell, bool(training)), inputs, states, mask, how)
        forget_masks(cell)
        return outputs, states
    if how.cudnn:
        return _by_cudnn(cell, inputs, states, mask, training, how)
    noise = cell.draw_noise(ops.shape(inputs)[1], bool(training))
    inputs = cell.project(inputs, bool(training))
    if context is None and steps_by_advance(cell):
        return _advance(cell, inputs, states, mask, noise, training is not False, how)
    extra = () if context is None else (context,)
    return _scan(
        lambda z_t, states: cell.step(z_t, states, noise, *extra), inputs, states, mask, how
    )


def _by_cudnn(cell, inputs, states, mask, training, how):
    """Runs a cell that cuDNN has, and for a mask that cuDNN has not, the loop."""
    batch_size, features = ops.shape(inputs)[1], inputs.shape[-1]
    dropped = drop_inputs(inputs, cell.draw_input_mask(batch_size, features, bool(training)))

    def loop():
        return run_cell(cell, inputs, states, mask, training, None, how._replace(cudnn=None))

    weights = (cell.kernel, cell.recurrent_kernel, cell.bias)
    outputs, states = cudnn.run(how.cudnn, dropped, states, weights, mask, how.reverse, loop)
    if how.zero_output and mask is not None and not how.reverse:
        outputs = zero_masked(outputs, mask)
    return outputs, states


def _advance(cell, inputs, states, mask, noise, fast_gradient, how):
    """Runs a cell whose step is a pure function of its weights."""
    weights = cell.loop_weights()

    def advance(z_t, states, weights, dot=ops.matmul):
        return cell.advance(z_t, states, weights, noise, dot)

    if fast_gradient and not how.unroll:
        named = None if noise is not None else kernel_by_hand(cell)
        kernel = recurrence.find_kernel(named, advance, inputs, states, weights)
        if kernel is not None:
            halves = noise is None  # which has all rows of the batch
            outputs, states = recurrence.run(
                kernel, inputs, states, weights, mask, how.reverse, halves
            )
            return _without_masked(outputs, mask, how), states
    return _scan(lambda z_t, states: advance(z_t, states, weights), inputs, states, mask, how)


def _without_masked(outputs, mask, how):
    """Zeroes the outputs of masked steps, or only of those before the first real one."""
    if mask is None:
        return outputs
    if how.reverse:
        mask = ops.flip(mask, axis=0)  # outputs are in the order of processing
    if not how.zero_output:
        mask = ops.cumsum(ops.cast(mask, "int32"), axis=0) > 0
    return zero_masked(outputs, mask)


def _scan(step, inputs, states, mask, how):
    options = {"reverse": how.reverse, "unroll": how.unroll}
    if mask is None:
        return scan(step, states, inputs, **options)
    return masked_scan(step, states, inputs, mask, zero_output=how.zero_output, **options)


def _whole_step(cell, training):
    """A step of a cell that is not split into what leaves the loop and what stays."""
    options = {"training": training} if takes_training(cell) else {}

    def step(x_t, states):
        output, states = cell(x_t, states, **options)
        single = isinstance(cell.state_size, int) and not isinstance(states, (list, tuple))
        return output, [states] if single else list(states)

    return step
