import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.blocks.positions import sinusoids
from seqkeras.layers import LearnedPositions, SinusoidalPositions
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

B, T, D = 3, 5, 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, D)).astype("float32")
MASK = np.arange(T) < np.array([[5], [2], [0]])
BOTH = pytest.mark.parametrize("make", [SinusoidalPositions, lambda **o: LearnedPositions(9, **o)])


def numpy(x):
    return ops.convert_to_numpy(x)


def close(found, expected, atol=1e-5):
    np.testing.assert_allclose(numpy(found), expected, rtol=1e-5, atol=atol)


def closed_form(n, size, base=10000.0):
    """Notes B (16), one feature after the other."""
    return [
        (np.sin if j % 2 == 0 else np.cos)(n / base ** ((j - j % 2) / size)) for j in range(size)
    ]


def encodings_of(layer, x=X, offset=0):
    """What the layer adds, or puts beside the features."""
    y = numpy(layer(x, offset=offset))
    return y[..., x.shape[-1] :] if layer.combine == "concat" else y - x


@pytest.mark.covers("SinusoidalPositions", kind="oracle")
@pytest.mark.parametrize("base", [10000.0, 30.0])
@pytest.mark.parametrize("offset", [0, 700])
def test_sinusoids_equal_the_closed_form(base, offset):
    layer = SinusoidalPositions(base=base)
    expected = [closed_form(offset + t, D, base) for t in range(T)]
    close(encodings_of(layer, offset=offset), np.tile(expected, (B, 1, 1)))


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_sizes_and_what_an_odd_one_does(size):
    """X25: pairs end at 2I + 1, so d = 2I + 2; an odd d lacks the last cosine."""
    layer = SinusoidalPositions(combine="concat", dim=size)
    found = encodings_of(layer)
    assert found.shape == (B, T, size)
    close(found[0], [closed_form(t, size) for t in range(T)])


