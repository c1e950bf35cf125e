import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.ops.scan import masked_scan, scan
from tests.gradients import value_and_gradients

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 2, 3)).astype("float32")  # (T, B, D)
KINDS = pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
DIRECTIONS = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])


def decaying_sum(x_t, s):
    s = 0.5 * s + x_t
    return s * s, s


def oracle(x, s, reverse):
    outputs = []
    for x_t in x[::-1] if reverse else x:
        s = 0.5 * s + x_t
        outputs.append(s * s)
    return np.stack(outputs), s


@KINDS
@DIRECTIONS
def test_outputs_are_in_the_order_of_processing(unroll, reverse):
    start = np.ones((2, 3), "float32")
    outputs, last = scan(decaying_sum, start, X, reverse=reverse, unroll=unroll)
    expected, expected_last = oracle(X, start, reverse)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)
    np.testing.assert_allclose(last, expected_last, rtol=1e-5)


def test_steps_in_turn_give_the_same():
    outputs, last = scan(decaying_sum, np.ones((2, 3), "float32"), X, in_turn=True)
    expected, expected_last = oracle(X, np.ones((2, 3)), False)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)
    np.testing.assert_allclose(last, expected_last, rtol=1e-5)


@KINDS
@DIRECTIONS
@pytest.mark.parametrize("zero_output", [False, True], ids=["last output", "zero output"])
def test_a_masked_step_is_no_step(unroll, reverse, zero_output):
    mask = np.array([[True, False], [False, False], [True, True], [False, True], [True, False]])
    start = np.ones((2, 3), "float32")
    options = {"reverse": reverse, "unroll": unroll, "zero_output": zero_output}
    outputs, last = masked_scan(decaying_sum, start, X, mask, **options)
    order = range(4, -1, -1) if reverse else range(5)
    for b in range(2):
        s, y = start[b], np.zeros(3)
        for place, t in enumerate(order):
            if mask[t, b]:
                s = 0.5 * s + X[t, b]
                y = s * s
            expected = y if mask[t, b] or not zero_output else np.zeros(3)
            np.testing.assert_allclose(outputs[place, b], expected, rtol=1e-5)
        np.testing.assert_allclose(last[b], s, rtol=1e-5)


@KINDS
@DIRECTIONS
def test_gradients(unroll, reverse):
    """Of the last sum, which is linear: 0.5^k for the input k steps before the end."""
    start = np.ones((2, 3), "float32")

    def total(x, s):
        return ops.sum(scan(decaying_sum, s, x, reverse=reverse, unroll=unroll)[1])

    _, (of_x, of_start), _ = value_and_gradients(total, [X, start])
    powers = 0.5 ** np.arange(5.0)
    expected = powers if reverse else powers[::-1]
    np.testing.assert_allclose(of_x, np.broadcast_to(expected[:, None, None], X.shape))
    np.testing.assert_allclose(of_start, np.full((2, 3), 0.5**5))


@KINDS
def test_structures_and_dtypes_are_kept(unroll):
    """Nested states, sequences and outputs, of different shapes and types."""

    def step(x, state):
        count, (total,) = state
        real = ops.cast(x["real"], "float32")
        total = total + ops.sum(x["value"], axis=-1) * real
        count = count + ops.cast(x["real"], "int32")
        return {"count": count, "pair": (total, x["real"])}, (count, [total])

    real = np.array([[True, True], [True, False], [False, False], [True, True], [False, True]])
    states = (np.zeros(2, "int32"), [np.zeros(2, "float32")])
    outputs, (count, (total,)) = scan(step, states, {"value": X, "real": real}, unroll=unroll)
    sums = np.cumsum(X.sum(axis=-1) * real, axis=0)
    np.testing.assert_array_equal(outputs["count"], np.cumsum(real, axis=0))
    np.testing.assert_allclose(outputs["pair"][0], sums, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(outputs["pair"][1], real)
    np.testing.assert_array_equal(count, real.sum(axis=0))
    np.testing.assert_allclose(total, sums[-1], rtol=1e-5, atol=1e-6)
    dtypes = [keras.backend.standardize_dtype(y.dtype) for y in keras.tree.flatten(outputs)]
    assert dtypes == ["int32", "float32", "bool"]


@KINDS
def test_a_single_step(unroll):
    outputs, last = scan(decaying_sum, np.zeros((2, 3), "float32"), X[:1], unroll=unroll)
    np.testing.assert_allclose(outputs, X[:1] ** 2, rtol=1e-6)
    np.testing.assert_allclose(last, X[0], rtol=1e-6)


@pytest.mark.tensorflow
@DIRECTIONS
def test_a_graph_with_unknown_length_and_batch(reverse):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3))])
    def graph(x):
        outputs, last = scan(decaying_sum, tf.zeros_like(x[0]), x, reverse=reverse)
        assert outputs.shape.as_list() == [None, None, 3]
        return outputs, last

    for length in (5, 2):
        outputs, last = graph(X[:length])
        expected, expected_last = oracle(X[:length], 0.0, reverse)
        np.testing.assert_allclose(outputs, expected, rtol=1e-5)
        np.testing.assert_allclose(last, expected_last, rtol=1e-5)


@pytest.mark.tensorflow
def test_the_loop_is_one_loop_in_the_graph():
    """The call that finds the outputs' structure leaves no second copy of the step behind."""
    import tensorflow as tf

    graph = tf.function(lambda x: scan(decaying_sum, tf.zeros((2, 3)), x))
    kinds = [op.type for op in graph.get_concrete_function(tf.constant(X)).graph.get_operations()]
    assert sum("While" in kind for kind in kinds) == 1


@pytest.mark.tensorflow
def test_unrolling_needs_a_known_length():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, 2, 3))], autograph=False)
    def graph(x):
        return scan(decaying_sum, tf.zeros((2, 3)), x, unroll=True)

    with pytest.raises(ValueError, match="known number of time steps, got None"):
        graph(X)
