"""Why gradients survive in an LSTM: its dc_t/dc_{t-1} taken apart; notes B 2.2.1, (13)-(22), 2.3.

c_t = f_t * c_{t-1} + i_t * g_t depends on c_{t-1} in four ways: directly, and through the gates f_t
and i_t and the candidate g_t, which read h_{t-1} = o_{t-1} * tanh(c_{t-1}) (erratum X02):

    dc_t/dc_{t-1} = diag(f_t) + J_h diag(o_{t-1} * (1 - tanh^2 c_{t-1}))              (21), X21
    J_h = dc_t/dh_{t-1} = diag(c_{t-1}) df_t/dh_{t-1}                                 (22)
                        + diag(g_t)     di_t/dh_{t-1}
                        + diag(i_t)     dg_t/dh_{t-1}

with o_{t-1} held fixed: what reaches c_t through it is a term of its own in (21). The notes' (21)
prints dc_{t-1}/dh_{t-1} for J_h and an elementwise product of a vector with a Jacobian; as matrices
it is the above. The direct path alone is a product of forget gates over time: no weight and no
slope enters it, and f = 1 carries the gradient over any lag unchanged.
"""

from typing import NamedTuple

import numpy as np
from keras import ops

from seqkeras.analysis.gradient_flow import matmul, spectral_norm
from seqkeras.analysis.recurrence import Recurrence
from seqkeras.cells.lstm import LSTMCell
from seqkeras.ops.vjp import vjp

PATHS = ("direct", "forget_gate", "input_gate", "candidate")


class LSTMPaths(NamedTuple):
    """The four summands of dc_t/dc_{t-1}, each `(T - 1, B, H, H)`, for t = 2 .. T.

    (h_0 is given and no function of c_0, so t = 1 has the direct path only.)

    Attributes:
        direct: diag(f_t).
        forget_gate, input_gate, candidate: The paths through h_{t-1} and f_t, i_t or g_t.
    """

    direct: np.ndarray
    forget_gate: np.ndarray
    input_gate: np.ndarray
    candidate: np.ndarray

    @property
    def total(self):
        """dc_t/dc_{t-1} `(T - 1, B, H, H)`, the sum of the four."""
        return self.direct + self.forget_gate + self.input_gate + self.candidate

    def norms(self):
        """Returns the spectral norms of the paths and of their sum, step by step.

        Returns:
            Dict from "direct", "forget_gate", "input_gate", "candidate" and "total" to arrays
            `(T - 1, B)`.
        """
        return {name: spectral_norm(getattr(self, name)) for name in (*PATHS, "total")}

    def lag_norms(self):
        """Returns the norms of the products of the last k factors, k = 0 .. T - 1.

        Returns:
            Dict of float64 arrays `(T, B)`: "total" is ||prod dc_l/dc_{l-1}||, "direct" that of the
            products of forget gates alone, max_j prod_l f_l[j] (notes B 2.3).
        """
        f = np.diagonal(self.direct, axis1=2, axis2=3).astype("float64")[::-1]  # f_T first
        direct = np.cumprod(np.concatenate([np.ones_like(f[:1]), f]), axis=0).max(axis=-1)
        product = np.broadcast_to(np.eye(f.shape[-1]), self.direct.shape[1:])
        products = [product]
        for factor in self.total.astype("float64")[::-1]:
            product = matmul(product, factor)
            products.append(product)
        return {"direct": direct, "total": spectral_norm(np.stack(products))}


def lstm_paths(layer, inputs, initial_state=None):
    """Splits dc_t/dc_{t-1} of an LSTM into its four paths, at every step of a batch.

    Args:
        layer: An `LSTM`, or an `RNN` of an `LSTMCell`, with any activations.
        inputs: Float array `(B, T, D)`, T >= 2. Of padded sequences, look at the real steps.
        initial_state: `[h, c]`, or None.

    Returns:
        `LSTMPaths`; matrices are `[i, j] = dc_t[i] / dc_{t-1}[j]`, in the order of processing.

    Raises:
        ValueError: if the cell is not an LSTM of equations (7)-(12), or T < 2.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import LSTM
    >>> paths = lstm_paths(LSTM(4), np.zeros((2, 5, 3), "float32"))
    >>> paths.total.shape
    (4, 2, 4, 4)
    """
    run = Recurrence(layer, inputs, initial_state=initial_state)
    if not isinstance(run.cell, LSTMCell):
        raise ValueError(f"lstm_paths: expected an LSTM, got a {type(run.cell).__name__}.")
    if run.inputs.shape[0] < 2:
        raise ValueError("inputs: expected at least 2 steps, got 1: dc_2/dc_1 needs both.")
    gates = _gates(run)
    _check_equations(run, gates)
    f, i, g, o = (gates[name] for name in "figo")
    c = _numpy(run.states)[:-1, :, run.part(1)]  # c_{t-1}, (T, B, H)
    slope = o.value[:-1] * _slopes(run.cell.activation, c[1:])  # of h_{t-1} by c_{t-1}

    def through_h(factor, gate):
        # (t, b, i, j): factor_i * gate'_i * U[j, i] * slope_j
        scaled = (factor * gate.slope)[1:, :, :, None] * gate.kernel.T
        return scaled * slope[:, :, None, :]

    return LSTMPaths(
        direct=f.value[1:, :, :, None] * np.eye(f.value.shape[-1]),
        forget_gate=through_h(c, f),
        input_gate=through_h(g.value, i),
        candidate=through_h(i.value, g),
    )


class _Gate(NamedTuple):
    value: np.ndarray  # (T, B, H)
    slope: np.ndarray  # its derivative by its pre-activation, (T, B, H)
    kernel: np.ndarray  # U of this gate, (H, H)


def _gates(run):
    """Returns `{"i", "f", "g", "o"}` of a plain LSTM at every step, worked out from (7)-(10)."""
    cell = run.cell
    kernel = _numpy(cell.recurrent_kernel)
    h = _numpy(run.states)[:-1, :, run.part(0)]
    pre_activations = np.split(_numpy(run.project(run.inputs)) + h @ kernel, 4, axis=-1)
    kernels = np.split(kernel, 4, axis=-1)
    gates = {}
    for name, a, u in zip("ifgo", pre_activations, kernels, strict=True):
        function = cell.activation if name == "g" else cell.recurrent_activation
        gates[name] = _Gate(_numpy(function(ops.convert_to_tensor(a))), _slopes(function, a), u)
    return gates


def _check_equations(run, gates):
    """Raises ValueError if the cell's own states are not those of (11) and (12)."""
    states = _numpy(run.states)
    c = gates["f"].value * states[:-1, :, run.part(1)] + gates["i"].value * gates["g"].value
    h = gates["o"].value * _numpy(run.cell.activation(ops.convert_to_tensor(c)))
    if not np.allclose(np.concatenate([h, c], axis=-1), states[1:], rtol=1e-3, atol=1e-4):
        raise ValueError(
            f"lstm_paths: expected c_t = f_t * c_(t-1) + i_t * g_t with gates that read h_(t-1) "
            f"and x_t only; this {type(run.cell).__name__} computes something else (peepholes, a "
            "clip, a projection?). Use gradient_norms, which is for every cell."
        )


def _slopes(function, a):
    """Returns the derivative of an elementwise function at `a`."""
    (slopes,), _ = vjp(lambda a: [function(a)], [a], [np.ones_like(a)])
    return _numpy(slopes)


def _numpy(x):
    return ops.convert_to_numpy(x)
