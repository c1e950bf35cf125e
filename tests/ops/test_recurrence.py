"""Every kernel against its naive twin: the cell in `scan`, differentiated by TensorFlow."""

import numpy as np
import pytest

from seqkeras.ops import recurrence
from seqkeras.ops.scan import masked_scan, scan

pytestmark = pytest.mark.tensorflow

T, B, D, H = 5, 3, 2, 4
RIGHT = np.arange(T)[:, None] < [5, 3, 0]  # one row is padding only
HOLES = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1]], bool)
MASKS = {"none": None, "right": RIGHT, "holes": HOLES}


def cells():
    from seqkeras.cells.gru import GRUCell
    from seqkeras.cells.lstm import LSTMCell
    from seqkeras.cells.simple_rnn import SimpleRNNCell

    made = {
        "lstm": LSTMCell(H),
        "gru_reset_after": GRUCell(H),
        "gru_reset_after, no bias": GRUCell(H, use_bias=False),
        "gru_reset_before": GRUCell(H, reset_after=False),
    }
    for activation in ("tanh", "sigmoid", "relu", "linear"):
        made[f"elman {activation}"] = SimpleRNNCell(H, activation)
    return made


def others():
    """Cells whose kernel can only be derived."""
    from seqkeras.cells.gru import GRUCell
    from seqkeras.cells.lstm import LSTMCell
    from seqkeras.cells.simple_rnn import SimpleRNNCell

    return {
        "lstm relu": LSTMCell(H, "relu"),
        "gru hard sigmoid": GRUCell(H, recurrent_activation="hard_sigmoid"),
        "elman softplus": SimpleRNNCell(H, "softplus"),
        "dropout": LSTMCell(H, recurrent_dropout=0.5, seed=1),
    }


def given(cell, dtype="float32"):
    """Random inputs, first states and weights of a cell, and a weighting of the results."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    cell.build((B, D))
    for weight in cell.weights:
        weight.assign(rng.normal(size=weight.shape))
    sizes = [cell.state_size] if isinstance(cell.state_size, int) else cell.state_size
    x = tf.constant(rng.normal(size=(T, B, D)), dtype)
    states = [tf.constant(rng.normal(size=(B, size)), dtype) for size in sizes]
    weighting = [tf.constant(rng.normal(size=(T, B, H)), dtype)]
    weighting += [tf.constant(rng.normal(size=s.shape), dtype) for s in states]
    noise = cell.draw_noise(B, training=True)
    return x, states, weighting, noise


def with_gradients(cell, run, x, states, weighting):
    """Results of `run(inputs, states, weights)`, and their gradients by everything it reads."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch([x, states])
        outputs, last = run(cell.project(x), states, cell.loop_weights())
        loss = sum(tf.reduce_sum(a * b) for a, b in zip((outputs, *last), weighting, strict=True))
    variables = [w.value for w in cell.trainable_weights]
    gradients = tape.gradient(loss, [x, *states, *variables])
    return [outputs, *last], gradients


def naive(cell, noise, mask, reverse):
    def run(inputs, states, weights):
        def step(z_t, states):
            return cell.advance(z_t, states, weights, noise)

        if mask is None:
            return scan(step, states, inputs, reverse=reverse)
        return masked_scan(step, states, inputs, mask, reverse=reverse)

    return run


def fused(cell, noise, mask, reverse, named):
    def run(inputs, states, weights):
        def advance(z_t, states, weights, dot):
            return cell.advance(z_t, states, weights, noise, dot)

        kernel = recurrence.find_kernel(named, advance, inputs, states, weights)
        return recurrence.run(kernel, inputs, states, weights, mask, reverse)

    return run


