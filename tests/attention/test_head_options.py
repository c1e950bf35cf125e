"""Masks, causality, dropout, activation, blocks: what all layers with heads do alike."""

import keras
import numpy as np
import pytest
from keras import ops, tree

from seqkeras.layers import GroupQueryAttention, MultiHeadAttention
from seqkeras.ops import attention as kernels
from tests.attention import numpy_heads
from tests.attention.numpy_heads import randomized
from tests.gradients import value_and_gradients

B, T, N, D = 3, 9, 4, 6
REAL = np.arange(T) < np.array([[9], [4], [0]])
RNG = np.random.default_rng(0)
PATTERN = RNG.random((B, N, T, T)) < 0.6
KINDS = {
    "multi-head": lambda **options: MultiHeadAttention(N, 3, value_dim=2, **options),
    "grouped": lambda **options: GroupQueryAttention(3, N, 2, **options),
}


@pytest.fixture(params=KINDS)
def make(request):
    """A function of options that returns a built layer with random weights."""

    def build(**options):
        layer = KINDS[request.param](**options)
        layer.build((B, T, D), (B, T, D))
        return randomized(layer)

    return build


@pytest.fixture
def tensors():
    """Query and value `(B, T, D)`."""
    return list(np.random.default_rng(1).normal(size=(2, B, T, D)).astype("float32"))


def outputs(layer, *tensors, **options):
    return ops.convert_to_numpy(layer(*tensors, **options))


def gradients(layer, tensors, **options):
    """Returns the gradients of a function of the output by inputs and weights."""

    def loss(*tensors):
        return ops.sum(ops.sin(layer(*tensors, **options)))

    return tree.flatten(value_and_gradients(loss, tensors, layer.trainable_variables)[1:])


@pytest.mark.parametrize(
    "pattern", [PATTERN[0, 0], PATTERN[:, 0], PATTERN], ids=["of all", "of examples", "of heads"]
)
def test_an_attention_mask_hides_and_nothing_else(make, tensors, pattern):
    layer = make()
    found = layer(*tensors, attention_mask=pattern, return_attention_scores=True)
    seen = pattern[:, None] if pattern.ndim == 3 else pattern
    expected = numpy_heads.heads(layer, *tensors, visible=seen)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(found[1])[~np.broadcast_to(seen, PATTERN.shape)], 0.0
    )


def test_masking_is_deleting(make, tensors):
    """E07."""
    layer = make()
    query, value = tensors
    value = np.where(REAL[..., None], value, np.nan).astype("float32")
    found = outputs(layer, query, value, value_mask=REAL)
    for b, n in ((0, 9), (1, 4)):
        alone = outputs(layer, query[b : b + 1], value[b : b + 1, :n])
        np.testing.assert_allclose(found[b], alone[0], atol=1e-5)
    np.testing.assert_allclose(found[2], np.broadcast_to(layer.output_dense.bias, (T, D)))


