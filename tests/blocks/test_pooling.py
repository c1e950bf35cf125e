import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.blocks.pooling import LengthMask, SequencePooling
from tests.contract import check_layer_contract, with_and_without_xla

RNG = np.random.default_rng(1)
X = RNG.normal(size=(4, 5, 3)).astype("float32") - 2.0  # mostly negative: a maximum of 0 shows
LENGTHS = np.array([5, 2, 1, 0], "int32")
MASK = np.arange(5) < LENGTHS[:, None]


def pooled(mode):
    """The pooling in plain Python: over the real steps only, zeros where there are none."""
    function = {"mean": np.mean, "sum": np.sum, "max": np.max}[mode]
    rows = [function(x[:n], axis=0) if n else np.zeros(3) for x, n in zip(X, LENGTHS, strict=True)]
    return np.array(rows)


@pytest.mark.covers("LengthMask", kind="oracle")
def test_the_first_length_steps_are_real():
    for sequences in (X, X[:, :, 0]):
        mask = ops.convert_to_numpy(LengthMask()(sequences, LENGTHS))
        np.testing.assert_array_equal(mask, MASK)
        assert mask.dtype == bool


def test_a_length_beyond_the_sequence_is_the_sequence():
    mask = ops.convert_to_numpy(LengthMask()(X[:1], np.array([9])))
    assert mask.all()


@pytest.mark.covers("SequencePooling", kind="oracle")
@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
def test_only_real_steps_are_pooled(mode):
    garbage = np.where(MASK[:, :, None], X, np.nan)
    result = ops.convert_to_numpy(SequencePooling(mode)(garbage, mask=MASK))
    np.testing.assert_allclose(result, pooled(mode), rtol=1e-6)


@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
def test_without_a_mask_all_steps_are_real(mode):
    result = ops.convert_to_numpy(SequencePooling(mode)(X))
    np.testing.assert_allclose(result, getattr(X, mode)(axis=1), rtol=1e-6)


def test_the_mask_of_an_embedding_is_taken_and_ends_here():
    ids = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(9, 3, mask_zero=True)
    output = SequencePooling("mean")(embedding(ids))
    assert getattr(output, "_keras_mask", None) is None
    model = keras.Model(ids, output)
    np.testing.assert_allclose(
        model(np.array([[4, 5, 0, 0]])), model(np.array([[4, 5]])), rtol=1e-6
    )


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match='"sum" or "max", got \'median\''):
        SequencePooling("median")


@pytest.mark.covers("LengthMask", kind="contract")
@with_and_without_xla
def test_length_mask_contract(jit_compile):
    ids = np.ones((4, 5), "int32")  # a mask has no gradient: float inputs could not be trained
    inputs = {"sequences": ids, "lengths": LENGTHS}
    check_layer_contract(LengthMask, inputs, parameters=0, jit_compile=jit_compile)


@pytest.mark.covers("SequencePooling", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
def test_pooling_contract(mode, jit_compile):
    check_layer_contract(
        lambda: SequencePooling(mode),
        {"sequences": X},
        parameters=0,
        masks={"sequences": "mask"},
        jit_compile=jit_compile,
    )