def compare(cell, named, mask, reverse):
    x, states, weighting, noise = given(cell)
    if mask is not None:  # before the first real step the naive output is 0, the kernel's the state
        weighting[0] = weighting[0] * seen(mask, reverse)[:, :, None]
    expected = with_gradients(cell, naive(cell, noise, mask, reverse), x, states, weighting)
    found = with_gradients(cell, fused(cell, noise, mask, reverse, named), x, states, weighting)
    for name, a, b in zip(("result", "gradient"), found, expected, strict=True):
        for number, (one, other) in enumerate(zip(a, b, strict=True)):
            if name == "result" and number == 0 and mask is not None:
                shown = seen(mask, reverse)[:, :, None]
                one, other = one * shown, other * shown
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=f"{name} {number}")


def seen(mask, reverse):
    ordered = mask[::-1] if reverse else mask
    return np.cumsum(ordered, axis=0) > 0


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", cells())
def test_a_kernel_by_hand_equals_its_naive_twin(name, mask, reverse):
    cell = cells()[name]
    assert cell.fused is not None
    compare(cell, cell.fused, MASKS[mask], reverse)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", [*cells(), *others()])
def test_a_derived_kernel_equals_its_naive_twin(name, mask, reverse):
    compare({**cells(), **others()}[name], None, MASKS[mask], reverse)


@pytest.mark.parametrize("name", others())
def test_what_is_not_standard_has_no_kernel_by_hand(name):
    cell = others()[name]
    assert cell.fused is None or cell.recurrent_dropout


@pytest.mark.parametrize("name", cells())
def test_in_a_graph_with_unknown_sizes(name):
    import tensorflow as tf

    cell = cells()[name]
    x, states, weighting, noise = given(cell)
    run = fused(cell, noise, None, False, cell.fused)
    signature = [tf.TensorSpec([None, None, D]), [tf.TensorSpec([None, H])] * len(states)]

    @tf.function(input_signature=signature, autograph=False)
    def graph(x, states):
        return with_gradients(cell, run, x, states, [w[: tf.shape(x)[0]] for w in weighting])

    found, expected = graph(x, states), with_gradients(cell, run, x, states, weighting)
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    one = graph(x[:1], states)[0][0]
    np.testing.assert_allclose(one, expected[0][0][:1], rtol=1e-5, atol=1e-6)


@pytest.fixture
def tiny_halves(monkeypatch):
    """Batches of any size run in two halves."""
    from seqkeras.ops.recurrence import loop

    monkeypatch.setattr(loop, "_FEWEST_ROWS", 1)