def test_all_masks_count_together(make, tensors):
    layer = make(sliding_window=3)
    key = np.random.default_rng(2).normal(size=(B, T, D)).astype("float32")
    value_mask, key_mask, query_mask = np.random.default_rng(3).random((3, B, T)) < 0.7
    _, weights = layer(
        *tensors,
        key,
        query_mask=query_mask,
        value_mask=value_mask,
        key_mask=key_mask,
        attention_mask=PATTERN,
        use_causal_mask=True,
        return_attention_scores=True,
    )
    t, s = np.arange(T)[:, None], np.arange(T)
    seen = PATTERN & (s <= t) & (t - s < 3) & query_mask[:, None, :, None]
    seen &= (value_mask & key_mask)[:, None, None]
    _, expected = numpy_heads.heads(layer, *tensors, key, seen)
    np.testing.assert_allclose(weights, expected, atol=1e-5)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_padding_of_nan_and_rows_that_see_nothing_leave_all_gradients_finite(
    make, tensors, chunk_size
):
    layer = make(chunk_size=chunk_size, use_gate=True)
    masks = {"query_mask": REAL[::-1], "value_mask": REAL}
    nan = [
        np.where(mask[..., None], x, np.nan).astype("float32")
        for x, mask in zip(tensors, masks.values(), strict=True)
    ]
    np.testing.assert_array_equal(outputs(layer, *nan, **masks), outputs(layer, *tensors, **masks))
    found, expected = (gradients(layer, x, **masks) for x in (nan, tensors))
    for ours, theirs in zip(found, expected, strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_array_equal(ours, theirs)
    for gradient, mask in zip(found, masks.values(), strict=False):
        np.testing.assert_array_equal(gradient[~mask], 0.0)
        assert gradient[mask].any()


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_no_gradient_comes_from_a_later_position(make, tensors, chunk_size):
    layer = make(chunk_size=chunk_size)
    place = 4

    def later(x):
        return ops.sum(ops.sin(layer(x, x, use_causal_mask=True)[:, place]))

    _, [gradient], _ = value_and_gradients(later, tensors[:1])
    np.testing.assert_array_equal(gradient[:, place + 1 :], 0.0)
    assert all(gradient[:, t].any() for t in range(place + 1))


@pytest.mark.parametrize("options", [{}, {"chunk_size": 2}, {"use_gate": True}], ids=str)
def test_asking_for_the_weights_never_changes_the_output(make, tensors, options):
    """K01: Keras' layer changes it, where a row sees nothing."""
    layer = make(**options)
    masks = {"value_mask": REAL, "attention_mask": PATTERN}
    output, weights = layer(*tensors, **masks, return_attention_scores=True)
    np.testing.assert_allclose(outputs(layer, *tensors, **masks), output, atol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(weights)[2], 0.0)


BLOCKS = {
    "plain": ({}, {}),
    "masks": ({}, {"value_mask": REAL, "query_mask": REAL[::-1]}),
    "causal": ({}, {"use_causal_mask": True, "value_mask": REAL}),
    "window": ({"sliding_window": 3}, {"use_causal_mask": True}),
    "pattern of heads": ({"use_gate": True}, {"attention_mask": PATTERN}),
}


@pytest.mark.parametrize(("options", "call"), BLOCKS.values(), ids=BLOCKS)
def test_blocks_of_queries_give_what_the_whole_matrix_gives(make, tensors, options, call):
    whole, blocks = make(**options), make(chunk_size=2, **options)
    np.testing.assert_allclose(
        outputs(blocks, *tensors, **call), outputs(whole, *tensors, **call), atol=1e-5
    )
    found, expected = (gradients(layer, tensors, **call) for layer in (blocks, whole))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "length", "chunked"),
    [
        ({}, 724, False),
        ({}, 725, True),
        ({"flash_attention": False}, 725, False),
        ({"flash_attention": True}, 9, True),
        ({"chunk_size": 8}, 9, True),
        ({"chunk_size": 9}, 9, False),
        ({"activation": "identity"}, 725, False),
    ],
    ids=str,
)
def test_which_kernel_runs(monkeypatch, options, length, chunked):
    entered = []
    for name in ("whole_attention", "chunked_attention"):
        kernel = getattr(kernels, name)

        def run(*args, kernel=kernel, **kwargs):
            entered.append(kernel.__name__)
            return kernel(*args, **kwargs)

        monkeypatch.setattr(kernels, name, run)
    x = np.ones((1, length, 2), "float32")
    MultiHeadAttention(8, 2, **options)(x, x)
    assert entered == ["chunked_attention" if chunked else "whole_attention"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("options", [{"chunk_size": 2}, {"flash_attention": True}], ids=str)
def test_blocks_of_lengths_that_are_not_known(make, tensors, options):
    import tensorflow as tf

    layer = make(**options)
    run = tf.function(
        lambda x, mask: layer(x, x, value_mask=mask, use_causal_mask=True),
        input_signature=[tf.TensorSpec([None, None, D]), tf.TensorSpec([None, None], tf.bool)],
    )
    for length in (1, 4, T):
        x, real = tensors[0][:, :length], REAL[:, :length]
        expected = make()(x, x, value_mask=real, use_causal_mask=True)
        np.testing.assert_allclose(run(x, real), expected, atol=1e-5)


@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("rate", [0.5, 0.98])
def test_dropout_acts_in_training_only_and_changes_from_call_to_call(
    make, tensors, rate, chunk_size
):
    layer = make(dropout=rate, seed=3, chunk_size=chunk_size)
    plain = outputs(make(), *tensors, value_mask=REAL)
    np.testing.assert_allclose(outputs(layer, *tensors, value_mask=REAL), plain, atol=1e-5)
    first, second = (outputs(layer, *tensors, value_mask=REAL, training=True) for _ in range(2))
    assert np.abs(first - plain).max() > 0.01
    assert np.abs(first - second).max() > 0.01
    again = make(dropout=rate, seed=3, chunk_size=chunk_size)
    np.testing.assert_allclose(outputs(again, *tensors, value_mask=REAL, training=True), first)
    found = gradients(layer, tensors, value_mask=REAL, training=True)
    assert all(np.isfinite(gradient).all() for gradient in found)


def test_dropout_keeps_the_mean(tensors):
    x = np.repeat(tensors[0][:1], 2000, axis=0)
    layer = MultiHeadAttention(2, 3, dropout=0.3, seed=0)
    expected = outputs(layer, x[:1], x[:1])
    mean = outputs(layer, x, x, training=True).mean(0)
    np.testing.assert_allclose(mean, expected[0], atol=0.05)


def test_a_rate_of_zero_is_no_dropout(make, tensors):
    layer = make(dropout=0.0)
    np.testing.assert_array_equal(
        outputs(layer, *tensors, training=True), outputs(layer, *tensors, training=False)
    )
    assert not layer.non_trainable_variables


@keras.saving.register_keras_serializable(package="seqkeras_tests")
def squares(scores):
    return ops.square(scores)


@pytest.mark.parametrize("activation", ["identity", "sigmoid", squares])
def test_another_activation_weighs_the_scores_row_by_row(make, tensors, activation):
    layer = make(activation=activation)
    output, weights = layer(*tensors, value_mask=REAL, return_attention_scores=True)
    query = ops.convert_to_numpy(layer.query_dense(tensors[0]))
    memory = layer.prepare(ops.convert_to_tensor(tensors[1]))
    key, value = (np.repeat(x, N // x.shape[1], axis=1) for x in memory)
    scores = np.einsum("btnd,bnsd->bnts", query, key) / np.sqrt(query.shape[-1])
    function = {"identity": np.array, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), squares: np.square}
    expected = function[activation](scores) * REAL[:, None, None]
    np.testing.assert_allclose(weights, expected, atol=1e-4)
    heads = np.swapaxes(expected @ value, 1, 2)
    np.testing.assert_allclose(output, layer.output_dense(heads), atol=1e-4)
    restored = type(layer).from_config(layer.get_config())
    restored.build((B, T, D), (B, T, D))
    restored.set_weights(layer.get_weights())
    np.testing.assert_array_equal(outputs(restored, *tensors), outputs(layer, *tensors))


def test_hard_attention_takes_the_value_of_the_highest_score(make, tensors):
    soft, hard = (
        ops.convert_to_numpy(
            make(activation=name)(*tensors, value_mask=REAL, return_attention_scores=True)[1]
        )
        for name in ("softmax", "hard")
    )
    expected = np.arange(T) == soft.argmax(-1)[..., None]
    np.testing.assert_array_equal(hard, expected & REAL[:, None, None])


def test_the_gate_scales_the_heads(make, tensors):
    gated = make(use_gate=True)
    weights = gated.get_weights()
    kernel, bias = weights[4:6]
    plain = make()
    for value, share in ((30.0, 1.0), (-30.0, 0.0), (0.0, 0.5)):
        gated.set_weights([*weights[:4], 0 * kernel, 0 * bias + value, *weights[6:]])
        plain.set_weights([*weights[:4], *weights[6:8], share * weights[8], weights[9]])
        np.testing.assert_allclose(outputs(gated, *tensors), outputs(plain, *tensors), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sliding_window": 0}, "`sliding_window`: expected a positive integer or None, got 0"),
        ({"chunk_size": 2.5}, "`chunk_size`: expected a positive integer or None, got 2.5"),
        ({"dropout": 1.0}, r"`dropout`: expected a rate in \[0, 1\), got 1.0"),
        ({"flash_attention": True, "dropout": 0.1}, "Dropout is not supported when flash"),
        ({"flash_attention": False, "chunk_size": 4}, "expected chunk_size=None, got 4"),
        ({"activation": "hard", "chunk_size": 4}, "expected activation='softmax', got 'hard'"),
        ({"activation": "hrad"}, "activation: expected one of"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_raise(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_without_the_matrix_there_are_no_weights_to_return(make, tensors):
    layer = make(flash_attention=True)
    for x in (tensors, [keras.Input((T, D))] * 2):
        with pytest.raises(ValueError, match="not supported when flash attention is enabled"):
            layer(*x, return_attention_scores=True)
