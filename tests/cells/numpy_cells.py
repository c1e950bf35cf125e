"""The recurrent cells once more, as loops in NumPy: the oracle of their layers.

A step is `(x_t, states, weights) -> (output, states)`, with weights in Keras' layout.
"""

import numpy as np

RNG = np.random.default_rng(0)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def elman(x_t, states, weights):
    kernel, recurrent, bias = weights
    h = np.tanh(x_t @ kernel + states[0] @ recurrent + bias)
    return h, [h]


def lstm(x_t, states, weights):
    kernel, recurrent, bias = weights
    h, c = states
    i, f, g, o = np.split(x_t @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, [h, c]


def gru_reset_before(x_t, states, weights):
    kernel, recurrent, bias = weights
    (W_z, W_r, W_c), (U_z, U_r, U_c) = np.split(kernel, 3, axis=1), np.split(recurrent, 3, axis=1)
    b_z, b_r, b_c = np.split(bias, 3)
    h = states[0]
    z = sigmoid(x_t @ W_z + h @ U_z + b_z)
    r = sigmoid(x_t @ W_r + h @ U_r + b_r)
    h = z * h + (1 - z) * np.tanh(x_t @ W_c + (r * h) @ U_c + b_c)
    return h, [h]


def gru_reset_after(x_t, states, weights):
    kernel, recurrent, (b, d) = weights
    h = states[0]
    x_z, x_r, x_c = np.split(x_t @ kernel + b, 3, axis=-1)
    h_z, h_r, h_c = np.split(h @ recurrent + d, 3, axis=-1)
    z = sigmoid(x_z + h_z)
    h = z * h + (1 - z) * np.tanh(x_c + sigmoid(x_r + h_r) * h_c)
    return h, [h]


def run(step, weights, x, states, mask=None):
    """Returns all outputs `(B, T, H)` and the last states, in float64.

    Where `mask` `(B, T)` is False the states stay and the last output is repeated.
    """
    weights = [np.asarray(w, "float64") for w in weights]
    states = [np.asarray(s, "float64") for s in states]
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    output, outputs = np.zeros_like(states[0]), []
    for t in range(x.shape[1]):
        real = mask[:, t, None]
        new_output, new_states = step(x[:, t], states, weights)
        output = np.where(real, new_output, output)
        states = [np.where(real, new, old) for new, old in zip(new_states, states, strict=True)]
        outputs.append(output)
    return np.stack(outputs, axis=1), states


def randomized(layer, *args, **kwargs):
    """Builds the layer by a call, and returns it with weights that are all random."""
    layer(*args, **kwargs)
    layer.set_weights([RNG.normal(size=w.shape, scale=0.7) for w in layer.get_weights()])
    return layer
