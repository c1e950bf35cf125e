import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import (
    BahdanauAttention,
    DotAttention,
    GeneralAttention,
    HardAttention,
    ScaledDotAttention,
)
from tests.contract import check_layer_contract, with_and_without_xla
from tests.gradients import value_and_gradients

B, T, S, D = 3, 4, 5, 6
REAL = np.arange(S) < np.array([[5], [2], [0]])
ESTIMATORS = ("straight_through", "gumbel", "reinforce")


@pytest.fixture
def tensors():
    """Query `(B, T, D)`, value `(B, S, 2)` and key `(B, S, D)`."""
    rng = np.random.default_rng(0)
    shapes = [(B, T, D), (B, S, 2), (B, S, D)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def run(attention, *args, **kwargs):
    """Returns context, weights and log-probabilities as arrays."""
    outputs = attention(*args, return_attention_scores=True, return_log_probs=True, **kwargs)
    return [ops.convert_to_numpy(output) for output in outputs]


@pytest.mark.covers("HardAttention", kind="oracle")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_hard_attention_reads_the_value_of_the_best_key(estimator, tensors):
    """Notes B 4.3.1: row n of the output is v_i, i = argmax_i <q_n, k_i>; exactly."""
    query, value, key = tensors
    attention = HardAttention(DotAttention(), estimator)
    context, weights, log_probs = run(attention, query, value, key, value_mask=REAL)
    for b in range(2):
        n = REAL[b].sum()
        for t in range(T):
            e = key[b, :n] @ query[b, t]
            np.testing.assert_array_equal(context[b, t], value[b, e.argmax()])
            np.testing.assert_array_equal(weights[b, t], np.eye(S)[e.argmax()])
            assert log_probs[b, t] == pytest.approx(
                e.max() - np.log(np.exp(e).sum()), rel=1e-4, abs=1e-6
            )
    for nothing in (context[2], weights[2], log_probs[2]):
        np.testing.assert_array_equal(nothing, 0.0)


def test_it_is_the_limit_of_cold_soft_attention(tensors):
    """E05: softmax(x / tau) for tau to 0."""
    query, value, key = tensors
    hard = HardAttention(DotAttention())(query, value, key)
    gaps = [
        np.abs(ops.convert_to_numpy(DotAttention()(query / tau, value, key)) - hard).max()
        for tau in (1.0, 0.1, 0.01, 1e-4)
    ]
    assert gaps[0] > 0.1
    assert gaps[-1] < 1e-5
    assert gaps == sorted(gaps, reverse=True)


def test_it_is_any_attention_with_the_hard_activation(tensors):
    found = HardAttention(ScaledDotAttention())(*tensors, value_mask=REAL)
    expected = ScaledDotAttention(activation="hard")(*tensors, value_mask=REAL)
    np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(expected))


def test_of_equal_keys_the_first_real_one_wins():
    value = np.arange(4.0, dtype="float32")[None, :, None]
    attention = HardAttention(DotAttention())
    query, key = np.ones((1, 1, 2), "float32"), np.ones((1, 4, 2), "float32")
    assert float(attention(query, value, key)[0, 0, 0]) == 0.0
    later = attention(query, value, key, value_mask=np.array([[False, False, True, True]]))
    assert float(later[0, 0, 0]) == 2.0


@pytest.mark.parametrize("estimator", ["gumbel", "reinforce"])
def test_training_samples_the_softmax_of_the_real_keys(estimator, tensors):
    """4 standard errors of every frequency; what is masked is never chosen."""
    query, value, key = (np.repeat(x[1:2], 4000, axis=0) for x in tensors)
    may_look = np.array([[True, False, True, True, False]])[None].repeat(T, 1)
    may_look[0, 3] = False
    attention = HardAttention(DotAttention(), estimator, seed=1)
    options = {"value_mask": np.repeat([[True] * 4 + [False]], 4000, axis=0)}
    _, drawn, log_probs = run(
        attention, query, value, key, attention_mask=may_look, training=True, **options
    )
    e = np.where(may_look, query[0] @ key[0].T, -np.inf)[0, :3]
    p = np.exp(e) / np.exp(e).sum(-1, keepdims=True)
    frequencies = drawn.mean(0)
    assert (np.abs(frequencies[:3] - p) <= 4 * np.sqrt(p * (1 - p) / 4000)).all()
    assert not drawn[:, ~may_look[0]].any()
    assert not drawn[:, 3].any()
    expected = np.log((drawn[:, :3] * p).sum(-1))
    np.testing.assert_allclose(log_probs[:, :3], expected, rtol=1e-4, atol=1e-5)
    assert not log_probs[:, 3].any()


