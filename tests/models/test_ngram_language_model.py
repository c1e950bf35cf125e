"""n-grams as a language model: whole, in parts, one token at a time."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.constants import END, START
from seqkeras.counts import count_ngrams, kneser_ney
from seqkeras.decoding import greedy_search
from seqkeras.models import ngram_language_model
from seqkeras.models.language_model import LanguageModelSteps, carry_states
from tests.counts.exact_kneser_ney import toy_corpus

V = 9
STREAM = np.concatenate(toy_corpus(np.random.default_rng(0)))


def tables(order):
    return kneser_ney(count_ngrams([STREAM], order, V), discounts=[0.7] * order)


@pytest.fixture(scope="module", params=[1, 2, 4])
def both(request):
    made = tables(request.param)
    return made, ngram_language_model(made)


def expected(made, history):
    """log p of every next id after a text's tokens, END in front, in NumPy."""
    log_probs = np.log(np.maximum(made.distribution([END, *history]), 1e-37))
    return log_probs[2:]  # PAD and START are impossible


def test_it_is_the_tables(both):
    made, model = both
    ids = np.array([[END, 4, 3, 3, END, 5]], "int32")
    found = ops.convert_to_numpy(model(ids))[0, :, 2:]
    # Where the context reaches the row's beginning, the tables would begin with START.
    wanted = [expected(made, ids[0, 1 : t + 1])[:] for t in range(6)]
    np.testing.assert_allclose(found[3:], wanted[3:], rtol=1e-4, atol=1e-5)
    assert model.output_shape == (None, None, V)
    assert not model.trainable_weights


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_stream_in_parts_is_the_whole(both, cut):
    _, model = both
    carrying = carry_states(model, streams=2)
    ids = np.stack([STREAM[:12], STREAM[20:32]]).astype("int32")
    whole = ops.convert_to_numpy(model(ids))
    for _ in range(2):  # the second time from the beginning again
        parts = [
            ops.convert_to_numpy(carrying(ids[:, i : i + cut])) for i in range(0, ids.shape[1], cut)
        ]
        np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-5)
        (layer,) = [layer for layer in carrying.layers if getattr(layer, "stateful", False)]
        layer.reset_state()


def test_one_token_at_a_time_is_the_whole(both):
    """Prompts of several lengths, the empty one among them."""
    _, model = both
    steps = LanguageModelSteps(model)
    prompts = np.array([[4, 3, 5], [3, 0, 0], [0, 0, 0]], "int32")
    lengths = np.array([3, 1, 0], "int32")
    goes_on = np.array([[6, 4], [4, 4], [3, 5]], "int32")
    state = steps.start(prompts, lengths)
    tokens = np.full(3, START, "int32")
    for t in range(3):
        logits, state = steps.step(ops.convert_to_tensor(tokens), state)
        for row in range(3):
            text = [END, *prompts[row, : lengths[row]], *goes_on[row, :t]]
            whole = ops.convert_to_numpy(model(np.array([text], "int32")))[0, -1]
            np.testing.assert_allclose(ops.convert_to_numpy(logits)[row], whole, rtol=1e-5)
        tokens = goes_on[:, t] if t < 2 else tokens


def test_it_goes_on_with_a_text(both):
    _, model = both
    steps = LanguageModelSteps(model)
    state = steps.start(np.array([[3, 4]], "int32"), np.array([2], "int32"))
    found = greedy_search(steps.step, state, 1, max_length=6)
    assert np.isfinite(ops.convert_to_numpy(found.log_probs)).all()


def test_saves_and_loads(both, tmp_path):
    _, model = both
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    ids = np.array([[END, 4, 3, 3]], "int32")
    np.testing.assert_array_equal(loaded(ids), model(ids))
