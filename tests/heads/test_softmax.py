import copy

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import SoftmaxHead, TokenEmbedding
from tests.contract import check_layer_contract, with_and_without_xla

B, T, H, R, V = 3, 4, 5, 2, 7
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, H)).astype("float32")


@pytest.mark.covers("SoftmaxHead", kind="oracle")
@pytest.mark.parametrize("readout_units", [None, R])
def test_logits_equal_the_equation(readout_units):
    head = SoftmaxHead(V, readout_units)
    found = ops.convert_to_numpy(head(X))
    table, bias, *readout = [ops.convert_to_numpy(w) for w in head.weights]
    for b in range(B):
        for t in range(T):
            hidden = np.tanh(X[b, t] @ readout[0] + readout[1]) if readout_units else X[b, t]
            np.testing.assert_allclose(found[b, t], table @ hidden + bias, rtol=1e-4, atol=1e-6)


def test_one_step_is_a_step_of_the_sequence():
    head = SoftmaxHead(V, R)
    whole = ops.convert_to_numpy(head(X))
    np.testing.assert_allclose(ops.convert_to_numpy(head(X[:, 1])), whole[:, 1], atol=1e-6)


def test_logits_are_float32_under_mixed_precision():
    head = SoftmaxHead(V, R, dtype="mixed_bfloat16")
    assert head(X).dtype == "float32"
    assert head.readout.compute_dtype == head.compute_dtype == "bfloat16"


def test_dropout_comes_after_the_readout_and_only_in_training():
    """With W = I, what was dropped from the hidden layer shows as zeros among the logits."""
    head = SoftmaxHead(R, R, dropout=0.5, seed=1)
    head.build(X.shape)
    head.own_table.assign(np.eye(R))
    plain = ops.convert_to_numpy(head(X))
    dropped = ops.convert_to_numpy(head(X, training=True))
    zero = dropped == 0
    assert 0 < zero.sum() < zero.size
    np.testing.assert_allclose(dropped[~zero], 2 * plain[~zero], rtol=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(head(X, training=False)), plain)


@pytest.mark.parametrize("size", [0, -3])
def test_vocabulary_size_must_be_positive(size):
    with pytest.raises(
        ValueError, match=f"vocabulary_size: expected a positive integer, got {size}"
    ):
        SoftmaxHead(size)


