"""Weights of recurrent layers between Keras' conventions, PyTorch's and the notes' (erratum X07).

|                  | Keras, seqkeras        | PyTorch                | the notes         |
| ---------------- | ---------------------- | ---------------------- | ----------------- |
| kernels          | x W: `(D, blocks * H)` | W x: `(blocks * H, D)` | W x, here as x W  |
| biases           | one; of a GRU `(2, 3H)`| two                    | one               |
| gates of an LSTM | i, f, c, o             | i, f, g, o: the same   |                   |
| gates of a GRU   | z, r, c                | r, z, n                | z, r, c           |
| its z weighs     | the old state          | the old state          | the candidate     |
| its r is applied | after the matmul *     | after the matmul       | before the matmul |

* `reset_after=True`, Keras' default; `reset_after=False`, with one bias, is before.
Where r is applied has no converter: the two are different functions of the same weights, and asking
for one raises. All functions are pure, take and return lists of NumPy arrays, and keep dtypes.
Keras' lists are in the order of `get_weights()`: kernel, recurrent kernel, bias if there is one,
projection of a `ProjectedLSTM`. PyTorch's in that of `state_dict()`: weight_ih, weight_hh, bias_ih
and bias_hh if there are any, weight_hr of an `LSTM(proj_size=...)`. `directions=2`: what a
`Bidirectional` returns, and a PyTorch layer with `bidirectional=True`: forward, then backward.
"""

import numpy as np

