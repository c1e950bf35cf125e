"""Keras' list-taking attention layers over our kernels; Keras' own tests: `tests/keras_drop_in`."""

import keras
import numpy as np
import pytest
from keras import ops, tree

import seqkeras.layers
from seqkeras.layers import AdditiveAttention, Attention, DotAttention
from tests.contract import (
    check_fully_masked_row,
    check_layer_contract,
    check_padding_changes_nothing,
    with_and_without_xla,
)
from tests.gradients import value_and_gradients

B, T, S, D, DV = 3, 4, 5, 6, 2
REAL = np.arange(S) < np.array([[5], [3], [1]])
LAYERS = {
    "dot": ("Attention", {}),
    "dot, scaled": ("Attention", {"use_scale": True}),
    "concat": ("Attention", {"score_mode": "concat"}),
    "concat, scaled": ("Attention", {"score_mode": "concat", "use_scale": True}),
    "additive": ("AdditiveAttention", {}),
    "additive, not scaled": ("AdditiveAttention", {"use_scale": False}),
}
each = pytest.mark.parametrize(("name", "options"), LAYERS.values(), ids=LAYERS)
PARAMETERS = {"dot": 0, "dot, scaled": 1, "concat": 1, "concat, scaled": 2, "additive": D}


@pytest.fixture
def tensors():
    """Query `(B, T, D)`, value `(B, S, Dv)` and key `(B, S, D)`."""
    rng = np.random.default_rng(0)
    shapes = [(B, T, D), (B, S, DV), (B, S, D)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def built(library, name, options, tensors):
    layer = getattr(library, name)(**options)
    layer.build([x.shape for x in tensors])
    rng = np.random.default_rng(4)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def numpy_scores(query, key, name, options, weights):
    """The scores `(B, T, S)`, in a loop over queries and keys."""
    weights = list(weights)
    g = weights.pop(0) if options.get("use_scale", name == "AdditiveAttention") else 1.0
    w = weights.pop(0) if weights else 1.0
    scores = np.zeros((len(query), query.shape[1], key.shape[1]))
    for b, t, s in np.ndindex(scores.shape):
        q, k = query[b, t], key[b, s]
        if name == "AdditiveAttention":
            scores[b, t, s] = np.sum(g * np.tanh(q + k))
        elif "score_mode" in options:
            scores[b, t, s] = w * np.sum(np.tanh(g * (q + k)))
        else:
            scores[b, t, s] = g * (q @ k)
    return scores


@pytest.mark.covers("Attention", "AdditiveAttention", kind="oracle")
@each
def test_equals_its_equation(name, options, tensors):
    query, value, key = tensors
    layer = built(seqkeras.layers, name, options, tensors)
    found = layer(tensors, mask=[None, REAL], use_causal_mask=True, return_attention_scores=True)
    scores = numpy_scores(query, key, name, options, layer.get_weights())
    seen = REAL[:, None] & np.tri(T, S, dtype=bool)
    e = np.exp(scores) * seen
    weights = e / e.sum(-1, keepdims=True)
    np.testing.assert_allclose(found[1], weights, atol=1e-5)
    np.testing.assert_allclose(found[0], weights @ value, atol=1e-5)


@each
def test_equals_keras_with_its_weights(name, options, tensors):
    """Values and gradients, where every query sees a key."""
    results = []
    for library in (seqkeras.layers, keras.layers):
        layer = built(library, name, options, tensors)

        def loss(*tensors, layer=layer):
            mask = [REAL[:, :T], REAL]
            return ops.sum(ops.sin(layer(list(tensors), mask=mask, use_causal_mask=True)))

        results.append(value_and_gradients(loss, tensors, layer.trainable_variables))
    for ours, theirs in zip(*map(tree.flatten, results), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_without_a_key_the_values_are_the_keys(tensors):
    query, _, key = tensors
    np.testing.assert_array_equal(Attention()([query, key]), Attention()([query, key, key]))
    np.testing.assert_allclose(Attention()([query, key]), DotAttention()(query, key), rtol=1e-5)


def test_axes_before_time_are_batches(tensors):
    """As in Keras: the columns of pictures `(B, height, width, D)` are sequences each."""
    query, _, key = tensors
    pictures = [np.stack([x, 2 * x], axis=1) for x in (query, key)]
    mask = [None, np.stack([REAL, REAL], axis=1)]
    output, weights = Attention()(
        pictures, mask=mask, use_causal_mask=True, return_attention_scores=True
    )
    for place in range(2):
        alone = Attention()(
            [x[:, place] for x in pictures],
            mask=[None, REAL],
            use_causal_mask=True,
            return_attention_scores=True,
        )
        np.testing.assert_allclose(output[:, place], alone[0], atol=1e-5)
        np.testing.assert_allclose(weights[:, place], alone[1], atol=1e-5)


class Unlisted:
    """The layer with the call of our other attention layers, for the checks of the contract."""

    def __init__(self, layer):
        self.layer = layer
        self.trainable_weights = layer.trainable_weights

    def __call__(self, query, value, key, query_mask, value_mask, key_mask):
        return self.layer([query, value, key], mask=[query_mask, value_mask, key_mask])


@each
def test_padding_changes_nothing_and_what_sees_nothing_is_zero(name, options, tensors):
    layer = Unlisted(built(seqkeras.layers, name, options, tensors))
    inputs = dict(zip(("query", "value", "key"), tensors, strict=True))
    masks = {argument: f"{argument}_mask" for argument in inputs}
    check_padding_changes_nothing(layer, inputs, masks)
    check_fully_masked_row(layer, inputs, masks, zero_when_masked=True)


@each
def test_asking_for_the_weights_never_changes_the_output(name, options, tensors):
    layer = built(seqkeras.layers, name, options, tensors)
    mask = [None, REAL & np.array([[True], [True], [False]])]
    output, weights = layer(tensors, mask=mask, return_attention_scores=True)
    np.testing.assert_array_equal(layer(tensors, mask=mask), output)
    np.testing.assert_array_equal(ops.convert_to_numpy(weights)[2], 0.0)


def test_masks_that_keras_carries_are_used_and_passed_on():
    ids = np.array([[5, 3, 0, 0], [1, 2, 4, 6]])
    x = keras.layers.Embedding(8, D, mask_zero=True)(ids)
    plain = ops.convert_to_numpy(x)
    output = AdditiveAttention(use_scale=False)([x, x])
    expected = AdditiveAttention(use_scale=False)([plain, plain], mask=[ids != 0, ids != 0])
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(ops.convert_to_numpy(output._keras_mask), ids != 0)


@each
def test_dropout_acts_in_training_only(name, options, tensors):
    plain = built(seqkeras.layers, name, options, tensors)
    layer = built(seqkeras.layers, name, {**options, "dropout": 0.5, "seed": 1}, tensors)
    np.testing.assert_array_equal(layer(tensors), plain(tensors))
    outputs = [layer(tensors, training=True, return_attention_scores=True) for _ in range(2)]
    assert np.abs(np.subtract(*(ops.convert_to_numpy(y) for y, _ in outputs))).max() > 0.01
    weights = ops.convert_to_numpy(plain(tensors, return_attention_scores=True)[1])
    dropped = ops.convert_to_numpy(outputs[0][1])
    np.testing.assert_allclose(dropped[dropped > 0], 2 * weights[dropped > 0], rtol=1e-5)


@pytest.mark.parametrize(("t", "s"), [(0, S), (T, 0), (1, 1)])
@each
def test_lengths_of_one_and_of_nothing(name, options, t, s):
    query, value = np.ones((B, t, D), "float32"), np.ones((B, s, D), "float32")
    layer = built(seqkeras.layers, name, options, [np.ones((B, T, D)), np.ones((B, S, D))])
    output, weights = layer([query, value], return_attention_scores=True)
    assert tuple(weights.shape) == (B, t, s)
    np.testing.assert_allclose(output, np.full((B, t, D), float(s > 0)), rtol=1e-6)


def test_sizes_that_do_not_match_raise(tensors):
    query, value, key = tensors
    for layer in (Attention(), AdditiveAttention()):
        for inputs in ([query[..., 1:], value, key], [query, value[:, 1:], key], [query, value]):
            with pytest.raises(ValueError, match="expected query and key of one size, and as many"):
                layer(inputs)
    with pytest.raises(ValueError, match=r"dropout: expected a rate in \[0, 1\), got 1"):
        Attention(dropout=1)


@pytest.mark.covers("Attention", "AdditiveAttention", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("kind", PARAMETERS)
def test_contract(kind, jit_compile, tensors):
    name, options = LAYERS[kind]
    check_layer_contract(
        lambda: getattr(seqkeras.layers, name)(**options),
        {"inputs": tensors},
        parameters=PARAMETERS[kind],
        jit_compile=jit_compile,
    )
