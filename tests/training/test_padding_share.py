import keras
import numpy as np
import pytest

from seqkeras.training.padding_share import PaddingShare


def test_share_and_tokens_over_batches_of_different_shapes():
    metric = PaddingShare()
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 3, shape) for shape in [(4, 7), (2, 3), (1, 12)]]
    for batch in batches:
        metric.update_state(batch, None)
    flat = np.concatenate([batch.ravel() for batch in batches])
    assert float(metric.tokens) == np.count_nonzero(flat)
    assert float(metric.result()) == pytest.approx(np.mean(flat == 0))


def test_no_batch_is_no_padding():
    metric = PaddingShare()
    assert float(metric.result()) == 0.0
    metric.update_state([[0, 0]], None)
    assert float(metric.result()) == 1.0
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_config_round_trip():
    metric = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(PaddingShare(name="padding"))
    )
    assert isinstance(metric, PaddingShare)
    assert metric.name == "padding"
