"""The decoder-only Transformer: size, what a position sees, one token at a time, files."""

import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.constants import END, PAD, START
from seqkeras.decoding.beam import beam_search
from seqkeras.decoding.greedy import greedy_search
from seqkeras.models import transformer_decoder
from seqkeras.models.transformer_decoder import DecoderSteps
from tests.models.checks import TARGET_V, TOKENS, layer_parameters

SIZES = {"layers": 2, "units": 8, "hidden_units": 12, "num_heads": 2}
VARIANTS = {
    "tied": {},
    "apart": {"tied_output": False, "norm": "post"},
    "learned": {"positions": "learned", "max_length": 9},
}


@pytest.fixture(params=sorted(VARIANTS))
def model(request):
    keras.utils.set_random_seed(3)
    return transformer_decoder(TARGET_V, **SIZES, **VARIANTS[request.param])


def run(model, tokens):
    return ops.convert_to_numpy(model(tokens))


def log_probs_of(model, tokens):
    return ops.convert_to_numpy(ops.log_softmax(model(tokens)))


def test_size():
    stack = 2 * layer_parameters(8, 12, 1) + 2 * 8
    assert transformer_decoder(TARGET_V, **SIZES).count_params() == TARGET_V * 8 + stack
    apart = transformer_decoder(TARGET_V, tied_output=False, **SIZES)
    assert apart.count_params() == 2 * TARGET_V * 8 + TARGET_V + stack


def test_no_position_sees_a_later_token(model):
    expected = run(model, TOKENS)
    changed = TOKENS.copy()
    changed[:, 2:] = 3
    found = run(model, changed)
    np.testing.assert_allclose(found[:, :2], expected[:, :2], atol=1e-6)
    assert np.abs(found[0, 2:] - expected[0, 2:]).max() > 1e-3


def test_one_token_at_a_time_is_the_whole(model):
    steps, expected = DecoderSteps(model), log_probs_of(model, TOKENS)
    state = steps.start(len(TOKENS))
    for t in range(TOKENS.shape[1]):
        logits, state = steps.step(ops.convert_to_tensor(TOKENS[:, t]), state)
        log_probs = ops.convert_to_numpy(ops.log_softmax(logits))
        np.testing.assert_allclose(log_probs, expected[:, t], atol=1e-5)


@pytest.mark.tensorflow  # elsewhere a loop's variables keep their shapes, and a cache grows
@pytest.mark.parametrize("beam_size", [1, 3])
def test_searches_take_it(model, beam_size):
    """Against a search that runs the whole model for every prefix."""
    steps, length = DecoderSteps(model), 5

    def slow_step(tokens, state):
        prefix = ops.concatenate([state["prefix"], tokens[:, None]], axis=1)
        return model(prefix)[:, -1], {"prefix": prefix}

    slow = {"prefix": ops.zeros((2, 0), "int32")}
    expected = beam_search(slow_step, slow, 2, beam_size, length)
    found = beam_search(steps.step, steps.start(2), 2, beam_size, length)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    if beam_size == 1:
        greedy = greedy_search(steps.step, steps.start(2), 2, length)
        np.testing.assert_array_equal(greedy.tokens, found.tokens[:, 0])
        tokens = [START]
        while tokens[-1] != END and len(tokens) <= length:
            allowed = log_probs_of(model, np.array([tokens], "int32"))[0, -1]
            allowed[[PAD, START]] = -np.inf
            tokens.append(int(allowed.argmax()) if len(tokens) < length else END)
        assert [t for t in np.array(greedy.tokens[0]) if t != PAD] == tokens[1:]


def test_reloads_and_clones(model, tmp_path):
    expected = run(model, TOKENS)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for copy in (loaded, clone):
        np.testing.assert_array_equal(run(copy, TOKENS), expected)
        steps = DecoderSteps(copy)
        logits, _ = steps.step(ops.convert_to_tensor(TOKENS[:, 0]), steps.start(len(TOKENS)))
        log_probs = ops.convert_to_numpy(ops.log_softmax(logits))
        np.testing.assert_allclose(log_probs, log_probs_of(model, TOKENS)[:, 0], atol=1e-5)


def test_learns_to_repeat():
    """The sequence comes twice: the second half is certain only to who looks back."""
    keras.utils.set_random_seed(0)
    model = transformer_decoder(9, dropout=0.0, **{**SIZES, "units": 16})
    once = np.random.default_rng(0).integers(3, 9, (512, 3))
    tokens = np.concatenate([once, once], axis=1).astype("int32")
    model.compile(
        keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(tokens[:, :-1], tokens[:, 1:], epochs=30, batch_size=64, verbose=0)
    guesses = run(model, tokens[:, :-1]).argmax(-1)
    assert (guesses[:, 2:] == tokens[:, 3:]).mean() > 0.95
