"""How far gradients reach through a recurrent layer; notes A (7)-(10), notes B 1.4.2 (6).

    ds_T/ds_{T-k} = J_T J_{T-1} ... J_{T-k+1},   J_t = ds_t/ds_{t-1}         the lag is k
    J_t = diag(phi'(a_t)) U^T                                                 of an Elman network
    ||ds_T/ds_{T-k}||_2 <= prod_t ||J_t||_2 <= sigma_max(U)^k prod_t max_i phi'(a_{t,i})

A gradient that has to cross k steps is multiplied by this product, so its norm says whether what
happened k steps ago can be learned from. The bounds are upper bounds only (erratum X04): below 1
they prove that gradients vanish, above 1 they prove nothing, as Pascanu et al. 2013
(arXiv:1211.5063) say. sigma_max is not the largest |eigenvalue| unless U is normal (erratum X03):
with all |eigenvalues| < 1 < sigma_max the norm can grow a thousandfold before it vanishes.

Conventions: J[i, j] = ds_t[i] / ds_{t-1}[j]; s is the whole state (see `Recurrence`). Row vectors
meet `recurrent_kernel` as h U, so the notes' W is U^T; the singular values are the same.
"""

from typing import NamedTuple

import numpy as np
from keras import ops, tree

from seqkeras.analysis.recurrence import Recurrence
from seqkeras.ops.vjp import vjp

ENTRIES = 2**21  # of the Jacobians that are worked out at once: bounds the memory
SAME = 1e-4  # relative to the largest entry: the rounding of a float32 Jacobian


class GradientNorms(NamedTuple):
    """Norms of ds_T/ds_{T-k}; a row is a lag, a column an example.

    NaN where an example has fewer than k steps. Float64: what is beyond 1e308 is infinite, what is
    below 1e-308 zero.

    Attributes:
        lags: Int array `(L,)`, the lags k, ascending.
        spectral: `(L, B)`, the largest singular value: the most that a gradient can grow.
        frobenius: `(L, B)`, the root of the sum of squares, at least the spectral norm.
        bound: `(L, B)`, sigma_max(U)^k times the largest slope of each step (notes A (9)), where
            every J_t is a diagonal times U^T as in an Elman network; else None.
        sigma_max: float, the largest singular value of U; None where `bound` is.
    """

    lags: np.ndarray
    spectral: np.ndarray
    frobenius: np.ndarray
    bound: np.ndarray | None
    sigma_max: float | None

    def typical(self):
        """Returns the median `(L,)` of `spectral` over the examples that reach back so far."""
        return median_of_known(self.spectral)


def step_jacobians(layer, inputs, mask=None, initial_state=None):
    """Returns the Jacobian of every step, by automatic differentiation of the layer's cell.

    Args:
        layer: A recurrent layer with a cell: `SimpleRNN(...)`, `LSTM(...)`, `RNN(any cell)`.
        inputs: Float array `(B, T, D)`, what enters the layer.
        mask: Boolean array `(B, T)`, True = real, or None. Masked steps are taken out: the real
            ones come first and the identity stands for the rest.
        initial_state: As the layer's call takes it, or None.

    Returns:
        Float array `(T, B, S, S)`; entry t - 1 is ds_t/ds_{t-1}, in the order of processing.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import SimpleRNN
    >>> step_jacobians(SimpleRNN(4), np.zeros((2, 5, 3), "float32")).shape
    (5, 2, 4, 4)
    """
    run = Recurrence(layer, inputs, mask, initial_state)
    steps = np.arange(run.inputs.shape[0])[:, None] + np.zeros_like(run.lengths)  # (T, B)
    padding = steps >= run.lengths
    jacobians = np.concatenate(list(_jacobians(run, steps)))
    return np.where(padding[:, :, None, None], np.eye(sum(run.sizes)), jacobians)


