"""cuDNN's kernel needs a GPU; what surrounds it is tested with XLA's in its place."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import MultiHeadAttention
from seqkeras.ops.attention import Visibility, additive, fused, whole_attention
from tests.gradients import value_and_gradients

jax_only = pytest.mark.skipif(keras.backend.backend() != "jax", reason="needs the JAX backend")
B, N, S, D = 2, 4, 6, 8
KEYS = np.arange(S) < np.array([[6], [4]])
PATTERN = np.random.default_rng(0).random((B, 1, S, S)) < 0.6
PATTERN[0, :, 2] = False  # a query that sees nothing
PARTS = {
    "nothing": Visibility(),
    "causal": Visibility(causal=True),
    "padding": Visibility(KEYS),
    "padding, causal": Visibility(KEYS, causal=True),
    "nobody real": Visibility(np.zeros((B, S), bool)),
    "queries": Visibility(queries=KEYS),
    "pattern": Visibility(KEYS, PATTERN, causal=True, queries=KEYS),
    "window": Visibility(KEYS, window=2),
    "offset": Visibility(causal=True, offset=1),
}


def tensors(groups):
    rng = np.random.default_rng(1)
    return [rng.normal(size=(B, n, S, D)).astype("float32") for n in (N, groups, groups)]


@jax_only
@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("groups", [N, 2, 1])
def test_values_and_gradients_are_those_of_the_whole_matrix(name, groups):
    parts = PARTS[name]

    def of_kernel(*heads):
        return ops.sum(ops.sin(fused.fused_attention(*heads, parts, implementation="xla")))

    def of_matrix(*heads):
        return ops.sum(ops.sin(whole_attention(*heads, additive(parts, S, S))[0]))

    ours, theirs = (value_and_gradients(f, tensors(groups), []) for f in (of_kernel, of_matrix))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5, atol=1e-4)  # a sum of 384
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@jax_only
def test_a_layer_of_16_bits_enters_the_kernel(monkeypatch):
    calls = []

    def kernel(*heads):
        calls.append(heads)
        return entered(*heads, implementation="xla")

    entered = fused.fused_attention
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    monkeypatch.setattr(fused, "fused_attention", kernel)
    x = np.random.default_rng(2).normal(size=(B, S, N * D)).astype("float32")
    layer = MultiHeadAttention(N, D, flash_attention=True, dtype="mixed_bfloat16")
    found = layer(x, x, use_causal_mask=True)
    assert len(calls) == 1
    whole = MultiHeadAttention(N, D, flash_attention=False, dtype="mixed_bfloat16")
    whole.build(x.shape, x.shape)
    whole.set_weights(layer.get_weights())
    wanted = whole(x, x, use_causal_mask=True)
    found, wanted = (np.asarray(y).astype("float32") for y in (found, wanted))
    np.testing.assert_allclose(found, wanted, atol=3e-2)


def test_without_a_gpu_or_with_what_it_cannot_do_it_is_left_alone(monkeypatch):
    query, _, value = (x.astype("float16") for x in tensors(N))
    assert not fused.fits(query, value, None, 0.0)
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    on_jax = keras.backend.backend() == "jax"
    assert fused.fits(query, value, None, 0.0) == on_jax
    assert not fused.fits(query, value, np.zeros((1, 1, 1, 1)), 0.0)
    assert not fused.fits(query, value, None, 0.1)
    assert not fused.fits(query.astype("float32"), value, None, 0.0)
    assert not fused.fits(query[..., :7], value[..., :7], None, 0.0)
    assert not fused.fits(query, value[..., :4], None, 0.0)
