"""Multi-head attention as a loop over heads in NumPy: the oracle of the layers with heads.

Head by head, each with matrices of its own, as notes A (25) and notes B (13) have it.
"""

import numpy as np


def heads(layer, query, value, key=None, visible=None):
    """Returns `(output (B, T, E), weights (B, N, T, S))`, with the weights of the layer.

    Args:
        layer: A built layer without an activation of its own.
        query, value, key: Arrays `(B, T, Dq)`, `(B, S, Dv)`, `(B, S, Dk)`.
        visible: Boolean that broadcasts to `(B, N, T, S)`.
    """
    key = value if key is None else key
    to_query, to_key, to_value, to_output = (
        [np.asarray(weight, "float64") for weight in dense.get_weights()]
        for dense in (layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense)
    )
    count, groups = to_query[0].shape[1], to_key[0].shape[1]
    shape = (len(query), count, query.shape[1], value.shape[1])
    visible = np.broadcast_to(True if visible is None else visible, shape)
    weights = np.zeros(shape)
    output = to_output[1] if len(to_output) > 1 else 0.0
    for n in range(count):
        g = n // (count // groups)
        q, k, v = of_head(query, to_query, n), of_head(key, to_key, g), of_head(value, to_value, g)
        scores = q @ np.swapaxes(k, 1, 2) / np.sqrt(q.shape[-1])
        e = np.exp(scores - scores.max()) * visible[:, n]
        total = e.sum(-1, keepdims=True)
        weights[:, n] = np.divide(e, total, out=np.zeros_like(e), where=total > 0)
        output = output + weights[:, n] @ v @ to_output[0][n]
    return output, weights


def of_head(x, dense, head):
    kernel, *bias = dense
    return x @ kernel[:, head] + (bias[0][head] if bias else 0.0)


def randomized(layer, seed=5):
    """The built layer with random weights, biases too."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=w.shape) / np.sqrt(w.shape[0]) for w in layer.get_weights()])
    return layer
