"""The cells that are compared can be trained on what they are compared on."""

import keras
import numpy as np
import pytest

from pipelines.long_memory_cells import NAMES, make_cell
from seqkeras.layers import RNN
from tests.gradients import value_and_gradients


@pytest.mark.parametrize("name", NAMES)
def test_a_margin_without_ink_leaves_the_gradient_finite(name):
    """Forty steps of zeros, as an image begins with, and then something."""
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).random((2, 50, 1), dtype="float32")
    x[:, :40] = 0.0
    layer = RNN(make_cell(name, 8, x.shape[1]))
    layer.build(x.shape)
    _, _, gradients = value_and_gradients(
        lambda x: keras.ops.sum(keras.ops.square(layer(x))), [x], layer.trainable_variables
    )
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)
