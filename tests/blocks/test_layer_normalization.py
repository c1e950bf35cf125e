import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import LayerNormalization
from seqkeras.ops import layer_norm as kernels
from tests.contract import check_layer_contract, gradients, with_and_without_xla

B, T, D = 3, 4, 6
RNG = np.random.default_rng(0)
X = RNG.normal(1.0, 2.0, size=(B, T, D)).astype("float32")
AXES = pytest.mark.parametrize("axis", [-1, 2, 1, [1, 2], [-1, -2], [0, 2], (-1,)])


def pair(x=X, **options):
    """Keras' layer and ours, with the same random weights."""
    theirs, ours = keras.layers.LayerNormalization(**options), LayerNormalization(**options)
    for layer in (theirs, ours):
        layer.build(x.shape)
    values = [RNG.normal(size=w.shape) for w in theirs.weights]
    for layer in (theirs, ours):
        layer.set_weights(values)
    return theirs, ours


def close(ours, theirs, rtol=1e-4, atol=1e-5):
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        a, b = (ops.convert_to_numpy(x) for x in (a, b))
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.covers("LayerNormalization", kind="oracle")
@AXES
def test_equals_keras(axis):
    theirs, ours = pair(axis=axis)
    close(ours(X), theirs(X))
    close(gradients(ours, {"inputs": X}), gradients(theirs, {"inputs": X}))


@pytest.mark.covers("LayerNormalization", kind="oracle")
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-6])
def test_options_mean_what_they_mean_in_keras(scale, center, epsilon):
    theirs, ours = pair(scale=scale, center=center, epsilon=epsilon)
    close(ours(X), theirs(X))
    assert [w.path.rpartition("/")[2] for w in ours.weights] == [
        w.path.rpartition("/")[2] for w in theirs.weights
    ]


@pytest.mark.parametrize("shape", [(2, 6), (2, 3, 2, 5), (5,)])
def test_any_rank(shape):
    x = RNG.normal(size=shape).astype("float32")
    theirs, ours = pair(x)
    close(ours(x), theirs(x))


@pytest.mark.parametrize(
    "policy",
    ["float16", "mixed_bfloat16", pytest.param("float64", marks=pytest.mark.tensorflow)],
)
def test_dtypes_are_those_of_keras(policy):
    theirs, ours = pair(dtype=policy)
    found, expected = ours(X), theirs(X)
    assert found.dtype == expected.dtype
    close(ops.cast(found, "float32"), ops.cast(expected, "float32"), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("axis", [-1, [1, 2], 1])
def test_the_kernel_is_ours(axis, monkeypatch):
    calls = []
    original = kernels.layer_norm
    monkeypatch.setattr(kernels, "layer_norm", lambda *a: calls.append(a[0].shape) or original(*a))
    LayerNormalization(axis=axis)(X)
    assert len(calls) == 1


def test_regularizers_and_constraints_work():
    layer = LayerNormalization(
        gamma_regularizer="l2",
        beta_constraint="non_neg",
        gamma_initializer=keras.initializers.Constant(2.0),
    )
    layer(X)
    np.testing.assert_allclose(float(sum(layer.losses)), 0.01 * D * 4.0, rtol=1e-5)
    assert isinstance(layer.beta.constraint, keras.constraints.NonNeg)


def test_masked_positions_come_out_as_the_bias():
    _, layer = pair()
    mask = np.array([[True] * T, [True, True, False, False], [False] * T])
    garbage = np.where(mask[..., None], X, np.nan)
    found = ops.convert_to_numpy(layer(garbage, mask=mask))
    close(found[mask], ops.convert_to_numpy(layer(X))[mask])
    close(found[~mask], np.tile(ops.convert_to_numpy(layer.beta), ((~mask).sum(), 1)))


def test_a_mask_of_another_rank_plays_no_part():
    images = RNG.normal(size=(2, 3, 4, 5)).astype("float32")
    _, layer = pair(images)
    close(layer(images, mask=np.zeros((2, 3), bool)), layer(images))


def test_a_config_of_keras_makes_our_layer():
    theirs = keras.layers.LayerNormalization(axis=[1, 2], epsilon=0.1, gamma_regularizer="l1")
    config = theirs.get_config()
    assert LayerNormalization.from_config(config).get_config() == config


@pytest.mark.covers("LayerNormalization", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize(
    ("options", "parameters", "masks"),
    [
        ({"epsilon": 1e-5}, 2 * D, {"inputs": "mask"}),
        # over time the padding takes part, as zeros
        ({"axis": [1, 2], "center": False, "gamma_initializer": "he_normal"}, T * D, None),
    ],
)
def test_contract(options, parameters, masks, jit_compile):
    check_layer_contract(
        lambda: LayerNormalization(**options),
        {"inputs": X},
        parameters=parameters,
        masks=masks,
        zero_when_masked=False,
        jit_compile=jit_compile,
    )