def lag_jacobians(layer, inputs, mask=None, initial_state=None, longest=None):
    """Returns the products of the Jacobians themselves, with their signs.

    Args:
        layer, inputs, mask, initial_state: As for `step_jacobians`.
        longest: int, the longest lag; default: all T steps.

    Returns:
        Float64 array `(longest + 1, B, S, S)`; entry k is ds_n/ds_{n-k} for the n real steps of an
        example, and NaN if k > n.
    """
    run = Recurrence(layer, inputs, mask, initial_state)
    steps = run.inputs.shape[0]
    longest = steps if longest is None else min(longest, steps)
    with np.errstate(over="ignore"):
        return np.stack(
            [np.exp(log_scale) * product for log_scale, product, _ in _products(run, longest)]
        )


def gradient_norms(layer, inputs, mask=None, initial_state=None, lags=None, state=None):
    """Measures ||ds_T/ds_{T-k}|| against the lag k, with its bound.

    Cost: up to the longest lag, S vector-Jacobian products and one product of matrices `(S, S)` for
    each step of each example; for each lag asked for, one eigenvalue problem. A few examples are
    enough to see the curve.

    Args:
        layer, inputs, mask, initial_state: As for `step_jacobians`.
        lags: Ints k; those beyond T are left out. Default: 0, 1, ..., T.
        state: int, to look at one state only, ds_T[state]/ds_{T-k}[state]: of an LSTM 0 is h and 1
            is c. Default: the whole state.

    Returns:
        `GradientNorms`. Lag k of an example counts back from its last real step.

    Raises:
        ValueError: if no lag is left, or there is no such state.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import SimpleRNN
    >>> norms = gradient_norms(SimpleRNN(4), np.zeros((2, 50, 3), "float32"))
    >>> norms.spectral.shape
    (51, 2)
    >>> bool(np.all(norms.spectral <= norms.bound * 1.0001))
    True
    """
    run = Recurrence(layer, inputs, mask, initial_state)
    part, kernel = run.part(state), _square_kernel(run)
    lags = _known_lags(lags, run.inputs.shape[0])
    spectral, frobenius, slopes = [], [], []
    with np.errstate(over="ignore", divide="ignore"):
        for lag, (log_scale, product, jacobians) in enumerate(_products(run, lags[-1])):
            if kernel is not None and lag > 0:
                slopes.append(_largest_slopes(jacobians, kernel))
            if lag in lags:
                product, scale = product[:, part, part], np.exp(log_scale[:, 0, 0])
                spectral.append(scale * spectral_norm(product))
                frobenius.append(scale * np.linalg.norm(product, axis=(1, 2)))
        bound = sigma_max = None
        if kernel is not None and all(slope is not None for slope in slopes):
            sigma_max = float(spectral_norm(kernel))
            factors = [np.ones(len(run.lengths)), *(sigma_max * slope for slope in slopes)]
            bound = np.exp(np.cumsum(np.log(factors), axis=0))[lags]
    return GradientNorms(lags, np.array(spectral), np.array(frobenius), bound, sigma_max)


def matmul(a, b):
    """Returns a @ b by the backend: NumPy's threads and the backend's would hold each other up."""
    return ops.convert_to_numpy(ops.matmul(a, b))


def median_of_known(rows):
    """Returns the median of each row of `(L, B)` over what is not NaN; NaN where nothing is."""
    rows = [row[~np.isnan(row)] for row in rows]
    return np.array([np.median(row) if row.size else np.nan for row in rows])


def _known_lags(lags, steps):
    known = range(steps + 1) if lags is None else sorted(k for k in set(lags) if 0 <= k <= steps)
    if not known:
        raise ValueError(f"lags: expected at least one in 0..{steps}, got {lags!r}.")
    return np.array(known)


