import math

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import RelativePositionBias
from tests.contract import check_layer_contract, with_and_without_xla

N, T, S = 2, 5, 7
RNG = np.random.default_rng(0)


def numpy_bucket(distance, buckets, maximum, bidirectional):
    """The rule as the paper's text and formula have it, for one distance s - t."""
    first = 0
    if bidirectional:
        buckets //= 2
        first, distance = (buckets if distance > 0 else 0), abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    share = math.log(distance / exact) / math.log(maximum / exact)
    return first + min(buckets - 1, exact + math.floor(share * (buckets - exact) + 1e-9))


def randomized(**options):
    layer = RelativePositionBias(N, **options)
    layer.build()
    layer.set_weights([RNG.normal(size=w.shape) for w in layer.weights])
    return layer


FORMS = pytest.mark.parametrize(
    ("num_buckets", "max_distance", "bidirectional"),
    [(32, 128, True), (32, 128, False), (6, 9, True), (5, 20, False), (4, 3, True)],
)


@FORMS
def test_buckets_equal_the_formula(num_buckets, max_distance, bidirectional):
    layer = RelativePositionBias(N, num_buckets, max_distance, bidirectional)
    distances = np.arange(-300, 301)
    expected = [numpy_bucket(d, num_buckets, max_distance, bidirectional) for d in distances]
    found = ops.convert_to_numpy(layer.buckets(ops.convert_to_tensor(distances, "int32")))
    np.testing.assert_array_equal(found, expected)
    assert set(found) == set(range(num_buckets)) - ({num_buckets // 2} if bidirectional else set())


@pytest.mark.covers("RelativePositionBias", kind="oracle")
@FORMS
@pytest.mark.parametrize("offset", [0, 40])
def test_equals_a_loop_in_numpy(num_buckets, max_distance, bidirectional, offset):
    options = (num_buckets, max_distance, bidirectional)
    layer = randomized(
        num_buckets=num_buckets, max_distance=max_distance, bidirectional=bidirectional
    )
    table = ops.convert_to_numpy(layer.embeddings)
    expected = [
        [[table[numpy_bucket(s - t - offset, *options), n] for s in range(S)] for t in range(T)]
        for n in range(N)
    ]
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(T, S, offset=offset)), expected)


def test_the_bias_depends_on_the_distance_alone():
    bias = ops.convert_to_numpy(randomized()(60, 60))
    np.testing.assert_array_equal(bias[:, 1:, 1:], bias[:, :-1, :-1])


def test_one_query_at_a_time_is_a_row_of_all():
    layer = randomized(bidirectional=False)
    whole = ops.convert_to_numpy(layer(T, T))
    for t in range(T):
        step = layer(query_length=1, key_length=t + 1, offset=ops.convert_to_tensor(t, "int32"))
        np.testing.assert_array_equal(ops.convert_to_numpy(step)[:, 0], whole[:, t, : t + 1])


@pytest.mark.tensorflow
def test_lengths_may_be_known_in_the_graph_only():
    import tensorflow as tf

    layer = randomized()

    @tf.function(input_signature=[tf.TensorSpec((None, None))])
    def run(x):
        return layer(tf.shape(x)[0], tf.shape(x)[1])

    np.testing.assert_array_equal(run(tf.zeros((T, S))), layer(T, S))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 0}, "num_heads: expected a positive integer, got 0"),
        ({"num_heads": 2, "num_buckets": 5}, "an even number if bidirectional, got 5"),
        ({"num_heads": 2, "num_buckets": 1, "bidirectional": False}, "at least 2, .* got 1"),
        ({"num_heads": 2, "max_distance": 8}, "expected more than the 8 distances .* got 8"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        RelativePositionBias(**options)


@keras.saving.register_keras_serializable(package="seqkeras_tests")
class Scores(keras.Layer):
    """Scores of queries and keys with a bias, as attention has them: the bias has no inputs."""

    def __init__(self, bias, **kwargs):
        super().__init__(**kwargs)
        self.bias = bias

    def build(self, query_shape, key_shape):
        if not self.bias.built:
            self.bias.build()

    def call(self, query, key):
        scores = ops.einsum("btd,bsd->bts", query, key)
        bias = self.bias(query.shape[1], key.shape[1])
        return ops.expand_dims(scores, 1) + bias  # (B, N, T, S)

    def get_config(self):
        return {**super().get_config(), "bias": keras.saving.serialize_keras_object(self.bias)}

    @classmethod
    def from_config(cls, config):
        bias = keras.saving.deserialize_keras_object(config["bias"])
        return cls(**{**config, "bias": bias})


@pytest.mark.covers("RelativePositionBias", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("bidirectional", [True, False])
def test_contract(bidirectional, jit_compile):
    inputs = {
        "query": RNG.normal(size=(3, 9, 4)).astype("float32"),
        "key": RNG.normal(size=(3, 11, 4)).astype("float32"),
    }
    check_layer_contract(
        lambda: Scores(RelativePositionBias(N, 8, 10, bidirectional, "he_normal")),
        inputs,
        parameters=8 * N,
        jit_compile=jit_compile,
    )