# The block of Keras' kernels that stands at each place of PyTorch's; each order is its own inverse.
BLOCKS = {"simple_rnn": (0,), "lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}


def keras_to_torch(weights, cell, directions=1):
    """Returns the weights of a PyTorch `RNN`, `LSTM` or `GRU` that computes the same.

    Args:
        weights: List of arrays of a `SimpleRNN`, `LSTM`, `ProjectedLSTM` or `GRU`.
        cell: "simple_rnn", "lstm" or "gru".
        directions: 2 for the weights of a `Bidirectional`.

    Returns:
        List of arrays. PyTorch adds its two biases: Keras' single one becomes bias_ih, and bias_hh
        is zero.

    Raises:
        ValueError: for a GRU with `reset_after=False`, which PyTorch does not have, an unknown
            cell, or weights that are not those of such a layer. Without a bias the weights do not
            show where a GRU resets: see to it that it is after the matmul.

    Example:

    >>> import numpy as np
    >>> gru = [np.ones((3, 12)), np.ones((4, 12)), np.zeros((2, 12))]
    >>> [w.shape for w in keras_to_torch(gru, "gru")]
    [(12, 3), (12, 4), (12,), (12,)]
    """
    converted = []
    parts = _parts(weights, cell, directions, biases=1, axis=1)
    for kernel, recurrent, biases, projections in parts:
        if cell == "gru" and biases:
            _check_reset(biases[0], after=True, of="a PyTorch GRU")
            biases = biases[0]
        elif biases:
            biases = [biases[0], np.zeros_like(biases[0])]
        reordered = [_reordered(w, cell) for w in (kernel, recurrent, *biases)]
        converted += [w.T.copy() for w in (*reordered, *projections)]
    return converted


def torch_to_keras(weights, cell, directions=1):
    """Returns the weights of a Keras layer that computes what the PyTorch layer does.

    Args:
        weights: List of arrays of a PyTorch `RNN`, `LSTM`, `LSTM(proj_size=...)` or `GRU`, such as
            `[w.numpy() for w in layer.state_dict().values()]` of a layer with `num_layers=1`.
        cell: "simple_rnn", "lstm" or "gru".
        directions: 2 for a layer with `bidirectional=True`.

    Returns:
        List of arrays for `set_weights`; those of a GRU fit `reset_after=True`.

    Raises:
        ValueError: for an unknown cell, or weights that are not those of such a layer.
    """
    converted = []
    parts = _parts(weights, cell, directions, biases=2, axis=0)
    for kernel, recurrent, biases, projections in parts:
        biases = [_reordered(b, cell) for b in biases]
        if biases:
            biases = [np.stack(biases) if cell == "gru" else biases[0] + biases[1]]
        kernels = [_reordered(w.T, cell) for w in (kernel, recurrent)]
        converted += [*kernels, *biases, *(p.T.copy() for p in projections)]
    return converted


def notes_to_keras(weights, reset_after=False):
    """Returns the weights of a `GRU(reset_after=False)` that computes the GRU of the notes.

    h' = (1 - z) h + z c with W_z, U_z and b_z is h' = z h + (1 - z) c with their negatives.

    Args:
        weights: List of arrays in Keras' layout: W `(D, 3H)`, U `(H, 3H)` and, if any, b `(3H,)`,
            with the gates in the order z, r, c.
        reset_after: Where the GRU resets for which the weights are meant. Only False has a
            converter.

    Raises:
        ValueError: for `reset_after=True`, or the two biases that belong to it.
    """
    if reset_after:
        raise ValueError(_NO_CONVERTER.format(of="the notes' GRU", does="before", other="after"))
    for *_, biases, _ in _parts(weights, "gru", 1, biases=1, axis=1):
        for bias in biases:
            _check_reset(bias, after=False, of="the notes' GRU")
    return [_negated_update_gate(w) for w in weights]


def keras_to_notes(weights, reset_after=False):
    """Returns the weights of the notes' GRU for those of a `GRU(reset_after=False)`.

    The inverse of `notes_to_keras`, and the same: negating twice changes nothing.
    """
    return notes_to_keras(weights, reset_after)


_NO_CONVERTER = (
    "{of} applies the reset gate {does} the matmul, the weights belong to one that applies it "
    "{other} it. These are different functions and no weights make one the other: train or build "
    "the GRU with the other reset_after."
)


def _check_reset(bias, after, of):
    """Raises unless the bias is one of a GRU that resets after, or before, the matmul."""
    if (bias.ndim == 2) != after:
        does, other = ("after", "before") if after else ("before", "after")
        raise ValueError(_NO_CONVERTER.format(of=of, does=does, other=other))


def _parts(weights, cell, directions, biases, axis):
    """Returns a list with `(kernel, recurrent kernel, biases, projections)` of each direction.

    `biases` is how many of them a direction has, if it has any; `axis` is that of the gates in the
    kernels.
    """
    if cell not in BLOCKS:
        raise ValueError(f"cell: expected one of {sorted(BLOCKS)}, got {cell!r}.")
    count, rest = divmod(len(weights), directions)
    parts = []
    for start in range(0, directions * count, count or 1):
        kernels, others = weights[start : start + 2], weights[start + 2 : start + count]
        own = [w for w in others if w.ndim == 1 or cell == "gru"]
        projections = others[len(own) :]
        if (
            _are_kernels(kernels, cell, axis)
            and len(own) in (0, biases)
            and [w.ndim for w in projections] in ([], [2])
        ):
            parts.append((*kernels, own, projections))
    if rest or len(parts) != directions:
        raise ValueError(
            f"weights: expected, for each of {directions} directions, two kernels with the gates "
            f"along axis {axis}, {biases} or no bias of a {cell}, and of a projected lstm the "
            f"projection; got arrays of the shapes {[w.shape for w in weights]}."
        )
    return parts


def _are_kernels(weights, cell, axis):
    sizes = {w.shape[axis] for w in weights if w.ndim == 2}
    return len(weights) == 2 and len(sizes) == 1 and not sizes.pop() % len(BLOCKS[cell])


def _reordered(w, cell):
    """The blocks of columns of w in the order of the other library."""
    blocks = np.split(w, len(BLOCKS[cell]), axis=-1)
    return np.concatenate([blocks[k] for k in BLOCKS[cell]], axis=-1)


def _negated_update_gate(w):
    sign = np.ones(w.shape[-1], w.dtype)
    sign[: w.shape[-1] // 3] = -1
    return w * sign
