import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from seqkeras.ops.crossentropy import _composed, masked_crossentropy

RNG = np.random.default_rng(0)
LABELS = np.array([[2, 0, 1], [3, 3, 4]], "int32")
MASK = np.array([[True, True, False], [True, False, False]])
LOGITS = RNG.normal(size=(2, 3, 5)).astype("float32") * 3


def oracle(smoothing):
    """-sum q log p, and its gradient p - q, in float64."""
    z = LOGITS.astype(np.float64)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    q = (1 - smoothing) * np.eye(5)[LABELS] + smoothing / 5
    return np.where(MASK, -(q * np.log(p)).sum(-1), 0), np.where(MASK[..., None], p - q, 0)


@pytest.mark.tensorflow
@pytest.mark.parametrize("function", [masked_crossentropy, _composed])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("padding", [0.0, np.nan, np.inf])
def test_values_and_gradients(function, smoothing, padding):
    logits = tf.constant(np.where(MASK[..., None], LOGITS, np.float32(padding)))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = function(LABELS, logits, MASK, smoothing)
        total = tf.reduce_sum(losses * [[1.0], [2.0]])
    values, gradients = oracle(smoothing)
    np.testing.assert_allclose(losses, values, rtol=1e-5)
    expected = gradients * np.array([1.0, 2.0])[:, None, None]
    np.testing.assert_allclose(tape.gradient(total, logits), expected, atol=1e-6)


def test_large_logits_stay_finite():
    logits, mask = np.array([[[1e4, -1e4], [1e4, -1e4]]]), np.array([[True, True]])
    losses = masked_crossentropy(np.array([[0, 1]]), logits, mask, 0.1)
    np.testing.assert_allclose(losses, [[0.05 * 2e4, 0.95 * 2e4]], rtol=1e-6)


@pytest.mark.tensorflow
def test_gradient_for_bfloat16_logits_comes_back_in_bfloat16():
    logits = tf.cast(LOGITS, tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(masked_crossentropy(LABELS, logits, MASK, 0.1))
    gradient = tape.gradient(total, logits)
    assert gradient.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(gradient, tf.float32), oracle(0.1)[1], atol=0.02)


@pytest.mark.tensorflow
def test_a_metric_on_the_same_tensors_shares_the_softmax():
    @tf.function
    def both(logits):
        loss = masked_crossentropy(LABELS, logits, MASK, 0.1)
        return tf.reduce_sum(loss), tf.reduce_sum(masked_crossentropy(LABELS, logits, MASK))

    kernels = kernels_of(both, tf.constant(LOGITS))
    assert sum(kernel in ("Softmax", "_MklSoftmax") for kernel in kernels) == 1


def kernels_of(function, *args):
    """Returns the names of the kernels in the optimized graph that TensorFlow runs.

    The public profiler gives times per kernel only; the optimized graph is in the run's metadata.
    """
    context.enable_run_metadata()
    function(*args)
    metadata = context.export_run_metadata()
    context.disable_run_metadata()
    graphs = [graph.post_optimization_graph for graph in metadata.function_graphs]
    return [node.op for graph in graphs for node in graph.node]