def spectral_norm(matrices):
    """Returns the largest singular values of matrices `(..., N, M)`, NaN where one holds NaN."""
    known = ~np.isnan(matrices).any(axis=(-2, -1))
    matrices = np.where(known[..., None, None], matrices, 0.0).astype("float64")
    # The eigenvalues of A A^T: several times faster than the singular values, and as exact for
    # the largest one.
    squares, _ = ops.eigh(matmul(matrices, np.swapaxes(matrices, -1, -2)))
    squares = ops.convert_to_numpy(squares)[..., -1]
    return np.where(known, np.sqrt(np.maximum(squares, 0.0)), np.nan)


def _products(run, longest):
    """Yields `(log_scale (B, 1, 1), product, J (B, S, S))` for lag 0, 1, ..., longest.

    exp(log_scale) * product is ds_n/ds_{n-k}, and J the last factor. Without the scale, products
    over many steps would overflow, and then 0 * inf be NaN. For lag 0 both are the identity.
    """
    steps = run.lengths - 1 - np.arange(longest)[:, None]  # (L, B); negative: before the first
    identity = np.stack([np.eye(sum(run.sizes))] * len(run.lengths))
    product, log_scale = identity, np.zeros((len(run.lengths), 1, 1))
    yield log_scale, product, identity
    start = 0
    for chunk in _jacobians(run, np.maximum(steps, 0)):
        early = steps[start : start + len(chunk)] < 0
        chunk = np.where(early[:, :, None, None], np.nan, chunk).astype("float64")
        for jacobians in chunk:
            product = matmul(product, jacobians)
            size = np.abs(product).max(axis=(1, 2), keepdims=True)
            size = np.where(size > 0.0, size, 1.0)  # NaN too: a product of NaN stays what it is
            product, log_scale = product / size, log_scale + np.log(size)
            yield log_scale, product, jacobians
        start += len(chunk)


def _jacobians(run, steps):
    """Yields the Jacobians of steps `(K, B)`, from 0, of each example: arrays `(<= K, B, S, S)`."""
    size, (count, batch) = sum(run.sizes), steps.shape
    rows = max(1, ENTRIES // (batch * size * size))
    columns = np.arange(batch)
    inputs, states = (ops.convert_to_numpy(x) for x in (run.inputs, run.states))
    for start in range(0, count, rows):
        chosen = (steps[start : start + rows], columns)
        # Every row of a Jacobian is one vector-Jacobian product; all of them make one batch.
        z, s = run.project(inputs[chosen].reshape(-1, inputs.shape[-1])), states[chosen]
        z = tree.map_structure(lambda x: None if x is None else ops.repeat(x, size, axis=0), z)
        s = s.reshape(-1, size)
        unit_vectors = np.tile(np.eye(size, dtype=s.dtype), (len(s), 1))
        (rows_of_all,), _ = vjp(
            lambda s, z=z: [run.advance(z, s)[1]], [np.repeat(s, size, axis=0)], [unit_vectors]
        )
        yield ops.convert_to_numpy(rows_of_all).reshape(-1, batch, size, size)


def _square_kernel(run):
    """Returns U in float64 if the cell has one that maps its whole state to itself, else None."""
    weights = run.cell.loop_weights() if hasattr(run.cell, "loop_weights") else {}
    kernel = weights.get("recurrent_kernel")
    if kernel is None or tuple(kernel.shape) != (sum(run.sizes),) * 2:
        return None
    return np.asarray(ops.convert_to_numpy(kernel), "float64")


def _largest_slopes(jacobians, kernel):
    """Returns max_i phi'(a_i) `(B,)` of J = diag(phi') U^T; None if J has another form.

    The slopes are read off J, so they are those of the cell's activation, whichever it is.
    """
    weights = kernel.T
    squares = np.maximum((weights**2).sum(axis=1), np.finfo("float64").tiny)
    slopes = (jacobians * weights).sum(axis=2) / squares  # (B, H)
    rest = np.abs(jacobians - slopes[:, :, None] * weights)
    if np.nanmax(rest, initial=0.0) > SAME * max(1.0, np.nanmax(np.abs(jacobians), initial=0.0)):
        return None
    return np.abs(slopes).max(axis=1)
