"""Rotation matrices from free parameters: the Cayley transform, squared.

    A = -A'                          skew-symmetric, from n(n-1)/2 numbers
    C = (I - A/4)^-1 (I + A/4)       Cayley's transform of A/4
    Q = C C                          exp(A) + O(|A|^3)

Q is orthogonal whatever A is, because C is (the factors commute, and each is the transpose of the
other's inverse), so nothing has to be put back after a step of the optimizer. What floating point
leaves is about 1e-7 times the condition number of I - A/4, sqrt(1 + |A|^2/16).

Why this one of the ways:

- exp(A) (expRNN, Lezcano-Casado & Martinez-Rubio 2019, arXiv:1901.08428) is orthogonal only up to
  where its series is cut, with a number of squarings that depends on |A|. Q is its [1/1] Pade
  approximant with one squaring, and costs one inverse and one product.
- Cayley's transform itself (scoRNN, Helfrich et al. 2018, arXiv:1707.09520) reaches a half turn
  only with |A| at infinity, which scoRNN mends with a fixed diagonal of signs. Squared, it has half
  turns at |A| = 4: every rotation has a finite A, and a slope that does not vanish there.

An eigenvalue i*l of A turns by the angle 4 atan(l / 4).
"""

import numpy as np
from keras import ops


def skew_symmetric(parameters, size):
    """Returns A `(n, n)` from its entries above the diagonal, row by row, `(n(n-1)/2,)`."""
    # Not by a gather, whose gradient on TensorFlow is of the sparse kind that embeddings have.
    places = np.stack(np.triu_indices(size, 1), axis=-1)
    upper = ops.scatter(places, parameters, (size, size))
    return upper - ops.transpose(upper)


def rotation(parameters, size):
    """Returns Q `(n, n)`, orthogonal with determinant 1, from any numbers `(n(n-1)/2,)`."""
    identity = ops.eye(size, dtype=parameters.dtype)
    inverse = ops.inv(identity - skew_symmetric(parameters, size) / 4.0)
    cayley = 2.0 * inverse - identity  # = (I - A/4)^-1 (I + A/4)
    return ops.matmul(cayley, cayley)


def entry_of_angle(angle):
    """Returns the entry of A, in a 2 x 2 block of its own, that makes Q turn by `angle`."""
    return 4.0 * ops.tan(angle / 4.0)
