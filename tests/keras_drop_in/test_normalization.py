"""Keras' tests of layer normalisation, run on ours."""

import pytest

from seqkeras.ops import layer_norm
from tests.keras_drop_in.borrowed import REPLACED, keras_tests

pytestmark = [
    pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`:UserWarning"),
    # Keras' tests train on generators, which cannot be shuffled, and a layer without weights.
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning"),
    pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning"),
]

LayerNormalizationTest = keras_tests(
    "normalization.layer_normalization_test",
    (layer_norm, "layer_norm"),
    without_kernel=[
        "test_invalid_axis",
        "test_large_value_within_autocast_scope",
        "test_output_with_rms_scaling",  # another formula, which Keras deprecates
    ],
)


def test_our_layer_is_in_place():
    assert "LayerNormalization" in REPLACED