@pytest.mark.parametrize("known", [True, False], ids=["known size", "unknown size"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", [*cells(), "lstm relu", "gru hard sigmoid"])
@pytest.mark.usefixtures("tiny_halves")
def test_two_halves_equal_the_naive_twin(name, mask, reverse, known):
    import tensorflow as tf

    cell = {**cells(), **others()}[name]
    x, states, weighting, noise = given(cell)
    shown = 1.0 if MASKS[mask] is None else seen(MASKS[mask], reverse)[:, :, None]
    weighting[0] = weighting[0] * shown
    run = fused(cell, noise, MASKS[mask], reverse, cell.fused)
    rows = B if known else None
    signature = [tf.TensorSpec([None, rows, D]), [tf.TensorSpec([rows, H])] * len(states)]

    @tf.function(input_signature=signature, autograph=False)
    def graph(x, states):
        return with_gradients(cell, run, x, states, weighting)

    found = graph(x, states)
    halves = [n.name for n in loop_bodies(graph) if n.op == "MatMul"]
    assert len(halves) % 2 == 0
    assert halves
    naively = naive(cell, noise, MASKS[mask], reverse)
    expected = with_gradients(cell, naively, x, states, weighting)
    found[0][0], expected[0][0] = found[0][0] * shown, expected[0][0] * shown
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def loop_bodies(function):
    """The nodes in the bodies of the loops of a traced function."""
    library = function.get_concrete_function().graph.as_graph_def().library.function
    return [n for f in library if "while_body" in f.signature.name for n in f.node_def]


@pytest.mark.parametrize(
    ("batch_size", "products"), [(31, 1), (32, 2), (33, 2), (None, 2)], ids=str
)
def test_a_batch_large_enough_runs_in_two_halves(batch_size, products):
    import tensorflow as tf

    from seqkeras.layers import LSTM

    layer = LSTM(H)
    layer.build((batch_size, T, D))

    @tf.function(input_signature=[tf.TensorSpec([batch_size, T, D])], autograph=False)
    def graph(x):
        return layer(x)

    assert len([n for n in loop_bodies(graph) if n.op == "MatMul"]) == products
    for size in [batch_size] if batch_size else [1, 2, 31, 32, 33]:
        x = np.random.default_rng(0).normal(size=(size, T, D)).astype("float32")
        np.testing.assert_allclose(graph(x), layer(x, training=False), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wiring", ["bidirectional", "separate", "alternating"])
def test_layers_that_run_side_by_side_take_a_batch_whole(wiring):
    import tensorflow as tf

    from seqkeras.layers import GRU, Bidirectional, DeepBidirectional

    layer = GRU(H, return_sequences=True)
    layer = (
        Bidirectional(layer) if wiring == "bidirectional" else DeepBidirectional([layer], wiring)
    )

    @tf.function(input_signature=[tf.TensorSpec([64, T, D])], autograph=False)
    def graph(x):
        return layer(x)

    assert len([n for n in loop_bodies(graph) if n.op == "MatMul"]) == 2  # one in each direction


def test_no_kernel_where_the_output_is_not_the_state():
    cell = cells()["elman tanh"]
    x, states, _, _ = given(cell)

    def advance(z_t, states, weights, dot):
        h, states = cell.advance(z_t, states, weights, None, dot)
        return 2 * h, states

    weights = cell.loop_weights()
    assert recurrence.find_kernel(None, advance, cell.project(x), states, weights) is None


def test_a_product_with_part_of_a_weight_raises():
    cell = cells()["elman tanh"]
    x, states, _, _ = given(cell)

    def advance(z_t, states, weights, dot):
        h = z_t + dot(states[0], weights["recurrent_kernel"][:, :])
        return h, [h]

    with pytest.raises(ValueError, match="expected one of the loop's weights"):
        recurrence.find_kernel(None, advance, cell.project(x), states, cell.loop_weights())


def test_two_products_with_one_weight_raise():
    cell = cells()["elman tanh"]
    x, states, _, _ = given(cell)

    def advance(z_t, states, weights, dot):
        u = weights["recurrent_kernel"]
        h = z_t + dot(dot(states[0], u), u)
        return h, [h]

    with pytest.raises(ValueError, match="expected one product"):
        recurrence.find_kernel(None, advance, cell.project(x), states, cell.loop_weights())


@pytest.mark.parametrize("policy", ["float64", "mixed_bfloat16"])
def test_other_dtypes(policy):
    import tensorflow as tf

    from seqkeras.layers import LSTM

    layer = LSTM(H, dtype=policy, return_sequences=True)
    x = tf.constant(np.random.default_rng(0).normal(size=(B, T, D)), layer.compute_dtype)
    with tf.GradientTape() as tape:
        y = layer(x)
        loss = tf.reduce_sum(tf.cast(y, "float32"))
    assert y.dtype.name == layer.compute_dtype
    for gradient in tape.gradient(loss, [w.value for w in layer.trainable_weights]):
        assert gradient.dtype.name == layer.variable_dtype
        assert np.isfinite(np.asarray(gradient)).all()


def test_a_saved_model_keeps_the_gradient(tmp_path):
    import keras
    import tensorflow as tf

    from seqkeras.layers import GRU, LSTM

    layers = [keras.Input((None, D)), LSTM(H, return_sequences=True), GRU(H, go_backwards=True)]
    model = keras.Sequential(layers)
    model.export(tmp_path / "model", verbose=False)
    saved = tf.saved_model.load(str(tmp_path / "model"))
    x = tf.constant(np.random.default_rng(0).normal(size=(B, T, D)), tf.float32)
    found = []
    for run in (model, saved.serve):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = run(x)
            loss = tf.reduce_sum(y**2)
        found.append((y, tape.gradient(loss, x)))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "lstm relu", "gru hard sigmoid"])
def test_second_derivatives_equal_those_of_the_naive_twin(name):
    """Of a penalty on the gradient by the inputs, by everything."""
    import tensorflow as tf

    cell = {**cells(), **others()}[name]
    x, states, weighting, noise = given(cell)
    variables = [weight.value for weight in cell.trainable_weights]

    def penalty_gradients(run):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y, _ = run(cell.project(x), states, cell.loop_weights())
                loss = tf.reduce_sum(y * weighting[0])
            penalty = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        return outer.gradient(penalty, [x, *variables])

    found = penalty_gradients(fused(cell, noise, None, False, cell.fused))
    expected = penalty_gradients(naive(cell, noise, None, False))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())


