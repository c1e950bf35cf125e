"""Jacobians by central differences: the oracle that knows no chain rule."""

import numpy as np


def jacobian(function, x, epsilon=1e-5):
    """Returns J `(B, N, M)` of a function from float64 rows `(B, M)` to rows `(B, N)`."""
    columns = []
    for j in range(x.shape[1]):
        shift = np.zeros_like(x)
        shift[:, j] = epsilon
        columns.append((function(x + shift) - function(x - shift)) / (2 * epsilon))
    return np.stack(columns, axis=2)
