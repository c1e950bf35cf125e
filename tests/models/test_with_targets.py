import keras
import numpy as np
import pytest
from keras import ops

from seqkeras.layers import SoftmaxHead
from seqkeras.models import language_model, transformer, transformer_decoder, with_targets
from seqkeras.models.heads import HEADS
from seqkeras.models.language_model import carry_states
from seqkeras.training.losses import TokenCrossentropy
from seqkeras.training.metrics import Perplexity, TokenAccuracy, TokenLoss

V = 12
TOKENS = np.array([[2, 5, 6, 7], [2, 8, 0, 0]], "int32")
TARGETS = np.array([[5, 6, 7, 2], [8, 2, 0, 0]], "int32")
SMALL = {"embedding_dim": 6, "units": 6}
INPUTS = [TOKENS, TARGETS]


def compiled(model, *metrics):
    model.compile(keras.optimizers.SGD(0.5), TokenCrossentropy(), metrics=list(metrics))
    return model


@pytest.mark.parametrize("head", HEADS)
def test_losses_evaluate_as_logits_do(head):
    model = language_model(V, head=head, samples=4, **SMALL)
    of_logits = compiled(model, TokenLoss(), Perplexity())
    wanted = of_logits.evaluate(TOKENS, TARGETS, verbose=0, return_dict=True)
    of_losses = compiled(with_targets(model), TokenLoss(), Perplexity())
    found = of_losses.evaluate(INPUTS, TARGETS, verbose=0, return_dict=True)
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_a_step_of_fit_trains_the_model_itself(head):
    model = language_model(V, head=head, samples=8, **SMALL)
    before = model.get_weights()
    training = compiled(with_targets(model))
    untrained = np.mean(ops.convert_to_numpy(training(INPUTS)))
    training.fit(INPUTS, TARGETS, epochs=80, verbose=0)
    assert np.mean(ops.convert_to_numpy(training(INPUTS))) < 0.8 * untrained
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(moved[: len(model.trainable_weights)])


@pytest.mark.parametrize("head", ["softmax", "importance"])
def test_full_softmax_and_what_comes_near_it_in_training(head):
    """The full softmax trains on the loss of its logits; a sampled one draws anew each time."""
    model = with_targets(language_model(V, head=head, samples=3, **SMALL))
    exact = ops.convert_to_numpy(model(INPUTS))
    twice = [ops.convert_to_numpy(model(INPUTS, training=True)) for _ in range(2)]
    if head == "softmax":
        np.testing.assert_allclose(twice, [exact, exact], rtol=1e-5)
    else:
        assert not np.array_equal(*twice)


def test_a_head_may_be_called_by_keyword():
    hidden = keras.Input((None, 4))
    model = with_targets(keras.Model(hidden, SoftmaxHead(V)(inputs=hidden)))
    assert model([np.ones((2, 4, 4), "float32"), TARGETS]).shape == (2, 4)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("head", [name for name in HEADS if name != "adaptive"])
def test_xla_compiles_the_training(head):
    model = with_targets(language_model(V, head=head, samples=500, **SMALL))
    losses = []
    for jit_compile in (False, True):
        model.compile(keras.optimizers.SGD(0.0), TokenCrossentropy(), jit_compile=jit_compile)
        losses.append(model.fit(INPUTS, TARGETS, verbose=0).history["loss"][0])
    rel = 1e-5 if head in ("softmax", "balanced", "huffman") else 0.3  # drawn anew
    assert losses[1] == pytest.approx(losses[0], rel=rel)


def test_carried_states_and_targets_go_together():
    model = language_model(V, **SMALL)
    whole = ops.convert_to_numpy(with_targets(model)(INPUTS))
    carrying = with_targets(carry_states(model, streams=2))
    parts = [
        ops.convert_to_numpy(carrying([TOKENS[:, i : i + 2], TARGETS[:, i : i + 2]]))
        for i in (0, 2)
    ]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-5, atol=1e-6)


