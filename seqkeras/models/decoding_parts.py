"""From a model of any family to what decoding knows of it."""

from seqkeras.blocks.autoregressive_decoder import AutoregressiveDecoder
from seqkeras.blocks.transformer_stack import TransformerStack
from seqkeras.models.encoder_decoder import recurrent_parts
from seqkeras.models.transformer import transformer_parts

_FAMILIES = {AutoregressiveDecoder: recurrent_parts, TransformerStack: transformer_parts}


def decoding_parts(model):
    """Returns the `DecodingParts` of a model made by this package, also after loading it.

    Raises:
        ValueError: if the model has no layers "encoder" and "decoder" of the expected kinds.
    """
    layers = {layer.name: layer for layer in model.layers}
    for kind, make in _FAMILIES.items():
        if "encoder" in layers and isinstance(layers.get("decoder"), kind):
            return make(model)
    raise ValueError(
        'decoding_parts: expected a model with the layers "encoder" and "decoder" that '
        f"seqkeras.models builds, got layers {list(layers)}."
    )
