"""One product for queries, keys and values, where all three are made of the same sequence."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.attention.projection import project_together
from seqkeras.layers import GroupQueryAttention, MultiHeadAttention
from tests.gradients import value_and_gradients

B, T, D = 2, 5, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, D)).astype("float32")


def built(layer):
    layer.build(X.shape, X.shape)
    layer.set_weights([RNG.normal(size=w.shape) for w in layer.weights])
    return layer


@pytest.mark.parametrize(
    "make",
    [
        lambda: MultiHeadAttention(2, 3),
        lambda: MultiHeadAttention(2, 3, use_bias=False),
        lambda: MultiHeadAttention(2, 3, value_dim=4),
        lambda: GroupQueryAttention(3, 4, 2),
        lambda: MultiHeadAttention(2, 3, activity_regularizer="l2"),
    ],
    ids=["heads", "no bias", "values of another size", "groups", "activities cost"],
)
def test_it_is_attend_with_its_own_memory(make):
    layer = built(make())
    upstream = ops.convert_to_tensor(RNG.normal(size=X.shape).astype("float32"))

    def measured(attend):
        return value_and_gradients(
            lambda x: ops.sum(attend(x) * upstream), [X], layer.trainable_variables
        )

    found = measured(lambda x: layer.attend_itself(x)[0])
    wanted = measured(lambda x: layer.attend(x, layer.prepare(x))[0])
    for a, b in zip(*map(keras.tree.flatten, (found, wanted)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_what_does_more_than_a_product_is_left_alone():
    layer = built(MultiHeadAttention(2, 3))
    dense = (layer.query_dense, layer.key_dense, layer.value_dense)
    assert len(project_together(dense, X)) == 3
    layer.key_dense.enable_lora(2)
    assert project_together(dense, X) is None
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer.attend_itself(ops.convert_to_tensor(X))[0]),
        ops.convert_to_numpy(layer(X, X)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_half_precision_gives_half_precision():
    layer = MultiHeadAttention(2, 3, dtype="mixed_bfloat16")
    layer.build(X.shape, X.shape)
    parts = project_together((layer.query_dense, layer.key_dense, layer.value_dense), X)
    assert {keras.backend.standardize_dtype(part.dtype) for part in parts} == {"bfloat16"}
    assert {tuple(part.shape) for part in parts} == {(B, 2, T, 3)}