@pytest.mark.parametrize("k", [1, 7, 300])
def test_a_shift_is_a_rotation_of_each_pair(k):
    """PE(n + k) = R(k) PE(n) for every n."""
    size = 8
    rotation = np.zeros((size, size))
    for i in range(0, size, 2):
        a = k / 10000.0 ** (i / size)
        rotation[i : i + 2, i : i + 2] = [[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]
    n = np.arange(50)
    close(sinusoids(n + k, size), sinusoids(n, size) @ rotation.T)


@BOTH
def test_concatenation_is_a_sum_with_block_weights(make):
    """[x; PE] [W; V] = x W + PE V."""
    concat = make(combine="concat", dim=4)
    y, W = numpy(concat(X)), RNG.normal(size=(D + 4, 3))
    close(y @ W, X @ W[:D] + encodings_of(concat) @ W[D:])
    close(y[..., :D], X)


@pytest.mark.covers("LearnedPositions", kind="oracle")
@pytest.mark.parametrize(("combine", "dim"), [("add", None), ("concat", None), ("concat", 2)])
@pytest.mark.parametrize("offset", [0, 4])
def test_learned_positions_are_rows_of_the_matrix(combine, dim, offset):
    layer = LearnedPositions(9, combine, dim)
    layer.build(X.shape)
    table = RNG.normal(size=(9, dim or D)).astype("float32")
    layer.embeddings.assign(table)
    close(encodings_of(layer, offset=offset), np.tile(table[offset : offset + T], (B, 1, 1)))


def test_the_gradient_of_a_position_is_the_sum_of_its_uses():
    layer = LearnedPositions(9)
    layer.build(X.shape)
    probe = RNG.normal(size=X.shape).astype("float32")
    _, _, (by_table,) = value_and_gradients(
        lambda: ops.sum(layer(X, offset=2, mask=MASK) * probe), [], layer.trainable_weights
    )
    expected = np.zeros((9, D))
    expected[2 : 2 + T] = np.where(MASK[..., None], probe, 0.0).sum(axis=0)
    close(by_table, expected)


@BOTH
@pytest.mark.parametrize("combine", ["add", "concat"])
def test_one_position_at_a_time_is_the_sequence(make, combine):
    layer = make(combine=combine)
    whole = numpy(layer(X))
    for t in range(T):
        for offset in (t, ops.convert_to_tensor(t, "int32"), np.int64(t)):
            close(layer(X[:, t : t + 1], offset=offset), whole[:, t : t + 1])


@BOTH
def test_lengths_may_differ_from_call_to_call_of_a_model(make):
    entry, layer = keras.Input((None, D)), make()
    model = keras.Model(entry, layer(entry))
    for length in (1, 4, 5):
        close(model.predict(X[:, :length], verbose=0), numpy(layer(X[:, :length])))


def test_sinusoids_know_no_longest_sequence():
    x = np.zeros((1, 20000, 2), "float32")
    close(SinusoidalPositions()(x)[0, -1], closed_form(19999, 2), atol=1e-4)


def test_learned_positions_beyond_the_maximum_raise():
    layer = LearnedPositions(4, name="positions")
    with pytest.raises(ValueError, match="positions: expected at most max_length=4 positions"):
        layer(X)
    layer = LearnedPositions(T)
    layer(X)
    with pytest.raises(ValueError, match="got 5 positions from 1 on"):
        layer(X, offset=1)


@pytest.mark.tensorflow
def test_learned_positions_beyond_the_maximum_raise_in_the_graph():
    import tensorflow as tf

    layer = LearnedPositions(4)
    layer.build((None, None, D))
    run = tf.function(
        layer, input_signature=[tf.TensorSpec((None, None, D)), tf.TensorSpec((), tf.int32)]
    )
    assert run(X[:, :3], 1).shape == (B, 3, D)
    for x, offset in ((X, 0), (X[:, :3], 2)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="at most max_length=4 positions"):
            run(x, offset)


@BOTH
def test_padding_comes_out_as_zeros(make):
    layer = make()
    garbage = np.where(MASK[..., None], X, np.nan)
    expected = np.where(MASK[..., None], numpy(layer(X)), 0.0)
    close(layer(garbage, mask=MASK), expected)


@pytest.mark.tensorflow
def test_a_known_length_is_a_constant_of_the_graph():
    import tensorflow as tf

    run = tf.function(SinusoidalPositions(), input_signature=[tf.TensorSpec((None, T, D))])
    operations = {op.type for op in run.get_concrete_function().graph.get_operations()}
    assert not operations & {"Sin", "Cos"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SinusoidalPositions("sum"), "combine: expected one of .*, got 'sum'"),
        (lambda: SinusoidalPositions("add", 4), "dim: expected .* got 4 with combine='add'"),
        (lambda: SinusoidalPositions("concat", 0), "dim: expected a positive integer .* got 0"),
        (lambda: SinusoidalPositions(base=1.0), "base: expected a number above 1, got 1.0"),
        (lambda: LearnedPositions(0), "max_length: expected a positive integer, got 0"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


OPTIONS = pytest.mark.parametrize(
    ("combine", "dim"), [("add", None), ("concat", None), ("concat", 3)]
)


@pytest.mark.covers("SinusoidalPositions", kind="contract")
@with_and_without_xla
@OPTIONS
def test_contract_of_sinusoids(combine, dim, jit_compile):
    check_layer_contract(
        lambda: SinusoidalPositions(combine, dim, base=100.0),
        {"inputs": X},
        parameters=0,
        masks={"inputs": "mask"},
        jit_compile=jit_compile,
    )


@pytest.mark.covers("LearnedPositions", kind="contract")
@with_and_without_xla
@OPTIONS
def test_contract_of_learned_positions(combine, dim, jit_compile):
    check_layer_contract(
        lambda: LearnedPositions(T, combine, dim, embeddings_initializer="he_normal"),
        {"inputs": X},
        parameters=T * (dim or D),
        masks={"inputs": "mask"},
        jit_compile=jit_compile,
    )
