"""Back-propagation through time, term by term, and what truncating it leaves out; notes A (5),
notes B 1.4.1 (3)-(5).

    dR/dW = sum_t sum_{tau <= t} e_t (ds_t/ds_tau) d+s_tau/dW        e_t = d+R/dy_t

d+ is the partial derivative: what comes before is held fixed. Two ways to collect the terms:

    by the step tau whose weights they are of      `bptt_sums`: the summands of notes A (5)
    by the window, at most L terms for each t      `truncated_gradient`: tau = t - L + 1 .. t

The notes let tau run from max(1, t - L), which is L + 1 terms (erratum X10); here a window of L has
L terms: L = 1 is no recurrence at all, and L >= T the full gradient. What people train with is
neither: segments of L steps between which the state is carried and the gradient stopped
(`segment_gradient`). There, a step has as many terms as it has predecessors in its segment, itself
included: 1, 2, ..., L. On average (L + 1) / 2, about half of what the window gives.
"""

import numpy as np
from keras import ops

from seqkeras.analysis.recurrence import Recurrence
from seqkeras.ops.vjp import vjp


def bptt_sums(layer, inputs, loss, initial_state=None):
    """Returns what each step contributes to the gradient of the loss by the weights.

    Args:
        layer: A recurrent layer with a cell.
        inputs: Float array `(B, T, D)`. Padding on the right needs no mask where its outputs do not
            enter the loss.
        loss: Function of the outputs of all steps `(B, T, H)`, in the order of processing, to a
            scalar tensor; it may contain further layers.
        initial_state: As the layer's call takes it, or None.

    Returns:
        Dict from the name of each trainable weight of the cell, such as "recurrent_kernel", to an
        array `(T, *shape)`: (dR/ds_t) d+s_t/dW for t = 1 .. T. The sum over t is the gradient.

    Example:

    >>> import numpy as np
    >>> from keras import ops
    >>> from seqkeras.layers import SimpleRNN
    >>> sums = bptt_sums(SimpleRNN(4), np.ones((2, 5, 3), "float32"), lambda y: ops.sum(y[:, -1]))
    >>> sums["recurrent_kernel"].shape
    (5, 4, 4)
    """
    run = Recurrence(layer, inputs, initial_state=initial_state)
    variables = run.cell.trainable_variables
    by_output = _by_output(run, loss)
    by_state = np.zeros(run.states.shape[1:], by_output.dtype)
    terms = []
    for t in reversed(range(len(by_output))):
        (_, by_state), by_weights = vjp(
            run.step, [run.inputs[t], run.states[t]], [by_output[t], by_state], variables
        )
        terms.append([ops.convert_to_numpy(w) for w in by_weights])
    return _named(variables, [np.stack(steps[::-1]) for steps in zip(*terms, strict=True)])


def truncated_gradient(layer, inputs, loss, window, initial_state=None):
    """Returns the gradient by the weights in which each step looks back over `window` steps.

    This is the formula of notes B 1.4.1, exactly. It costs `window` passes over the whole sequence
    and is for comparison, not for training.

    Args:
        layer, inputs, loss, initial_state: As for `bptt_sums`.
        window: int L >= 1, the number of terms for each step. With L >= T it is the full gradient.

    Returns:
        Dict from the name of each trainable weight of the cell to an array of its shape.

    Raises:
        ValueError: if `window` is below 1.
    """
    if window < 1:
        raise ValueError(f"window: expected at least 1 step, got {window}.")
    run = Recurrence(layer, inputs, initial_state=initial_state)
    reach = np.minimum(np.arange(run.inputs.shape[0]) + 1, window)
    return _limited_gradient(run, loss, reach)


def segment_gradient(layer, inputs, loss, segment, initial_state=None):
    """Returns the gradient that training on segments with carried states gives, summed over them.

    Args:
        layer, inputs, loss, initial_state: As for `bptt_sums`.
        segment: int L >= 1, steps in a segment. The last one may be shorter.

    Returns:
        As `truncated_gradient` does.

    Raises:
        ValueError: if `segment` is below 1.
    """
    if segment < 1:
        raise ValueError(f"segment: expected at least 1 step, got {segment}.")
    run = Recurrence(layer, inputs, initial_state=initial_state)
    return _limited_gradient(run, loss, np.arange(run.inputs.shape[0]) % segment + 1)


def _limited_gradient(run, loss, reach):
    """Sums over the terms tau = t - reach[t] + 1 .. t, all t at once: one pass for each t - tau."""
    variables = run.cell.trainable_variables
    inputs, states = (ops.convert_to_numpy(x) for x in (run.inputs, run.states[:-1]))
    by_output = _by_output(run, loss)
    by_state = np.zeros_like(states)
    total = [np.zeros(v.shape, by_output.dtype) for v in variables]
    for lag in range(reach.max()):
        t = np.flatnonzero(reach > lag)
        rows = [inputs[t - lag], states[t - lag], by_output[t], by_state[t]]
        *given, e, s = (x.reshape(-1, x.shape[-1]) for x in rows)
        (_, back), by_weights = vjp(run.step, given, [e, s], variables)
        by_state[t] = ops.convert_to_numpy(back).reshape(len(t), *by_state.shape[1:])
        by_output = np.zeros_like(by_output)  # the loss of step t enters at t only
        total = [a + ops.convert_to_numpy(b) for a, b in zip(total, by_weights, strict=True)]
    return _named(variables, total)


def _by_output(run, loss):
    """Returns e `(T, B, H)`, the derivative of the loss by each step's output, by itself."""
    outputs = ops.transpose(run.outputs, (1, 0, 2))  # (B, T, H)
    one = ops.ones((), dtype=outputs.dtype)
    (gradient,), _ = vjp(lambda y: [loss(y)], [outputs], [one])
    return ops.convert_to_numpy(gradient).swapaxes(0, 1)


def _named(variables, values):
    return {v.path.rpartition("/")[2]: x for v, x in zip(variables, values, strict=True)}