@pytest.mark.parametrize("estimator", ["gumbel", "reinforce"])
def test_a_seed_repeats_the_choices(estimator, tensors):
    query, value, key = (x / 10 for x in tensors)

    def draws(seed):
        attention = HardAttention(DotAttention(), estimator, seed=seed)
        return [run(attention, query, value, key, training=True)[1] for _ in range(2)]

    first, again, other = draws(1), draws(1), draws(2)
    np.testing.assert_array_equal(first, again)
    assert np.any(first[0] != first[1])
    assert np.any(first[0] != other[0])


def test_a_prepared_memory_can_be_asked_with_noise(tensors):
    query, value, key = map(ops.convert_to_tensor, tensors)
    attention = HardAttention(DotAttention(), "gumbel", seed=3)
    whole = run(attention, query, value, key, value_mask=REAL, training=True)
    again = HardAttention(DotAttention(), "gumbel", seed=3)
    memory = again.prepare(value, key, ops.convert_to_tensor(REAL))
    noise = again.draw_noise((B, T, S), training=True)
    for t in range(T):
        context, weights = again.attend(query[:, t : t + 1], memory, noise=noise[:, t : t + 1])
        np.testing.assert_array_equal(ops.convert_to_numpy(context)[:, 0], whole[0][:, t])
        np.testing.assert_array_equal(ops.convert_to_numpy(weights)[:, 0], whole[1][:, t])


@pytest.mark.parametrize("estimator", ["straight_through", "gumbel"])
def test_what_is_masked_has_no_gradient_in_training(estimator, tensors):
    query, value, key = tensors
    attention = HardAttention(BahdanauAttention(3), estimator, temperature=0.7)
    attention(*tensors)
    asks = np.arange(T) < np.array([[4], [2], [1]])

    def loss(query, value, key):
        context = attention(query, value, key, query_mask=asks, value_mask=REAL, training=True)
        return ops.sum(ops.sin(context))

    padded = [
        np.where(mask[..., None], x, np.nan).astype("float32")
        for x, mask in zip(tensors, (asks, REAL, REAL), strict=True)
    ]
    _, of_inputs, of_weights = value_and_gradients(loss, padded, attention.trainable_variables)
    for gradient, mask in zip(of_inputs, (asks, REAL, REAL), strict=True):
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal(gradient[~mask], 0.0)
    assert all(np.isfinite(g).all() and g.any() for g in of_weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": "st"}, "estimator: expected one of .*reinforce.*, got 'st'"),
        ({"temperature": 0.0}, "temperature: expected a number > 0, got 0.0"),
        ({"estimator": "reinforce", "temperature": 0.5}, "expected 1.0, got 0.5"),
        ({"seed": 1}, '"straight_through" draws nothing'),
        ({"attention": DotAttention(activation="hard")}, "expected one without activation="),
        ({"attention": keras.layers.Attention()}, "expected an attention layer of seqkeras"),
        ({"attention": "dot"}, "expected an attention layer of seqkeras"),
    ],
)
def test_options_that_do_not_fit_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        HardAttention(**{"attention": DotAttention(), **arguments})


def test_reinforce_without_its_log_probabilities_raises_in_training(tensors):
    attention = HardAttention(DotAttention(), "reinforce")
    attention(*tensors)
    with pytest.raises(ValueError, match="return_log_probs=True and hand them to ReinforceLoss"):
        attention(*tensors, training=True)


@pytest.mark.covers("HardAttention", kind="contract")
@with_and_without_xla
@pytest.mark.parametrize(
    ("factory", "parameters"),
    [
        (lambda: HardAttention(BahdanauAttention(4), temperature=0.5), (2 * D + 2) * 4),
        (lambda: HardAttention(GeneralAttention(), "gumbel", seed=5), D * D),
    ],
    ids=["straight_through", "gumbel"],
)
def test_contract(factory, parameters, jit_compile):
    # No two keys score about the same, which in half precision would be another choice.
    rng = np.random.default_rng(4)
    sizes = {"query": (3, T, D), "value": (3, S, 2), "key": (3, S, D)}
    check_layer_contract(
        factory,
        {name: rng.normal(size=size).astype("float32") for name, size in sizes.items()},
        parameters=parameters,
        masks={"query": "query_mask", "value": "value_mask", "key": "key_mask"},
        jit_compile=jit_compile,
    )