def test_an_eager_jacobian():
    import tensorflow as tf

    from seqkeras.layers import GRU

    layer, x = GRU(H), tf.constant(np.random.default_rng(0).normal(size=(1, T, D)), tf.float32)
    found = []
    for training in (None, False):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
        found.append(tape.jacobian(y, x))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_no_kernel_where_a_variable_would_get_no_gradient():
    import tensorflow as tf

    from seqkeras.cells.simple_rnn import SimpleRNNCell
    from seqkeras.layers import RNN

    class Scaled(SimpleRNNCell):
        def build(self, input_shape):
            super().build(input_shape)
            self.gain = self.add_weight((self.units,), "ones", name="gain")

        def advance(self, z_t, states, weights, noise=None, dot=None):
            h, _ = super().advance(z_t, states, weights, noise, dot)
            return h * self.gain, [h * self.gain]

    layer = RNN(Scaled(H))
    x = tf.constant(np.random.default_rng(0).normal(size=(B, T, D)), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x))
    assert np.abs(tape.gradient(loss, layer.cell.gain.value)).min() > 0


def test_a_step_of_ones_own_is_what_runs():
    from seqkeras.cells.simple_rnn import SimpleRNNCell
    from seqkeras.layers import RNN

    class Doubled(SimpleRNNCell):
        def step(self, z_t, states, noise=None):
            h, _ = super().step(z_t, states, noise)
            return 2 * h, [2 * h]

    layer = RNN(Doubled(H))
    x = np.random.default_rng(0).normal(size=(B, 1, D)).astype("float32")
    y = layer(x)
    alone = layer.cell(x[:, 0], [np.zeros((B, H), "float32")])[0]
    np.testing.assert_allclose(y, alone, rtol=1e-6)


def test_an_integer_mask_is_a_mask():
    from seqkeras.layers import GRU

    layer, x = GRU(H), np.random.default_rng(0).normal(size=(B, T, D)).astype("float32")
    real = RIGHT.T
    np.testing.assert_array_equal(layer(x, mask=real.astype("int32")), layer(x, mask=real))


def test_a_step_of_ones_own_gets_the_whole_batch():
    import tensorflow as tf

    from seqkeras.cells.simple_rnn import SimpleRNNCell
    from seqkeras.layers import RNN

    class Centred(SimpleRNNCell):
        """Subtracts the mean over the batch."""

        def step(self, z_t, states, noise=None):
            h, _ = super().step(z_t, states, noise)
            h = h - tf.reduce_mean(h, axis=0)
            return h, [h]

    layer = RNN(Centred(H))
    x = np.random.default_rng(0).normal(size=(64, T, D)).astype("float32")
    layer.build(x.shape)
    run = tf.function(layer, autograph=False)
    np.testing.assert_allclose(np.mean(run(x), axis=0), np.zeros(H), atol=1e-6)