@pytest.mark.covers("SoftmaxHead", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("readout_units", [None, R])
def test_contract(readout_units, jit_compile):
    width = readout_units or H
    check_layer_contract(
        lambda: SoftmaxHead(V, readout_units, seed=3),
        {"inputs": X},
        parameters=(H + 1) * R * (readout_units is not None) + (width + 1) * V,
        jit_compile=jit_compile,
    )


# Tied to an embedding.


def tied(embedding_class=TokenEmbedding, **options):
    embedding = embedding_class(V, H)
    embedding.build(None)
    embedding.set_weights([RNG.normal(size=(V, H))])
    return embedding, SoftmaxHead(V, tied_to=embedding, **options)


@pytest.mark.covers("SoftmaxHead", kind="oracle")
@pytest.mark.parametrize("embedding_class", [TokenEmbedding, keras.layers.Embedding])
@pytest.mark.parametrize("readout_units", [None, H])
def test_a_tied_head_multiplies_by_the_embedding(embedding_class, readout_units):
    embedding, head = tied(embedding_class, readout_units=readout_units)
    head.build(X.shape)
    bias = RNG.normal(size=V)
    head.bias.assign(bias)
    hidden = X
    if readout_units:
        kernel, shift = (ops.convert_to_numpy(w) for w in head.readout.weights)
        hidden = np.tanh(X @ kernel + shift)
    expected = np.einsum("bth,vh->btv", hidden, ops.convert_to_numpy(embedding.embeddings)) + bias
    np.testing.assert_allclose(ops.convert_to_numpy(head(X)), expected, rtol=1e-4, atol=1e-5)


def language_model():
    ids = keras.Input((None,), dtype="int32")
    embedding = TokenEmbedding(V, H, name="embedding")
    return keras.Model(ids, SoftmaxHead(V, tied_to=embedding, name="head")(embedding(ids)))


@keras.saving.register_keras_serializable(package="seqkeras_tests")
class Owner(keras.Layer):
    """A layer that owns an embedding and a head tied to it, as a decoder does."""

    def __init__(self, embedding, head, **kwargs):
        super().__init__(**kwargs)
        self.embedding, self.head = embedding, head

    def build(self, ids_shape):
        if not self.embedding.built:
            self.embedding.build(ids_shape)
        if not self.head.built:
            self.head.build((*ids_shape, H))

    def call(self, ids):
        return self.head(self.embedding(ids))

    def get_config(self):
        names = ("embedding", "head")
        config = {n: keras.saving.serialize_keras_object(getattr(self, n)) for n in names}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        config = copy.deepcopy(config)
        embedding = keras.saving.deserialize_keras_object(config.pop("embedding"))
        config["head"]["config"]["tied_to"] = embedding
        return cls(embedding, keras.saving.deserialize_keras_object(config.pop("head")), **config)


@keras.saving.register_keras_serializable(package="seqkeras_tests")
class Sharing(Owner):
    """An owner that leaves the sharing to Keras."""

    @classmethod
    def from_config(cls, config):
        names = ("embedding", "head")
        made = {n: keras.saving.deserialize_keras_object(config[n]) for n in names}
        return cls(**{**config, **made})


def owning_model(owner):
    ids = keras.Input((None,), dtype="int32")
    embedding = TokenEmbedding(V, H, name="embedding")
    return keras.Model(ids, owner(embedding, SoftmaxHead(V, tied_to=embedding))(ids))


@pytest.mark.parametrize(
    "make",
    [language_model, lambda: owning_model(Owner), lambda: owning_model(Sharing)],
    ids=["functional", "owner", "owner that leaves it to keras"],
)
def test_a_file_keeps_the_tie(make, tmp_path):
    model = make()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    ids = np.array([[1, 2, 3]], "int32")
    for m in (model, loaded):
        assert sum(np.prod(w.shape) for w in m.trainable_weights) == V * H + V
        owner = m.layers[-1] if hasattr(m.layers[-1], "embedding") else None
        embedding = owner.embedding if owner else m.get_layer("embedding")
        head = owner.head if owner else m.get_layer("head")
        assert head.tied_to is embedding
    np.testing.assert_allclose(loaded(ids), model(ids), rtol=1e-6)


def test_embedding_and_head_share_one_gradient():
    """It is what a step of SGD subtracts, and the sum of both uses by hand."""
    model = language_model()
    ids, targets = np.array([[1, 2]], "int32"), RNG.normal(size=(1, 2, V)).astype("float32")
    E = ops.convert_to_numpy(model.get_layer("embedding").embeddings).astype("float64")
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    model.fit(ids, targets, verbose=0)
    x = E[ids[0]]
    by_logits = 2 * (x @ E.T - targets[0]) / targets.size
    by_table = by_logits.T @ x
    np.add.at(by_table, ids[0], by_logits @ E)
    moved = E - ops.convert_to_numpy(model.get_layer("embedding").embeddings)
    np.testing.assert_allclose(moved, by_table, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "copied",
    [
        lambda model: keras.Model.from_config(model.get_config()),
        keras.models.clone_model,
    ],
)
@pytest.mark.parametrize("make", [language_model, lambda: owning_model(Sharing)])
def test_what_would_untie_raises(make, copied):
    with pytest.raises(ValueError, match="expected to find the embedding 'embedding'"):
        copied(make())


def test_an_owner_that_passes_its_embedding_on_can_be_copied_in_any_way():
    model = owning_model(Owner)
    for copied in (keras.models.clone_model(model), keras.Model.from_config(model.get_config())):
        owner = copied.layers[-1]
        assert owner.head.tied_to is owner.embedding


def test_a_file_in_which_the_embedding_is_not_found_is_refused(tmp_path):
    """Keras forgets to mark the embedding of an inner model as shared."""
    embedding = TokenEmbedding(V, H, name="embedding")
    source, hidden = keras.Input((None,), dtype="int32"), keras.Input((None, H))
    encoder = keras.Model(source, embedding(source))
    decoder = keras.Model(hidden, SoftmaxHead(V, tied_to=embedding)(hidden))
    keras.Model(source, decoder(encoder(source))).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="so the two would come apart"):
        keras.saving.load_model(tmp_path / "model.keras")


def test_the_embedding_must_fit():
    with pytest.raises(ValueError, match="expected a tied embedding of shape .7, 5., got .6, 5."):
        SoftmaxHead(V, tied_to=TokenEmbedding(V - 1, H))(X)
    with pytest.raises(ValueError, match="expected a tied embedding of shape .7, 2., got .7, 5."):
        SoftmaxHead(V, R, tied_to=TokenEmbedding(V, H))(X)
    with pytest.raises(ValueError, match="tied_to: expected an embedding layer or None"):
        SoftmaxHead(V, tied_to=keras.layers.Dense(V))


@with_and_without_xla
def test_contract_of_a_tied_head(jit_compile):
    def make():
        embedding = TokenEmbedding(V, H, scale=True)
        return Owner(embedding, SoftmaxHead(V, H, tied_to=embedding, seed=3))

    check_layer_contract(
        make,
        {"ids": RNG.integers(0, V, (B, T)).astype("int32")},
        parameters=V * H + V + (H + 1) * H,
        jit_compile=jit_compile,
    )
