import numpy as np
import pytest
from keras import ops

from seqkeras.decoding.penalties import coverage_penalty, length_penalty, track_coverage


def test_length_penalty_closed_form():
    lengths = ops.convert_to_tensor([1, 7, 13, 55])
    np.testing.assert_allclose(length_penalty(lengths, 0.0), [1, 1, 1, 1])
    np.testing.assert_allclose(length_penalty(lengths, 1.0), [1, 2, 3, 10], rtol=1e-6)
    np.testing.assert_allclose(length_penalty(lengths, 0.5), np.sqrt([1, 2, 3, 10]), rtol=1e-6)


def test_coverage_penalty_closed_form():
    mask = ops.convert_to_tensor([[True, True, False]] * 4)
    coverage = ops.convert_to_tensor(
        [[1.0, 3.0, 0.0], [0.5, 0.25, 0.0], [0.0, 1.0, 0.0], [0.5, 0.25, float("nan")]]
    )
    expected = 0.3 * np.log([1.0, 0.125, 1e-7, 0.125])
    np.testing.assert_allclose(coverage_penalty(coverage, mask, 0.3), expected, rtol=1e-5)


def test_track_coverage_sums_the_attention():
    attention = np.random.default_rng(0).dirichlet(np.ones(4), (3, 2)).astype("float32")

    def model(_tokens, state):
        t = int(np.asarray(state["t"])[0])
        return ops.zeros((2, 5)), {"t": state["t"] + 1, "attention": attention[t]}

    step, state = track_coverage(model, {"t": np.zeros(2, "int32"), "attention": np.ones((2, 4))})
    assert not np.any(state["coverage"])  # what was attended before the first step does not count
    for t in range(3):
        _, state = step(np.ones(2, "int32"), state)
        np.testing.assert_allclose(state["coverage"], attention[: t + 1].sum(0), rtol=1e-6)


@pytest.mark.parametrize(("state", "found"), [({"h": 1}, r"\['h'\]"), ([1], "list")])
def test_track_coverage_without_attention_raises(state, found):
    with pytest.raises(ValueError, match=rf"state\['attention'\]; this state has {found}"):
        track_coverage(None, state)
