"""cuDNN without a GPU: what it would be given, and what is made of its answers.

The operation is replaced by NumPy that reads its arguments as cuDNN's documentation lays them out
(cudnnGetRNNWeightParams: for LSTM i, f, g, o, for GRU r, z, n, each with two biases), so weights,
lengths and directions are checked. That the operation itself does what is written there is not.
"""

import numpy as np
import pytest

from seqkeras.layers import GRU, LSTM, Bidirectional
from seqkeras.ops.recurrence import cudnn

pytestmark = pytest.mark.tensorflow

B, T, D, H = 3, 5, 2, 4
RIGHT = np.arange(T) < np.array([[5], [3], [1]])
EMPTY_ROW = np.arange(T) < np.array([[5], [0], [2]])
HOLES = np.array([[1, 0, 1, 1, 1], [0, 0, 1, 1, 0], [1, 1, 1, 1, 1]], bool)
MASKS = {"none": None, "right": RIGHT, "empty row": EMPTY_ROW, "holes": HOLES}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_cudnn(input_h, input_c, params, sequence_lengths, rnn_mode, **inputs):
    """`tf.raw_ops.CudnnRNNV3` for one layer in one direction, time-major."""
    x, h, lengths = (
        np.asarray(inputs["input"]),
        np.asarray(input_h)[0],
        np.asarray(sequence_lengths),
    )
    gates = {"lstm": 4, "gru": 3}[rnn_mode]
    features, units = x.shape[-1], h.shape[-1]
    flat, parts = np.asarray(params), []
    for count, shape in (
        (gates, (units, features)),
        (gates, (units, units)),
        (2 * gates, (units,)),
    ):
        size = count * int(np.prod(shape))
        parts.append(flat[:size].reshape(count, *shape))
        flat = flat[size:]
    assert not flat.size
    w, r, b = parts
    b_w, b_r = b[:gates], b[gates:]
    c = np.asarray(input_c)[0] if rnn_mode == "lstm" else None
    outputs = np.zeros((len(x), *h.shape), np.float32)
    for t in range(len(x)):
        a = [x[t] @ w[k].T + b_w[k] for k in range(gates)]
        s = [h @ r[k].T + b_r[k] for k in range(gates)]
        if rnn_mode == "lstm":
            i, f, g, o = (a[k] + s[k] for k in range(4))
            new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            new_h = sigmoid(o) * np.tanh(new_c)
        else:
            reset, update = sigmoid(a[0] + s[0]), sigmoid(a[1] + s[1])
            new = np.tanh(a[2] + reset * s[2])
            new_h = (1 - update) * new + update * h
        real = (t < lengths)[:, None]
        outputs[t] = np.where(real, new_h, 0)
        h = np.where(real, new_h, h)
        c = np.where(real, new_c, c) if rnn_mode == "lstm" else None
    made = [outputs, h[None], np.zeros_like(h)[None] if c is None else c[None], np.zeros(0), None]
    import tensorflow as tf

    return [None if x is None else tf.constant(x, tf.float32) for x in made]


@pytest.fixture
def calls(monkeypatch):
    """A GPU that is not there; what cuDNN was asked for, call by call."""
    import tensorflow as tf

    asked = []

    def call(**arguments):
        asked.append(arguments["rnn_mode"])
        return numpy_cudnn(**arguments)

    monkeypatch.setattr(cudnn, "has_gpu", lambda: True)
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", call)
    return asked


