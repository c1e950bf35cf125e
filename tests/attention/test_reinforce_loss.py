import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import BahdanauAttention, HardAttention, ReinforceLoss
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

S = 4


def pointer_model(estimator):
    """Reads one value out of S, the one that its key points out; the loss is its distance."""
    shapes = {"query": (1, 1), "key": (S, 3), "value": (S, 2), "target": (1, 2)}
    query, key, value, target = (keras.Input(shape, name=name) for name, shape in shapes.items())
    options = {} if estimator == "straight_through" else {"seed": 1}
    attention = HardAttention(BahdanauAttention(8), estimator, **options)
    context, weights, log_probs = attention(
        query, value, key, return_attention_scores=True, return_log_probs=True
    )
    losses = ops.square(context - target)
    if estimator == "reinforce":
        losses = ReinforceLoss(0.8, name="reinforce")(losses, log_probs)
    return keras.Model([query, key, value, target], [weights, losses])


def pointer_data(n=512):
    rng = np.random.default_rng(0)
    place = rng.integers(S, size=n)
    key = rng.normal(size=(n, S, 3))
    key[np.arange(n), place, 0] += 4.0
    value = rng.normal(size=(n, S, 2))
    target = value[np.arange(n), place][:, None]
    return place, [x.astype("float32") for x in (np.ones((n, 1, 1)), key, value, target)]


@keras.saving.register_keras_serializable(package="seqkeras_tests")
def itself(_, losses):
    return ops.mean(losses) * 2.0


@pytest.mark.parametrize("estimator", ["straight_through", "gumbel", "reinforce"])
def test_fit_learns_where_to_look(estimator, tmp_path):
    """Each estimator by a plain `fit`; the model comes back from its file."""
    keras.utils.set_random_seed(0)
    place, data = pointer_data()
    model = pointer_model(estimator)
    if estimator == "reinforce":
        model.compile(keras.optimizers.Adam(0.03))
        model.fit(data, epochs=15, batch_size=64, verbose=0)
        # The loss of `evaluate` is the plain mean of L at the arg max.
        losses = model.predict(data, verbose=0)[1].sum((1, 2))
        found = model.evaluate(data, verbose=0, batch_size=len(place))
        assert found == pytest.approx(losses.mean(), rel=1e-4)
    else:
        model.compile(keras.optimizers.Adam(0.03), loss=[None, itself])
        model.fit(data, data[1:3], epochs=15, batch_size=64, verbose=0)
    weights, _ = model.predict(data, verbose=0)
    assert (weights[:, 0].argmax(-1) == place).mean() > 0.9
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(data, verbose=0)[0], weights)


@pytest.mark.covers("ReinforceLoss", kind="oracle")
@pytest.mark.parametrize("decay", [None, 0.0, 0.9])
def test_the_loss_and_its_gradient_are_those_of_the_equations(decay):
    """(L - b) grad log p; b is the moving average of the batches before, the first batch's is 0."""
    layer = ReinforceLoss(decay)
    rng = np.random.default_rng(1)
    b, optimizer = 0.0, keras.optimizers.SGD(1.0)
    x, y = keras.Input((3,)), keras.Input((2,))
    scale = keras.layers.Dense(2, use_bias=False)
    model = keras.Model([x, y], layer(ops.square(x), scale(y)))
    model.compile(optimizer)
    for n in range(1, 4):
        arrays = (
            rng.normal(size=(4, 3)).astype("float32"),
            rng.normal(size=(4, 2)).astype("float32"),
        )
        losses = (arrays[0] ** 2).sum(-1)
        before = scale.get_weights()[0]
        history = model.fit(arrays, batch_size=4, verbose=0).history
        assert history["loss"][0] == pytest.approx(losses.mean(), rel=1e-5)
        gradient = np.einsum("b,bi->i", losses - b, arrays[1])[:, None].repeat(2, 1) / 4
        np.testing.assert_allclose(before - scale.get_weights()[0], gradient, atol=1e-5)
        if decay is not None:
            b += max(1 - decay, 1 / n) * (losses.mean() - b)
            assert float(layer.baseline) == pytest.approx(b, rel=1e-5)
        model.evaluate(arrays, verbose=0)  # leaves the baseline alone


def test_losses_of_one_number_each():
    """Losses `(B,)`, returned as they are, with their own gradient."""
    losses, log_probs = np.array([1.0, 2.0], "float32"), np.array([-1.0, -2.0], "float32")
    layer = ReinforceLoss()
    np.testing.assert_array_equal(layer(losses, log_probs), losses)
    assert float(layer.losses[0]) == pytest.approx(1.5)
    _, gradients, _ = value_and_gradients(
        lambda a, b: ops.sum(layer(a, b, training=True) * np.array([1.0, 3.0], "float32")),
        [losses, log_probs],
    )
    np.testing.assert_array_equal(gradients, [[1.0, 3.0], [0.0, 0.0]])


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_outside_0_to_1_raises(decay):
    with pytest.raises(ValueError, match="baseline_decay: expected None or a number in"):
        ReinforceLoss(decay)


def test_losses_without_a_batch_raise():
    with pytest.raises(ValueError, match="losses: expected one for every example"):
        ReinforceLoss()(np.float32(1.0), np.ones(3, "float32"))


@pytest.mark.covers("ReinforceLoss", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize("decay", [None, 0.5])
def test_contract(decay, jit_compile):
    rng = np.random.default_rng(2)
    check_layer_contract(
        lambda: ReinforceLoss(decay),
        {
            "losses": rng.normal(size=(3, 2)).astype("float32"),
            "log_probs": rng.normal(size=(3, 4)).astype("float32"),
        },
        parameters=0,
        jit_compile=jit_compile,
    )
