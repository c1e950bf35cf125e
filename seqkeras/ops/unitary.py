"""The unitary matrix of Arjovsky et al. 2016 (arXiv:1511.06464), equation (6).

    W = D3 R2 F^-1 D2 Pi R1 F D1

    D   diagonal, exp(i w_j)
    R   reflection, I - 2 v v* / |v|^2
    F   discrete Fourier transform, divided by sqrt(n)
    Pi  a fixed permutation, (Pi h)_j = h_permutation[j]

Each factor is unitary for any values of its 7n parameters, so W is. A complex array is a pair
(real part, imaginary part) of real ones; the factors act on rows.
"""

import math

from keras import ops

PARAMETER_ROWS = 7  # angles w of D1, D2, D3; real and imaginary part of v of R1, then of R2


def unitary_matrix(parameters, permutation):
    """Returns W for rows [Re h, Im h] `(B, 2n)`, which it multiplies from the right.

    Args:
        parameters: Float tensor `(7, n)`, in the order of `PARAMETER_ROWS`.
        permutation: Int tensor `(n,)`.

    Returns:
        Float tensor `(2n, 2n)`, orthogonal: [[Re W', Im W'], [-Im W', Re W']].
    """
    w1, w2, w3, *vectors = ops.unstack(parameters, PARAMETER_ROWS, axis=0)
    identity = ops.eye(parameters.shape[-1], dtype=parameters.dtype)
    z = (identity, ops.zeros_like(identity))  # row j becomes W e_j, so z becomes W'
    z = turn(z, w1)
    z = fourier(z)
    z = reflect(z, vectors[0:2])
    z = tuple(ops.take(part, permutation, axis=-1) for part in z)
    z = turn(z, w2)
    z = inverse_fourier(z)
    z = reflect(z, vectors[2:4])
    real, imaginary = turn(z, w3)
    top = ops.concatenate([real, imaginary], axis=-1)
    bottom = ops.concatenate([-imaginary, real], axis=-1)
    return ops.concatenate([top, bottom], axis=0)


def turn(z, angles):
    """D z: every number turned by its angle."""
    real, imaginary = z
    cos, sin = ops.cos(angles), ops.sin(angles)
    return real * cos - imaginary * sin, real * sin + imaginary * cos


def reflect(z, v):
    """R z: the part of z along v is negated; v = 0 leaves z as it is."""
    (real, imaginary), (v_real, v_imaginary) = z, v
    along_real = _dot(real, v_real) + _dot(imaginary, v_imaginary)  # v* z
    along_imaginary = _dot(imaginary, v_real) - _dot(real, v_imaginary)
    square = ops.sum(ops.square(v_real) + ops.square(v_imaginary))
    twice = 2.0 / ops.where(square > 0, square, ops.ones_like(square))
    return (
        real - twice * (along_real * v_real - along_imaginary * v_imaginary),
        imaginary - twice * (along_real * v_imaginary + along_imaginary * v_real),
    )


def fourier(z):
    """F z, of every row."""
    real, imaginary = ops.fft(z)
    scale = 1.0 / math.sqrt(z[0].shape[-1])
    return real * scale, imaginary * scale


def inverse_fourier(z):
    """F^-1 z: the conjugate of F of the conjugate."""
    real, imaginary = fourier((z[0], -z[1]))
    return real, -imaginary


def _dot(rows, vector):
    return ops.matmul(rows, ops.expand_dims(vector, -1))