def sequences():
    return np.random.default_rng(0).normal(size=(B, T, D)).astype("float32")


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("zero_output_for_mask", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_it_is_the_same_layer(kind, mask, zero_output_for_mask, go_backwards, calls):
    rng = np.random.default_rng(1)
    options = {
        "return_sequences": True,
        "return_state": True,
        "go_backwards": go_backwards,
        "zero_output_for_mask": zero_output_for_mask,
    }
    layer, plain = kind(H, **options), kind(H, use_cudnn=False, **options)
    for made in (layer, plain):
        made.build((B, T, D))
    weights = [rng.normal(size=w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    plain.set_weights(weights)
    first = [rng.normal(size=(B, H)).astype("float32") for _ in layer.state_size]
    found, expected = (
        made(sequences(), initial_state=first, mask=MASKS[mask]) for made in (layer, plain)
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    # The loop runs what cuDNN cannot.
    assert calls == ([] if mask in ("holes", "empty row") else [layer.cudnn_mode])


def test_dropout_of_the_inputs_comes_before_it(calls):
    layer = LSTM(H, dropout=0.999, seed=1, return_sequences=True)
    x = sequences()
    layer.build(x.shape)
    np.testing.assert_allclose(
        layer(x, training=True), layer(0 * x, training=False), rtol=1e-5, atol=1e-6
    )
    assert calls == ["lstm", "lstm"]


def test_both_directions(calls):
    layer, plain = (
        Bidirectional(GRU(H, use_cudnn=u, return_sequences=True)) for u in ("auto", False)
    )
    for made in (layer, plain):
        made.build((B, T, D))
    plain.set_weights(layer.get_weights())
    for mask in (None, RIGHT):
        np.testing.assert_allclose(
            layer(sequences(), mask=mask), plain(sequences(), mask=mask), rtol=1e-4, atol=1e-5
        )
    assert calls == ["gru"] * 4


@pytest.mark.usefixtures("calls")
def test_what_cudnn_does_not_have_runs_without():
    others = (
        LSTM(H, activation="relu"),
        LSTM(H, use_bias=False),
        LSTM(H, recurrent_dropout=0.5),
        LSTM(H, unroll=True),
        LSTM(H, use_cudnn=False),
        GRU(H, reset_after=False),
        GRU(H, recurrent_activation="hard_sigmoid"),
    )
    assert [layer.cudnn_mode for layer in others] == [None] * len(others)
    assert all(layer.supports_jit for layer in others)
    assert (LSTM(H).cudnn_mode, GRU(H).cudnn_mode) == ("lstm", "gru")
    assert not LSTM(H).supports_jit
    assert not GRU(H).supports_jit


@pytest.mark.usefixtures("calls")
def test_a_cell_of_ones_own_runs_without():
    class Cell(LSTM.cell_class):
        def project(self, inputs, training=False):
            return 2 * super().project(inputs, training)

    class Own(LSTM):
        cell_class = Cell

    class Renamed(LSTM):
        pass

    assert Own(H).cudnn_mode is None
    assert Renamed(H).cudnn_mode == "lstm"


def test_asked_for_where_there_is_none():
    with pytest.raises(ValueError, match="use_cudnn=True.*GPU"):
        LSTM(H, use_cudnn=True)(sequences())
    with pytest.raises(ValueError, match="use_cudnn=True.*what cuDNN has"):
        GRU(H, use_cudnn=True, reset_after=False)(sequences())
    assert LSTM(H, use_cudnn="auto")(sequences()).shape == (B, H)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_the_graph_that_a_gpu_would_run(kind, monkeypatch):
    """The operation itself, traced with its gradient, which is all that can be done here."""
    import tensorflow as tf

    monkeypatch.setattr(cudnn, "has_gpu", lambda: True)
    layer = kind(H, return_sequences=True)
    layer.build((None, None, D))
    signature = [tf.TensorSpec([None, None, D]), tf.TensorSpec([None, None], tf.bool)]

    @tf.function(input_signature=signature, autograph=False)
    def graph(x, mask):
        with tf.GradientTape() as tape:
            y = layer(x, mask=mask)
            loss = tf.reduce_sum(y)
        assert y.shape[-1] == H
        return tape.gradient(loss, [w.value for w in layer.trainable_weights])

    concrete = graph.get_concrete_function()
    shapes = [gradient.shape for gradient in concrete.structured_outputs]
    assert shapes == [w.shape for w in layer.trainable_weights]
    names = {n.op for f in concrete.graph.as_graph_def().library.function for n in f.node_def}
    assert {"CudnnRNNV3", "CudnnRNNBackpropV3"} <= names
