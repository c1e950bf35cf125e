"""A network and n-grams in one softmax: whole, in parts, one token at a time, trained, saved."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.constants import END, START
from seqkeras.counts import count_ngrams
from seqkeras.layers import SoftmaxHead
from seqkeras.models import language_model, with_targets
from seqkeras.models.language_model import LanguageModelSteps, carry_states
from seqkeras.training.losses import TokenCrossentropy
from tests.counts.exact_kneser_ney import toy_corpus

V = 9
STREAM = np.concatenate(toy_corpus(np.random.default_rng(0))).astype("int32")
IDS = np.stack([STREAM[:12], STREAM[20:32]])


@pytest.fixture(scope="module", params=[2, 4])
def model(request):
    ngrams = count_ngrams([STREAM], request.param, V)
    made = language_model(V, embedding_dim=5, units=4, ngrams=ngrams)
    rng = np.random.default_rng(1)
    for weight in made.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return made


def logits(model, ids):
    return ops.convert_to_numpy(model(np.asarray(ids, "int32")))


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_stream_in_parts_is_the_whole(model, cut):
    carrying = carry_states(model, streams=2)
    parts = [logits(carrying, IDS[:, i : i + cut]) for i in range(0, IDS.shape[1], cut)]
    np.testing.assert_allclose(np.concatenate(parts, 1), logits(model, IDS), rtol=1e-4, atol=1e-5)


def test_one_token_at_a_time_is_the_whole(model):
    steps = LanguageModelSteps(model)
    prompts, lengths = np.array([[4, 3, 5], [3, 0, 0], [0, 0, 0]], "int32"), [3, 1, 0]
    goes_on = np.array([[6, 4], [4, 4], [3, 5]], "int32")
    state = steps.start(prompts, np.array(lengths, "int32"))
    tokens = np.full(3, START, "int32")
    for t in range(3):
        found, state = steps.step(ops.convert_to_tensor(tokens), state)
        for row in range(3):
            text = [END, *prompts[row, : lengths[row]], *goes_on[row, :t]]
            np.testing.assert_allclose(
                ops.convert_to_numpy(found)[row], logits(model, [text])[0, -1], rtol=1e-4, atol=1e-5
            )
        tokens = goes_on[:, t] if t < 2 else tokens


def test_no_prediction_sees_what_comes(model):
    changed = IDS.copy()
    changed[:, 6:] = 4
    np.testing.assert_array_equal(logits(model, IDS)[:, :6], logits(model, changed)[:, :6])


def test_saves_and_loads(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(loaded, IDS), logits(model, IDS))


def test_network_and_ngrams_learn_together():
    model = language_model(V, embedding_dim=5, units=4, ngrams=count_ngrams([STREAM], 3, V))
    before = [ops.convert_to_numpy(w) for w in model.trainable_weights]
    training = with_targets(model)
    training.compile(keras.optimizers.Adam(0.05), TokenCrossentropy())
    inputs, targets = STREAM[None, :-1], STREAM[None, 1:]
    history = training.fit([inputs, targets], targets, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
    for old, new in zip(before, model.trainable_weights, strict=True):
        assert not np.array_equal(old, ops.convert_to_numpy(new)), new.path


def test_what_does_not_go_together_is_told():
    pairs = count_ngrams([STREAM], 2, V)
    with pytest.raises(ValueError, match="head: expected 'softmax' beside n-grams, got 'adaptive'"):
        language_model(V, head="adaptive", ngrams=pairs)
    with pytest.raises(ValueError, match="head: expected 'softmax' beside n-grams, got a function"):
        language_model(V, head=SoftmaxHead, ngrams=pairs)
    with pytest.raises(ValueError, match="at least 2 and 50 words, got the order 2 and 9 words"):
        language_model(50, ngrams=pairs)
    with pytest.raises(ValueError, match="at least 2 and 9 words, got the order 1 and 9 words"):
        language_model(V, ngrams=count_ngrams([STREAM], 1, V))