def test_a_transformer_takes_targets_too():
    options = {"layers": 1, "units": 8, "num_heads": 2, "hidden_units": 8, "dropout": 0.0}
    model = transformer_decoder(V, tied_output=False, **options)
    log_probs = ops.convert_to_numpy(ops.log_softmax(model(TOKENS)))
    wanted = -np.take_along_axis(log_probs, TARGETS[..., None], -1)[..., 0] * (TARGETS > 0)
    np.testing.assert_allclose(
        ops.convert_to_numpy(with_targets(model)(INPUTS)), wanted, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("tied_output", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_step_on_losses_is_a_step_on_logits(tied_output, smoothing):
    """Of an encoder-decoder whose output matrix is the embedding's, or is not."""
    sizes = {"layers": 1, "units": 8, "num_heads": 2, "hidden_units": 8, "dropout": 0.0}
    inputs = {"source": TOKENS, "target_in": TOKENS}
    by_logits, by_losses = (transformer(V, V, tied_output=tied_output, **sizes) for _ in range(2))
    by_losses.set_weights(by_logits.get_weights())
    training = with_targets(by_losses, smoothing)
    assert [w.path for w in training.weights] == [w.path for w in by_losses.weights]
    histories = []
    for model, loss, x in (
        (by_logits, TokenCrossentropy(smoothing), inputs),
        (training, TokenCrossentropy(), inputs | {"targets": TARGETS}),
    ):
        model.compile(keras.optimizers.SGD(0.1), loss)
        histories.append(model.fit(x, TARGETS, epochs=3, verbose=0).history["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-4)
    for a, b in zip(by_logits.get_weights(), by_losses.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_the_order_of_inputs_is_kept():
    """Lists by place, dicts by name, whatever sorts first."""
    model = language_model(V, **SMALL)
    assert [node.name for node in with_targets(model).inputs] == ["tokens", "targets"]


@pytest.mark.parametrize("head", [name for name in HEADS if name != "softmax"])
def test_what_does_not_see_all_words_does_not_smooth(head):
    with pytest.raises(ValueError, match="label_smoothing: expected 0, got 0.1"):
        with_targets(language_model(V, head=head, **SMALL), label_smoothing=0.1)


def test_a_model_without_a_head_is_told():
    tokens = keras.Input((None,), dtype="int32")
    model = keras.Model(tokens, keras.layers.Embedding(V, 4)(tokens), name="mine")
    with pytest.raises(ValueError, match="VocabularyHead.*'mine' is Embedding"):
        with_targets(model)


def test_what_needs_logits_says_so():
    model = with_targets(language_model(V, **SMALL))
    smoothed = TokenCrossentropy(label_smoothing=0.1)
    with pytest.raises(ValueError, match="label_smoothing: expected 0 .* got 0.1"):
        smoothed(TARGETS, model(INPUTS))
    with pytest.raises(ValueError, match="TokenAccuracy.*logits"):
        TokenAccuracy().update_state(TARGETS, model(INPUTS))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.tensorflow
def test_saves_and_loads(head, tmp_path):
    counts = list(range(V))
    model = language_model(V, head=head, counts=counts, samples=4, **SMALL)
    with_targets(model)  # the file holds the model alone, whatever else was made of its layers
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded(TOKENS)), ops.convert_to_numpy(model(TOKENS))
    )
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()


def test_ties_that_cannot_be_are_told():
    with pytest.raises(ValueError, match="'adaptive' has no matrix"):
        language_model(V, head="adaptive", tied_output=True, **SMALL)
    with pytest.raises(ValueError, match="head: expected a name beside a tied output"):
        language_model(V, head=SoftmaxHead, tied_output=True, **SMALL)
    with pytest.raises(ValueError, match="head: expected one of .* got 'softmaxx'"):
        language_model(V, head="softmaxx", **SMALL)
