"""Gradient norms of the recurrent layers inside a model, on what reaches them from a batch."""

import keras
from keras import ops, tree

from seqkeras.analysis.gradient_flow import gradient_norms

LAGS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
EXAMPLES = 4


def recurrent_layers(model):
    """Returns the layers of a functional model whose gradient flow can be measured, by name.

    Both directions of a `Bidirectional` are two layers, named `NAME/forward` and `NAME/backward`.
    Layers whose cell reads a memory (attention) are left out, and so is what other layers contain.

    Args:
        model: Functional or sequential `keras.Model`.

    Returns:
        Dict from a name to `(layer, layer in the model)`, the latter the `Bidirectional`, if any.
    """
    found = {}
    for layer in model.layers:
        parts = {layer.name: layer}
        if hasattr(layer, "forward_layer") and hasattr(layer, "backward_layer"):
            parts = {
                f"{layer.name}/forward": layer.forward_layer,
                f"{layer.name}/backward": layer.backward_layer,
            }
        for name, part in parts.items():
            if hasattr(part, "cell") and not hasattr(part.cell, "prepare"):
                found[name] = (part, layer)
    return found


def model_gradient_norms(model, inputs, layers=None, lags=LAGS, examples=EXAMPLES):
    """Measures ||ds_T/ds_{T-k}|| in the recurrent layers of a model.

    The inputs go through the model, in inference mode, as far as each layer; masks and initial
    states that reach it are its own.

    Args:
        model: Functional or sequential `keras.Model`.
        inputs: A batch of the model's inputs, in the model's structure.
        layers: Names of `recurrent_layers`, or None for all.
        lags: Ints, the lags to report; None for all.
        examples: int, how many examples of the batch to look at, the first ones.

    Returns:
        Dict from a layer's name to its `GradientNorms`.

    Raises:
        ValueError: if the model has no recurrent layer, or not those asked for.

    Example:

    >>> import keras, numpy as np
    >>> from seqkeras.layers import GRU
    >>> model = keras.Sequential([keras.Input((30, 2)), GRU(4, name="memory")])
    >>> norms = model_gradient_norms(model, np.zeros((8, 30, 2)), lags=[1, 10, 100])
    >>> {name: n.lags.tolist() for name, n in norms.items()}
    {'memory': [1, 10]}
    """
    known = recurrent_layers(model)
    names = list(known) if layers is None else list(layers)
    if not names or not set(names) <= set(known):
        raise ValueError(
            f"layers: expected names among the model's recurrent layers {sorted(known)}, got "
            f"{names}."
        )
    inputs = tree.map_structure(lambda x: ops.convert_to_tensor(x)[:examples], inputs)
    first = model.inputs if isinstance(model, keras.Sequential) else model.input
    norms = {}
    for name in names:
        part, outer = known[name]
        sequences, *rest = tree.flatten(keras.Model(first, outer.input)(inputs))
        # Among a layer's inputs Keras lists the mask too, if there is one.
        masks = [x for x in rest if keras.backend.standardize_dtype(x.dtype) == "bool"]
        states = [x for x in rest if keras.backend.standardize_dtype(x.dtype) != "bool"]
        if outer is not part:  # the forward states come first
            count = len(states) // 2
            states = states[count:] if part is outer.backward_layer else states[:count]
        norms[name] = gradient_norms(
            part,
            ops.convert_to_numpy(sequences),
            mask=ops.convert_to_numpy(masks[0]) if masks else None,
            initial_state=tree.pack_sequence_as(part.state_size, states) if states else None,
            lags=lags,
        )
    return norms
