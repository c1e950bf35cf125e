import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.blocks.token_embedding import vocabulary_logits
from seqkeras.layers import TokenEmbedding
from tests.contract import MaskProbe, check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

B, T, D, V = 3, 4, 5, 7
RNG = np.random.default_rng(0)
IDS = RNG.integers(1, V, (B, T)).astype("int32")
HIDDEN = RNG.normal(size=(B, T, D)).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(x)


def built(**options):
    embedding = TokenEmbedding(V, D, **options)
    embedding.build()
    embedding.set_weights([RNG.normal(size=w.shape) for w in embedding.weights])
    return embedding


@pytest.mark.covers("TokenEmbedding", kind="oracle")
@pytest.mark.parametrize("scale", [False, True])
def test_vectors_are_rows_of_the_matrix(scale):
    embedding = built(scale=scale)
    table = numpy(embedding.embeddings)
    expected = np.array([[table[i] for i in row] for row in IDS]) * (np.sqrt(D) if scale else 1.0)
    np.testing.assert_allclose(numpy(embedding(IDS)), expected, rtol=1e-6)
    np.testing.assert_allclose(numpy(embedding(IDS[:, 0])), expected[:, 0], rtol=1e-6)


@pytest.mark.covers("TokenEmbedding", kind="oracle")
@pytest.mark.parametrize("use_bias", [False, True])
def test_logits_are_products_with_every_row(use_bias):
    embedding = built(scale=True, use_bias=use_bias)
    table, *bias = [numpy(w) for w in embedding.weights]
    expected = np.array([[[h @ e for e in table] for h in row] for row in HIDDEN])
    expected = expected + (bias[0] if use_bias else 0.0)
    np.testing.assert_allclose(numpy(embedding.logits(HIDDEN)), expected, rtol=1e-4, atol=1e-5)
    step = numpy(embedding(HIDDEN[:, 1], reverse=True))
    np.testing.assert_allclose(step, expected[:, 1], rtol=1e-4, atol=1e-5)


def test_vectors_equal_those_of_keras():
    theirs, ours = keras.layers.Embedding(V, D), built()
    theirs.build((None, None))
    theirs.set_weights(ours.get_weights())
    np.testing.assert_array_equal(numpy(ours(IDS)), numpy(theirs(IDS)))


def test_scaled_vectors_that_start_at_the_advised_size_have_variance_1():
    """And the logits of vectors of variance 1, too. 100 000 draws: within 5 % at 11 deviations."""
    dim, size = 100, 1000
    start = keras.initializers.RandomNormal(stddev=dim**-0.5, seed=1)
    embedding = TokenEmbedding(size, dim, scale=True, embeddings_initializer=start)
    assert abs(numpy(embedding(np.arange(size))).var() - 1.0) < 0.05
    logits = embedding.logits(RNG.normal(size=(100, dim)).astype("float32"))
    assert abs(numpy(logits).var() - 1.0) < 0.05


def test_both_uses_add_up_to_one_gradient():
    embedding = built(scale=True)
    weights = RNG.normal(size=(B, T, V)).astype("float32")

    def loss(embedding_in, embedding_out):
        vectors = ops.take(embedding_in, IDS, axis=0) * D**0.5
        return ops.sum(weights * vocabulary_logits(ops.tanh(vectors), embedding_out))

    table = numpy(embedding.embeddings)
    _, (by_input, by_output), _ = value_and_gradients(loss, [table, table])
    _, _, (tied,) = value_and_gradients(
        lambda: ops.sum(weights * embedding.logits(ops.tanh(embedding(IDS)))),
        [],
        embedding.trainable_weights,
    )
    np.testing.assert_allclose(tied, by_input + by_output, rtol=1e-4, atol=1e-5)
    assert np.abs(by_input).max() > 0.1
    assert np.abs(by_output).max() > 0.1


# One matrix after every way of saving and copying a functional model.


def language_model():
    ids = keras.Input((None,), dtype="int32")
    embedding = TokenEmbedding(V, D, scale=True, mask_zero=True, name="embedding")
    hidden = keras.layers.Dense(D, "tanh")(embedding(ids))
    return keras.Model(ids, embedding.logits(hidden))


