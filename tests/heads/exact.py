"""What a head must do whose training loss is -log p itself."""

import keras
import numpy as np
from keras import ops

from tests.gradients import value_and_gradients


def check_exact_gradients(head, inputs, targets, rng):
    """The losses of training have the gradients of -log p, by the inputs and by every weight."""
    weights = ops.convert_to_tensor(rng.normal(size=targets.shape).astype("float32"))
    found, wanted = (
        value_and_gradients(
            lambda x, training=training: ops.sum(
                weights * head(x, targets=targets, training=training)
            ),
            [inputs],
            head.trainable_variables,
        )
        for training in (True, False)
    )
    for a, b in zip(*map(keras.tree.flatten, (found, wanted)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
