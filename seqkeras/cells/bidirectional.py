"""Both directions of time, Schuster & Paliwal 1997; notes A (11), notes B 2.6.

Two recurrent layers, one for each direction of time:

    h^t = F(h^{t-1}, x^t),   g^t = G(g^{t+1}, x^t),   y^t = merge(h^t, g^t)
"""

import keras
from keras import ops

from seqkeras.ops.recurrence.side_by_side import side_by_side

MERGES = {
    "concat": lambda h, g: ops.concatenate([h, g], axis=-1),
    "sum": lambda h, g: h + g,
    "ave": lambda h, g: (h + g) / 2,
    "mul": lambda h, g: h * g,
}


@keras.saving.register_keras_serializable(package="seqkeras")
class Bidirectional(keras.Layer):
    """Runs one recurrent layer forwards and a second one backwards, and merges their outputs.

    For whatever may look at the whole sequence before it answers: encoders, taggers.

    Args:
        layer: A recurrent layer; the layer that runs is a copy of it.
        merge_mode: "concat", "sum", "ave", "mul", or None for a pair of outputs.
        backward_layer: The layer for the other direction, with the other `go_backwards`; default: a
            copy of `layer`.

    Call arguments:
        sequences: Float tensor `(B, T, D)`.
        initial_state: The forward states, then the backward ones, in one list, or None.
        mask: Boolean tensor `(B, T)` or None.
        training: Passed to both layers.
        sequences_mask: See `RNN`; give `mask` yourself.

    Returns:
        The merged output; with the layer's `return_state` a tuple of it, the forward states, and
        the backward states. The output at t has seen x_1..x_t forwards and x_T..x_t backwards.

    Masking: the padding on the right is skipped by both directions; its outputs are zero.

    Raises:
        ValueError: for an unknown merge mode, or layers that do not go together.
    """

    def __init__(self, layer, merge_mode="concat", backward_layer=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(layer, keras.Layer) or not hasattr(layer, "go_backwards"):
            raise ValueError(f"Bidirectional: expected a recurrent layer, got {layer!r}.")
        if merge_mode is not None and merge_mode not in MERGES:
            raise ValueError(
                f"merge_mode: expected one of {sorted(MERGES)} or None, got {merge_mode!r}."
            )
        self.forward_layer = _copy(layer, "forward", layer.go_backwards)
        self.backward_layer = _copy(
            backward_layer or layer,
            "backward",
            backward_layer.go_backwards if backward_layer else not layer.go_backwards,
        )
        if self.forward_layer.go_backwards == self.backward_layer.go_backwards:
            raise ValueError(
                "Bidirectional: expected layers with different go_backwards, got "
                f"{layer.go_backwards} for both."
            )
        for name in ("return_sequences", "return_state", "stateful"):
            ours, theirs = getattr(self.forward_layer, name), getattr(self.backward_layer, name)
            if ours != theirs:
                raise ValueError(
                    f"Bidirectional: expected the same {name} in both layers, got {ours} and "
                    f"{theirs}."
                )
        for direction in (self.forward_layer, self.backward_layer):
            direction.zero_output_for_mask = layer.return_sequences
        self.merge_mode = merge_mode
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.stateful = layer.stateful
        self.supports_masking = True

    def build(self, sequences_shape, initial_state_shape=None):
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape)

    def call(self, sequences, initial_state=None, mask=None, training=None, *, sequences_mask=None):
        if mask is None:
            mask = sequences_mask
        forward_state = backward_state = None
        if initial_state is not None:
            forward_count = len(self.forward_layer.state_size)
            forward_state = initial_state[:forward_count]
            backward_state = initial_state[forward_count:]
        options = {"mask": mask, "training": training}
        with side_by_side():
            h = self.forward_layer(sequences, initial_state=forward_state, **options)
            g = self.backward_layer(sequences, initial_state=backward_state, **options)
        states = ()
        if self.return_state:
            states = (*h[1:], *g[1:])
            h, g = h[0], g[0]
        if self.return_sequences:
            # The layer that ran backwards put its first output, that of step T, first.
            if self.backward_layer.go_backwards:
                g = ops.flip(g, axis=1)
            else:
                h = ops.flip(h, axis=1)
        # The two layers keep the dtype policy they came with.
        h, g = ops.cast(h, self.compute_dtype), ops.cast(g, self.compute_dtype)
        output = (h, g) if self.merge_mode is None else MERGES[self.merge_mode](h, g)
        if not self.return_state:
            return output
        return (*output, *states) if self.merge_mode is None else (output, *states)

    def reset_state(self):
        """Sets the carried states of both directions to zero."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def compute_mask(self, _, mask=None):
        output_mask = mask if self.return_sequences else None
        outputs = [output_mask, output_mask] if self.merge_mode is None else [output_mask]
        if self.return_state:
            layers = (self.forward_layer, self.backward_layer)
            return outputs + [None] * sum(len(layer.state_size) for layer in layers)
        return outputs if self.merge_mode is None else output_mask

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        h = self.forward_layer.compute_output_shape(sequences_shape)
        g = self.backward_layer.compute_output_shape(sequences_shape)
        states = ()
        if self.return_state:
            states = (*h[1:], *g[1:])
            h, g = h[0], g[0]
        if self.merge_mode is None:
            return (h, g, *states)
        merged = (*h[:-1], h[-1] + g[-1]) if self.merge_mode == "concat" else h
        return (merged, *states) if self.return_state else merged

    def get_config(self):
        config = {
            "layer": keras.saving.serialize_keras_object(self.forward_layer),
            "backward_layer": keras.saving.serialize_keras_object(self.backward_layer),
            "merge_mode": self.merge_mode,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for name in ("layer", "backward_layer"):
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        return cls(**config)


def _copy(layer, direction, go_backwards):
    """A layer of the same config, without the weights, named after its direction."""
    config = layer.get_config()
    name = config["name"]
    for prefix in ("forward_", "backward_"):
        name = name.removeprefix(prefix)
    config.update(name=f"{direction}_{name}", go_backwards=go_backwards)
    return type(layer).from_config(config)
