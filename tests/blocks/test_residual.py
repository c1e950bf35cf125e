import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import BahdanauAttention, DotAttention, FeedForward, Residual
from tests.contract import MaskProbe, check_layer_contract, with_and_without_xla

B, T, S, D, H = 3, 4, 6, 5, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, D)).astype("float32")
MEMORY = RNG.normal(size=(B, S, D)).astype("float32")
MASK = np.array([[True] * T, [True, True, False, False], [True, False, False, False]])
EPSILON = 1e-5
NORMS = pytest.mark.parametrize("norm", ["pre", "post"])


def numpy_norm(x):
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + EPSILON)


def numpy_residual(f, x, norm):
    return x + f(numpy_norm(x)) if norm == "pre" else numpy_norm(x + f(x))


def close(found, expected, rtol=1e-4, atol=1e-4):
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=rtol, atol=atol)


@pytest.mark.covers("Residual", kind="oracle")
@NORMS
def test_equals_numpy(norm):
    layer = Residual(FeedForward(H), norm=norm)
    found = layer(X)
    W, b, U, c = (ops.convert_to_numpy(w) for w in layer.layer.weights)
    close(found, numpy_residual(lambda x: np.maximum(x @ W + b, 0) @ U + c, X, norm))


@pytest.mark.covers("Residual", kind="oracle")
@NORMS
def test_extra_arguments_and_outputs_of_attention_pass_through(norm):
    layer = Residual(DotAttention(), norm=norm)
    real = np.arange(S) < np.array([[6], [3], [1]])

    def attend(x):
        scores = np.where(real[:, None], np.einsum("btd,bsd->bts", x, MEMORY), -np.inf)
        weights.append(np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True))
        return weights[0] @ MEMORY

    weights = []
    expected = numpy_residual(attend, X, norm)
    close(layer(X, MEMORY, value_mask=real), expected)
    y, found = layer(X, value=MEMORY, value_mask=real, return_attention_scores=True)
    close(y, expected)
    close(found, weights[0])


@NORMS
def test_the_mask_reaches_the_layer_and_what_follows(norm):
    """A wrapped layer gets `mask`, or the mask of its first argument, and padding stays inside."""
    garbage = np.where(MASK[..., None], X, np.nan)
    for layer, others in ((FeedForward(H), ()), (BahdanauAttention(4), (MEMORY,))):
        residual = Residual(layer, norm=norm)
        name = "query_mask" if others else "mask"
        clean = ops.convert_to_numpy(residual(X, *others))
        found = ops.convert_to_numpy(residual(garbage, *others, **{name: MASK}))
        close(found[MASK], clean[MASK])
        assert np.isfinite(found).all()


def test_carried_masks_of_all_arguments_are_heeded_and_passed_on():
    residual = Residual(BahdanauAttention(4))
    entry, memory = keras.Input((T, D)), keras.Input((S, D))
    masking = keras.layers.Masking()
    y = residual(masking(entry), masking(memory))
    x, z = np.where(MASK[..., None], X, 0.0), MEMORY.copy()
    real = np.arange(S) < np.array([[6], [3], [1]])
    z[~real] = 0.0
    model = keras.Model([entry, memory], [y, MaskProbe()(y)])
    found, probed = model.predict([x, z], verbose=0)
    np.testing.assert_array_equal(probed, MASK)
    close(found, ops.convert_to_numpy(residual(X, MEMORY, query_mask=MASK, value_mask=real)))
    unmasked = ops.convert_to_numpy(residual(X, MEMORY))
    assert np.abs(found[MASK] - unmasked[MASK]).max() > 1e-3


@keras.saving.register_keras_serializable(package="seqkeras_tests")
class Recorder(keras.Layer):
    """Notes what it is called with."""

    def call(self, query, other=None, query_mask=None):
        self.seen = (other, query_mask)
        return query


def test_arguments_have_the_names_of_the_layer():
    residual = Residual(Recorder())
    residual(query=X, query_mask=MASK, other="as it is")
    other, mask = residual.layer.seen
    assert other == "as it is"
    np.testing.assert_array_equal(mask, MASK)
    with pytest.raises(TypeError, match="query"):
        residual(inputs=X)


def test_a_layer_that_knows_no_mask_reads_zeros_in_the_padding():
    garbage = np.where(MASK[..., None], X, np.nan)
    residual = Residual(keras.layers.Identity())
    found = ops.convert_to_numpy(residual(garbage, mask=MASK))
    np.testing.assert_array_equal(found[~MASK], np.zeros((int((~MASK).sum()), D)))


def test_dropout_is_on_what_is_added_and_only_in_training():
    """With LN(x) for f(x) there is x where it dropped, and twice as much added elsewhere."""
    layer = Residual(keras.layers.Identity(), dropout=0.5, seed=1)
    plain, dropped = (ops.convert_to_numpy(layer(X, training=t)) for t in (False, True))
    zero = dropped == X
    assert 0 < zero.sum() < zero.size
    close((dropped - X)[~zero], (2 * (plain - X))[~zero])


def test_training_reaches_the_layer():
    layer = Residual(keras.layers.Dropout(0.5, seed=1))
    close(layer(X, training=False), X + numpy_norm(X))
    assert (ops.convert_to_numpy(layer(X, training=True)) == X).any()


@NORMS
def test_around_a_function(norm):
    residual = Residual(norm=norm)
    residual.build(X.shape)

    def f(x):
        return ops.flip(x, axis=1), "extra"

    y, extra = residual.around(f, ops.convert_to_tensor(X))
    close(y, numpy_residual(lambda x: x[:, ::-1], X, norm))
    close(residual.before(ops.convert_to_tensor(X)), numpy_norm(X) if norm == "pre" else X)
    assert extra == "extra"


def test_a_stack_of_pre_norm_layers_passes_the_gradient_whole():
    """With f = 0 a pre-norm stack is the identity; a post-norm one normalises again and again."""
    zero = {"kernel_initializer": "zeros"}
    for norm, expected in (("pre", X), ("post", numpy_norm(X))):
        y = X
        for _ in range(3):
            y = Residual(FeedForward(H, **zero), norm=norm)(y)
        close(y, expected, atol=1e-3)


def test_errors():
    with pytest.raises(ValueError, match="norm: expected one of .*, got 'before'"):
        Residual(FeedForward(H), norm="before")
    with pytest.raises(ValueError, match="expected a layer to call, got None"):
        Residual()(X)
    with pytest.raises(ValueError, match="of the size of the input, 5, to add to it, got 7"):
        Residual(keras.layers.Dense(7))(X)


@pytest.mark.covers("Residual", kind="contract")
@with_and_without_xla
@NORMS
def test_contract(norm, jit_compile):
    check_layer_contract(
        lambda: Residual(FeedForward(H), norm=norm, epsilon=1e-4, seed=2),
        {"inputs": X},
        parameters=2 * D * H + H + D + 2 * D,
        masks={"inputs": "mask"},
        zero_when_masked=False,
        jit_compile=jit_compile,
    )
