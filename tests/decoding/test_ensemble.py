import numpy as np
import pytest
from keras import ops

from seqkeras.decoding import beam_search, ensemble_state, ensemble_step
from tests.decoding.table_model import TableModel


def two_models():
    return [TableModel(batch_size=3, vocabulary=6, depth=4, seed=seed) for seed in (1, 2)]


def test_ensemble_of_one_is_the_model():
    model, _ = two_models()
    options = {"length_penalty": 0.6, "coverage_penalty": 0.2, "source_mask": model.source_mask}
    alone = beam_search(model.step, model.state(), 3, 4, 4, **options)
    step, state = ensemble_step([model.step]), ensemble_state([model.state()])
    for field, value in zip(beam_search(step, state, 3, 4, 4, **options), alone, strict=True):
        np.testing.assert_allclose(field, value, rtol=1e-6)


@pytest.mark.parametrize(("weights", "shares"), [(None, (0.5, 0.5)), ((3, 1), (0.75, 0.25))])
def test_mean_of_two_by_hand(weights, shares):
    models = two_models()
    step = ensemble_step([model.step for model in models], weights)
    state = ensemble_state([model.state() for model in models], weights)
    prefix = []
    for token in (1, 3, 5):  # START, then a prefix
        prefix += [token] if token != 1 else []
        log_probs, state = step(ops.convert_to_tensor([token] * 3, dtype="int32"), state)
        for row in range(3):
            after = [model.after(row, prefix) for model in models]
            probs = sum(w * np.exp(p) for w, (p, _) in zip(shares, after, strict=True))
            np.testing.assert_allclose(np.exp(log_probs[row]), probs, rtol=1e-5)
            attention = sum(w * a for w, (_, a) in zip(shares, after, strict=True))
            np.testing.assert_allclose(state["attention"][row], attention, rtol=1e-5)


def test_beam_of_an_ensemble_is_exhaustive_search():
    models = two_models()
    step = ensemble_step([model.step for model in models])
    result = beam_search(step, ensemble_state([model.state() for model in models]), 3, 40, 4)

    def log_prob(row, y):
        tokens = [np.exp([m.after(row, y[:t])[0][v] for m in models]) for t, v in enumerate(y)]
        return np.log(np.mean(tokens, axis=1)).sum()

    for row in range(3):
        expected = sorted((log_prob(row, y) for y in models[0].all_sequences(4)), reverse=True)
        assert len(expected) == 40
        np.testing.assert_allclose(result.scores[row], expected, rtol=1e-5)


def test_what_no_member_allows_stays_impossible():
    step = ensemble_step([lambda *_: (ops.convert_to_tensor([[-np.inf, -1.0, -1.0]]), {})] * 2)
    log_probs, state = step(np.ones(1), ensemble_state([{}, {}]))
    np.testing.assert_allclose(log_probs, [[-np.inf, *np.log([0.5, 0.5])]], rtol=1e-6)
    assert "attention" not in state


def test_attention_only_if_every_member_has_it():
    assert "attention" not in ensemble_state([{"attention": np.ones((1, 2))}, {"h": np.ones(1)}])


@pytest.mark.parametrize("weights", [(1,), (1, 0), (1, -1), (1, float("nan"))])
def test_wrong_weights_raise(weights):
    with pytest.raises(ValueError, match="weights must be 2 positive numbers"):
        ensemble_step([None, None], weights)


def test_no_member_raises():
    with pytest.raises(ValueError, match="at least one member"):
        ensemble_step([])


def test_different_vocabularies_raise():
    step = ensemble_step([lambda *_, v=v: (ops.zeros((1, v)), {}) for v in (4, 5)])
    with pytest.raises(ValueError, match=r"share one vocabulary, their sizes are \[4, 5\]"):
        step(np.ones(1), ensemble_state([{}, {}]))


def test_a_memory_for_each_member():
    step = ensemble_step([None, None])
    with pytest.raises(ValueError, match="one for each of 2 members, got 1"):
        step(np.ones(1), ensemble_state([{}, {}]), [{}], None)
