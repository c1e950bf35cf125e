"""Set Transformer, Lee et al. 2019 (arXiv:1810.00825), (12)-(13); notes B 5.3, Fig. 5.

    Z = Encoder(X)                 L blocks: SAB, ISAB, or dense layers on each element by itself
    y = W rFF(SAB(pool(Z))) + b    pool: PMA with k seeds, or the mean, sum or maximum

Nothing says where an element stands, so the encoder is equivariant and the answer invariant to the
order of the set. With "rff" and "mean", "sum" or "max" it is the network of Zaheer et al. 2017
(arXiv:1703.06114) that the paper compares with.
"""

import keras
from keras import ops

from seqkeras.blocks.pooling import LengthMask, SequencePooling
from seqkeras.blocks.set_attention import (
    InducedSetAttentionBlock,
    PoolingByMultiheadAttention,
    SetAttentionBlock,
)

ENCODERS = ("sab", "isab", "rff")
POOLINGS = ("pma", "mean", "sum", "max")


def set_transformer(
    outputs,
    features=1,
    mean=None,
    variance=None,
    target_mean=None,
    target_variance=None,
    encoder="sab",
    blocks=2,
    units=64,
    num_heads=4,
    num_inducing=16,
    pooling="pma",
    num_seeds=1,
    decoder_blocks=0,
    layer_norm=False,
):
    """Builds a network from sets of vectors to one vector, or to k.

    Args:
        outputs: int, size of each vector that comes out: numbers to regress, or logits.
        features: int. D, size of an element.
        mean, variance: Float arrays `(D,)`, each feature's statistics over the training set, or
            None. They become part of the model, which takes raw values.
        target_mean, target_variance: Float arrays `(outputs,)`, those of the targets, or None. The
            last layer's answers are scaled back with them.
        encoder: What a block is: "sab", attention between all elements; "isab", through
            `num_inducing` learned points; "rff", two dense layers on each element by itself.
        blocks: int. L.
        units: int, size of an element within the network.
        num_heads: int, a divisor of `units`.
        num_inducing: int, for "isab": m.
        pooling: "pma", "mean", "sum" or "max".
        num_seeds: int, for "pma": k, how many vectors come out.
        decoder_blocks: int, SABs between these vectors.
        layer_norm: If True, layer norm in the attention blocks. Off, as in the paper's experiments.

    Returns:
        A functional `keras.Model`, `{"elements": (B, T, D) float, "length": (B,)}` to float32
        `(B, k, outputs)`; k = 1 unless the pooling is "pma". What lies behind a set's length
        changes nothing.

    Raises:
        ValueError: for an unknown encoder or pooling, no block, seeds without "pma", statistics
            that come singly or are of another size, and sizes that do not go together.

    Example:

    >>> import numpy as np
    >>> model = set_transformer(outputs=1, features=2, units=8)
    >>> model({"elements": np.zeros((5, 7, 2)), "length": np.full(5, 7)}).shape
    TensorShape([5, 1, 1])
    """
    _check(encoder, blocks, pooling, num_seeds)
    scale = _normalization(mean, variance, features, "normalization")
    scale_back = _normalization(target_mean, target_variance, outputs, "answer", invert=True)

    # layers
    encoders = _encoder(encoder, blocks, units, num_heads, num_inducing, layer_norm)
    attention = {"num_heads": num_heads, "layer_norm": layer_norm}
    if pooling == "pma":
        pool = PoolingByMultiheadAttention(num_seeds=num_seeds, name="pooling", **attention)
    else:
        pool = SequencePooling(pooling, name="pooling")
    decoders = [
        SetAttentionBlock(name=f"decoder_{index}", **attention) for index in range(decoder_blocks)
    ]

    # functional model
    elements = keras.Input((None, features), name="elements")
    length = keras.Input((), dtype="int32", name="length")
    mask = LengthMask(name="mask")(elements, length)
    # Zero, so that no NaN of the padding reaches the gradient of a kernel.
    x = ops.where(ops.expand_dims(mask, -1), elements, 0.0)
    x = x if scale is None else scale(x)
    for layer in encoders:
        attends = isinstance(layer, SetAttentionBlock | InducedSetAttentionBlock)
        x = layer(x, mask=mask) if attends else layer(x)
    y = pool(x, mask=mask)
    if pooling != "pma":
        y = keras.layers.Reshape((1, units), name="one_vector")(y)
    for layer in decoders:
        y = layer(y)
    if pooling != "pma":  # the blocks of attention end with an rFF of their own
        y = keras.layers.Dense(units, "relu", name="hidden")(y)
    y = keras.layers.Dense(outputs, dtype="float32", name="outputs")(y)
    y = y if scale_back is None else scale_back(y)
    return keras.Model({"elements": elements, "length": length}, y, name="set_transformer")


def _encoder(encoder, blocks, units, num_heads, num_inducing, layer_norm):
    """Returns the layers from elements to Z."""
    if encoder == "rff":
        count = 2 * blocks  # linear at the end, as in the paper
        return [
            keras.layers.Dense(units, "relu" if index < count else None, name=f"encoder_{index}")
            for index in range(1, count + 1)
        ]
    layers = [keras.layers.Dense(units, name="embedding")]
    for index in range(1, blocks + 1):
        options = {"layer_norm": layer_norm, "name": f"encoder_{index}"}
        if encoder == "isab":
            layers.append(InducedSetAttentionBlock(num_heads, num_inducing, **options))
        else:
            layers.append(SetAttentionBlock(num_heads, **options))
    return layers


def _normalization(mean, variance, size, name, invert=False):
    """Returns the layer that scales by statistics, or None where there are none."""
    if mean is None and variance is None:
        return None
    if mean is None or variance is None or not len(mean) == len(variance) == size:
        raise ValueError(
            f"{name}: expected mean and variance of {size} numbers each, or neither; got mean="
            f"{mean}, variance={variance}."
        )
    return keras.layers.Normalization(
        mean=mean, variance=variance, invert=invert, dtype="float32", name=name
    )


def _check(encoder, blocks, pooling, num_seeds):
    if encoder not in ENCODERS:
        raise ValueError(f"encoder: expected one of {ENCODERS}, got {encoder!r}.")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling: expected one of {POOLINGS}, got {pooling!r}.")
    if blocks < 1:
        raise ValueError(f"blocks: expected at least 1, got {blocks}.")
    if num_seeds != 1 and pooling != "pma":
        raise ValueError(
            f"num_seeds: the pooling {pooling!r} gives one vector: expected 1, got {num_seeds}. "
            'Take pooling="pma" for more.'
        )
