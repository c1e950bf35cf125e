import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.decoding import protocol


def test_length_limits():
    limits, width = protocol.length_limits(4, 3)
    assert np.asarray(limits).tolist() == [4, 4, 4]
    assert isinstance(width, int)  # static shapes
    limits, width = protocol.length_limits(np.array([2, 0, 7]), 3)
    assert np.asarray(limits).tolist() == [2, 1, 7]
    assert int(width) == 7
    limits, _ = protocol.length_limits(ops.convert_to_tensor(5, dtype="int16"), 2)
    assert np.asarray(limits).tolist() == [5, 5]
    assert keras.backend.standardize_dtype(limits.dtype) == "int32"


@pytest.mark.parametrize("max_length", [0, -3, 2.0, np.ones((2, 2), "int32"), True])
def test_wrong_length_limits_raise(max_length):
    with pytest.raises(ValueError, match="max_length must be"):
        protocol.length_limits(max_length, 2)


def test_write():
    tokens = np.arange(6, dtype="int32").reshape(2, 3)
    written = protocol.write(tokens, 1, ops.convert_to_tensor([8, 9], dtype="int32"))
    assert np.asarray(written).tolist() == [[0, 8, 2], [3, 9, 5]]


def test_usable_bars_special_tokens_and_broken_rows():
    p = np.array([[0.1, 0.2, 0.3, 0.4], [0.3, 0.3, 0.0, 0.4], [0.1, np.nan, 0.3, 0.4]], "float32")
    with np.errstate(divide="ignore"):
        logits = np.log(p) + np.array([[5.0], [-300.0], [0.0]], "float32")
        expected = np.log([[0, 0, 0.3, 0.4], [0, 0, 0, 0.4], [0, 0, 0, 0]])
    usable = ops.convert_to_numpy(protocol.usable(ops.convert_to_tensor(logits)))
    np.testing.assert_allclose(usable, expected, atol=1e-4)


def returning(logits, state):
    return lambda *_: (ops.convert_to_tensor(logits), state)


def test_advance_casts_logits():
    step = returning(np.zeros((2, 4), "float16"), {})
    logits, _ = protocol.advance(step, np.ones(2), {})
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


@pytest.mark.parametrize(
    ("logits", "returned", "message"),
    [
        (np.zeros((2, 1, 4)), {"h": np.zeros((2, 3))}, r"shape \(N, V\).* got shape \(2, 1, 4\)"),
        (np.zeros((2, 2)), {"h": np.zeros((2, 3))}, "V > 2"),
        (np.zeros((2, 4)), {"h": np.zeros((2, 3)), "x": np.zeros(2)}, "zeros before the first"),
        (np.zeros((2, 4)), {"h": np.zeros((2, 3), "int32")}, "keep the dtype and rank"),
        (np.zeros((2, 4)), {"h": np.zeros(2)}, "keep the dtype and rank"),
    ],
)
def test_a_step_that_breaks_its_contract_raises(logits, returned, message):
    state = {"h": np.zeros((2, 3))}
    with pytest.raises(ValueError, match=message):
        protocol.advance(returning(logits, returned), np.ones(2), state)


@pytest.mark.tensorflow
def test_advance_keeps_static_shapes():
    import tensorflow as tf

    @tf.function
    def static_shape(h):
        def forget(_, state):  # the batch size is lost, as in many layers
            return tf.zeros((2, 4)), {"h": tf.boolean_mask(state["h"], [True, True])}

        _, state = protocol.advance(forget, tf.ones(2), {"h": h})
        assert state["h"].shape == (2, 3)
        return state["h"]

    static_shape(tf.zeros((2, 3)))
