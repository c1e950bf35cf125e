"""Keras' tests of its attention layers, run on ours; and their configs and weights, exchanged."""

import keras
import numpy as np
import pytest

import seqkeras.layers
from seqkeras.ops import attention
from tests.keras_drop_in.borrowed import REPLACED, keras_tests

# The layers look their kernels up in the package. Lengths in Keras' tests are those of the whole
# matrix; all that is chunked is compared with it by tests/attention/test_multi_head.py.
HEADS = (attention, "whole_attention")
WEIGHTS = (attention, "weights_of")

OVERRIDE = "the private method `_compute_attention`, which a subclass overrides"
FLASH = "the private attribute `_flash_attention`"
SIZES = ("a rule that queries and values are of one size: ours projects each", TypeError)
MASK = "the private method `_calculate_score_mask`"

pytestmark = [
    # Keras' test of LoRA names inputs in a dict otherwise than their tensors, and loads a model
    # that was not compiled into one that was.
    pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning"),
    pytest.mark.filterwarnings("ignore:A total of 1 objects could not be loaded:UserWarning"),
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning"),
]

MultiHeadAttentionTest = keras_tests(
    "attention.multi_head_attention_test",
    HEADS,
    excepted={
        "test_causal_only_skipped_for_subclass": OVERRIDE,
        "test_compute_attention_combines_causal_and_explicit_mask_fused_fallback": OVERRIDE,
        "test_compute_attention_combines_causal_and_explicit_mask_manual_path": OVERRIDE,
        "test_flash_attention_with_errors": FLASH,
        "test_sliding_window_serialization": "the private attribute `_sliding_window`",
    },
    without_kernel=[
        "test_dtype_policy_map",
        "test_initializer",
        "test_invalid_scalar_args_rejected",
        "test_mha_constraints",
        "test_multi_head_attention_output_shape_error",
        "test_shape_mismatch_error_*",
        "test_sliding_window_*ation",
    ],
)
GroupedQueryAttentionTest = keras_tests(
    "attention.grouped_query_attention_test",
    HEADS,
    excepted={
        "test_causal_only_skipped_for_subclass": OVERRIDE,
        "test_compute_attention_combines_causal_and_explicit_mask_fused_fallback": OVERRIDE,
        "test_compute_attention_combines_causal_and_explicit_mask_manual_path": OVERRIDE,
        "test_flash_attention_with_errors": FLASH,
        "test_shape_mismatch_error_query_value_dim_mismatch": SIZES,
    },
    without_kernel=[
        "test_initializer",
        "test_shape_mismatch_error_*",
        "test_sliding_window_*ation",
        "test_symbolic_shape_*",
    ],
)
AttentionTest = keras_tests(
    "attention.attention_test",
    WEIGHTS,
    excepted={
        "test_attention_calculate_scores_with_scale": "the private method `_calculate_scores`",
        "test_attention_calculate_score_mask_no_causal_no_vmask": MASK,
        "test_attention_calculate_score_mask_with_causal_and_vmask": MASK,
        "test_attention_calculate_score_mask_with_causal_no_vmask": MASK,
    },
    without_kernel=[
        "test_attention_compute_mask_*",
        "test_attention_errors",
        "test_attention_invalid_score_mode",
        "test_attention_seed_preserved_in_config",
        "test_return_attention_scores_with_symbolic_tensors",
    ],
)
AdditiveAttentionTest = keras_tests(
    "attention.additive_attention_test", WEIGHTS, without_kernel=["test_attention_errors"]
)

OPTIONS = {
    "MultiHeadAttention": {
        "num_heads": 4,
        "key_dim": 3,
        "value_dim": 2,
        "output_shape": 5,
        "attention_axes": (1,),
        "sliding_window": 4,
        "use_gate": True,
        "kernel_regularizer": "l2",
    },
    "GroupQueryAttention": {
        "head_dim": 3,
        "num_query_heads": 4,
        "num_key_value_heads": 2,
        "use_bias": False,
        "kernel_initializer": "he_normal",
        "bias_constraint": "non_neg",
    },
    "Attention": {"use_scale": True, "score_mode": "concat"},
    "AdditiveAttention": {"use_scale": False},
}
heads = pytest.mark.parametrize("name", ["MultiHeadAttention", "GroupQueryAttention"])


def test_our_layers_are_in_place():
    assert set(OPTIONS) <= set(REPLACED)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_config_of_keras_makes_our_layer_and_comes_back(name):
    options = {**OPTIONS[name], "dropout": 0.25, "seed": 3, "dtype": "float16"}
    config = getattr(keras.layers, name)(**options).get_config()
    ours = getattr(seqkeras.layers, name).from_config(config).get_config()
    assert {option: ours[option] for option in config} == config


@heads
def test_weights_of_keras_load_into_ours_and_give_the_same(name, tmp_path):
    """By `set_weights` and from a file; with masks that leave every query a key (K01)."""
    query, value = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    call = {"value_mask": np.arange(5) < np.array([[5], [3], [2]]), "use_causal_mask": True}

    def model(layers):
        inputs = [keras.Input((5, 4)), keras.Input((5, 4)), keras.Input((5,), dtype="bool")]
        layer = getattr(layers, name)(**OPTIONS[name], name="attention")
        # With the scores: without, Keras' fails on JAX where values and keys differ in size.
        options = {"use_causal_mask": True, "return_attention_scores": True}
        output, _ = layer(*inputs[:2], value_mask=inputs[2], **options)
        return keras.Model(inputs, output), layer

    (theirs, _), (ours, layer) = model(keras.layers), model(seqkeras.layers)
    expected = theirs.predict([query, value, call["value_mask"]], verbose=0)
    theirs.save_weights(tmp_path / "keras.weights.h5")
    ours.load_weights(tmp_path / "keras.weights.h5")
    np.testing.assert_allclose(layer(query, value, **call), expected, atol=1e-5)
    ours.set_weights([0.0 * weight for weight in theirs.get_weights()])
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(layer(query, value, **call), expected, atol=1e-5)


@pytest.mark.tensorflow
def test_where_keras_contradicts_itself_ours_holds():
    """K01: what may look nowhere is the mean of the values in Keras, or zero, as one asks it."""
    x = np.random.default_rng(1).normal(size=(1, 3, 4)).astype("float32")
    nowhere = np.zeros((1, 3, 3), bool)
    theirs = keras.layers.MultiHeadAttention(2, 3, use_bias=False)
    ours = seqkeras.layers.MultiHeadAttention(2, 3, use_bias=False)
    for layer in (theirs, ours):
        layer.build(x.shape, x.shape)
    ours.set_weights(theirs.get_weights())
    outputs = [
        np.abs(np.asarray(output)).max()
        for layer in (theirs, ours)
        for output in (
            layer(x, x, attention_mask=nowhere),
            layer(x, x, attention_mask=nowhere, return_attention_scores=True)[0],
        )
    ]
    assert outputs[0] > 0.01
    assert outputs[1:] == [0.0, 0.0, 0.0]
