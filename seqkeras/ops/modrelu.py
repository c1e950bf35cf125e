"""modReLU, the rectifier that changes moduli and keeps phases, Arjovsky et al. 2016
(arXiv:1511.06464), equation (8).

    modReLU(z) = (|z| + b) z / |z|   where |z| + b >= 0,   else 0

b is learned, one for each number, and starts at 0, where modReLU is the identity. Of a real number
the phase is the sign.

Convention at z = 0, where the phase is undefined: it is taken for zero, so modReLU(0) = 0, with
slope 1 if b >= 0. Steps without input thus neither lose a gradient nor blow it up.
"""

from keras import ops

# |z| below which the phase of a complex z shrinks with z. The slope across the phase is 1 + b/|z|.
SMALLEST_MODULUS = 1e-4


def modrelu(z, b):
    """Returns modReLU `(B, H)` of real numbers z `(B, H)` with biases b `(H,)`."""
    return ops.where(ops.abs(z) + b >= 0, z + b * ops.sign(z), ops.zeros_like(z))


def complex_modrelu(z, b):
    """Returns modReLU `(B, 2N)` of complex numbers z = [Re z, Im z] `(B, 2N)`, b `(N,)`.

    Computed in float32 at least: float16 has no room for the square of a small modulus.
    """
    dtype = z.dtype
    if dtype in ("float16", "bfloat16"):
        z, b = ops.cast(z, "float32"), ops.cast(b, "float32")
    real, imaginary = ops.split(z, 2, axis=-1)
    square = ops.square(real) + ops.square(imaginary)
    modulus = ops.sqrt(ops.maximum(square, SMALLEST_MODULUS**2))
    scale = 1.0 + ops.where(square > 0, b / modulus, ops.zeros_like(square))
    scale = ops.where(modulus + b >= 0, scale, ops.zeros_like(scale))
    return ops.cast(ops.concatenate([real * scale, imaginary * scale], axis=-1), dtype)