def reloaded(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def from_config(model, _):
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def cloned(model, _):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


@pytest.mark.parametrize("copy", [reloaded, from_config, cloned])
def test_a_functional_model_stays_tied(copy, tmp_path):
    model = language_model()
    restored = copy(model, tmp_path)
    np.testing.assert_allclose(numpy(restored(IDS)), numpy(model(IDS)), rtol=1e-6)
    assert sum(np.prod(w.shape) for w in restored.trainable_weights) == V * D + D * D + D
    before = numpy(restored(IDS))
    embedding = restored.get_layer("embedding").embeddings
    embedding.assign(np.zeros((V, D)))
    assert before.any()
    assert not numpy(restored(IDS)).any()


@pytest.mark.tensorflow
def test_fit_trains_the_tied_matrix_without_a_warning():
    """Ids of one batch are rows, logits are all of it: TensorFlow must add both up."""
    model = language_model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    losses = model.fit(IDS, IDS, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_logits_are_float32_under_mixed_precision():
    embedding = TokenEmbedding(V, D, dtype="mixed_bfloat16")
    vectors = embedding(IDS)
    assert keras.backend.standardize_dtype(vectors.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(embedding.logits(vectors).dtype) == "float32"


@pytest.mark.parametrize("mask_zero", [False, True])
def test_ids_make_a_mask_if_asked_for(mask_zero):
    ids = np.array([[3, 1, 0, 0], [2, 2, 2, 0]], "int32")
    entry = keras.Input((4,), dtype="int32")
    probe = MaskProbe()(TokenEmbedding(V, D, mask_zero=mask_zero)(entry))
    expected = (ids != 0) if mask_zero else np.full(ids.shape, -1.0)
    np.testing.assert_array_equal(keras.Model(entry, probe).predict(ids, verbose=0), expected)


def test_in_reverse_the_mask_of_the_vectors_goes_on():
    embedding = TokenEmbedding(V, D, mask_zero=True)
    entry = keras.Input((4, D))
    probe = MaskProbe()(embedding.logits(keras.layers.Masking()(entry)))
    x = HIDDEN.copy()
    x[:, 2:] = 0.0
    found = keras.Model(entry, probe).predict(x, verbose=0)
    np.testing.assert_array_equal(found, np.tile([1.0, 1.0, 0.0, 0.0], (B, 1)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TokenEmbedding(0, D), "vocabulary_size: expected a positive integer, got 0"),
        (lambda: TokenEmbedding(V, 2.0), "dim: expected a positive integer, got 2.0"),
        (lambda: TokenEmbedding(V, D)(HIDDEN), "expected integer ids, got float32"),
        (lambda: TokenEmbedding(V, D).logits(IDS), "expected float vectors of size 5 in reverse"),
        (lambda: TokenEmbedding(V, D).logits(HIDDEN[..., 1:]), "of size 5 .* shape .3, 4, 4."),
    ],
)
def test_errors_say_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.covers("TokenEmbedding", kind="contract")
@with_and_without_xla
def test_contract(jit_compile):
    options = {"scale": True, "mask_zero": True, "embeddings_initializer": "he_normal"}
    check_layer_contract(
        lambda: TokenEmbedding(V, D, **options),
        {"inputs": IDS},
        parameters=V * D,
        jit_compile=jit_compile,
    )


@with_and_without_xla
def test_contract_in_reverse(jit_compile):
    check_layer_contract(
        lambda: Reversed(V, D, use_bias=True),
        {"inputs": HIDDEN},
        parameters=V * D + V,
        jit_compile=jit_compile,
    )


@keras.saving.register_keras_serializable(package="seqkeras_tests")
class Reversed(TokenEmbedding):
    """The call in reverse as the only one."""

    def call(self, inputs):
        return super().call(inputs, reverse=True)

    def compute_output_spec(self, inputs):
        return super().compute_output_spec(inputs, reverse=True)
