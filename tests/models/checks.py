"""A small batch, and what holds for every encoder-decoder model, whatever it is made of."""

import keras
import numpy as np
from keras import ops

from seqkeras.constants import PAD
from seqkeras.models import decoding_parts
from seqkeras.ops.hypothesis_rows import HypothesisRows

SOURCE_V, TARGET_V, T = 8, 7, 4
SOURCE = np.array([[4, 5, 6, 7, 2], [5, 2, 0, 0, 0], [3, 7, 2, 0, 0]], "int32")
TOKENS = np.array([[1, 4, 5, 6], [1, 3, 0, 0], [1, 6, 6, 0]], "int32")
INPUTS = {"source": SOURCE, "target_in": TOKENS}


def layer_parameters(d, hidden, attentions):
    """Parameters of a Transformer layer: attentions of four D x D maps, the network, the norms."""
    attention = 4 * (d * d + d)
    feed_forward = d * hidden + hidden + hidden * d + d
    return attentions * attention + feed_forward + (attentions + 1) * 2 * d


def logits_of(model, inputs=INPUTS):
    return ops.convert_to_numpy(model(inputs))


def step_by_step(parts, source, tokens):
    """Log-probabilities `(B, T, V)` by `encode` and `step`, and the weights of every step."""
    memory, state = parts.encode(source)
    rows, log_probs, weights = HypothesisRows(len(source), 1), [], []
    for t in range(tokens.shape[1]):
        logits, state = parts.step(ops.convert_to_tensor(tokens[:, t]), state, memory, rows)
        log_probs.append(ops.convert_to_numpy(ops.log_softmax(logits)))
        if parts.attends:
            weights.append(ops.convert_to_numpy(state["attention"]))
    return np.stack(log_probs, 1), np.stack(weights, 1) if weights else None


def check_three_ways(model):
    """The model, `attend` and `step` after `encode` give the same log-probabilities and weights."""
    parts = decoding_parts(model)
    expected = ops.convert_to_numpy(ops.log_softmax(model(INPUTS)))
    whole, weights = parts.attend(SOURCE, TOKENS)
    np.testing.assert_allclose(ops.convert_to_numpy(whole), expected, atol=1e-6)
    steps, step_weights = step_by_step(parts, SOURCE, TOKENS)
    np.testing.assert_allclose(steps, expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(steps).sum(-1), 1.0, rtol=1e-5)
    assert parts.attends == (weights is not None) == (step_weights is not None)
    if parts.attends:
        np.testing.assert_allclose(step_weights, ops.convert_to_numpy(weights), atol=1e-6)
        real = np.broadcast_to((SOURCE != PAD)[:, None], step_weights.shape)
        np.testing.assert_array_equal(step_weights[~real], 0.0)
        np.testing.assert_allclose(step_weights.sum(-1), 1.0, rtol=1e-5)


def check_rows_ask_together(parts, places):
    """Some or all of three hypotheses a source give what each of them gives alone."""
    memory, state = parts.encode(SOURCE)
    chosen = np.arange(9) if places is None else np.array(places, "int32")
    rows = HypothesisRows(3, 3, None if places is None else ops.convert_to_tensor(chosen))
    state = keras.tree.map_structure(lambda x: ops.take(x, chosen // 3, axis=0), state)
    prefix = np.stack([np.ones_like(chosen), chosen % 4 + 3], axis=1).astype("int32")
    for tokens in prefix.T:
        logits, state = parts.step(ops.convert_to_tensor(tokens), state, memory, rows)
    alone, weights = step_by_step(parts, SOURCE[chosen // 3], prefix)
    found = ops.convert_to_numpy(ops.log_softmax(logits))
    np.testing.assert_allclose(found, alone[:, 1], atol=1e-5)
    if parts.attends:
        np.testing.assert_allclose(state["attention"], weights[:, 1], atol=1e-6)


def check_mixed_precision(build):
    """A model that `build` makes in bfloat16 trains, and decodes in float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(model(INPUTS).dtype) == "float32"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    assert np.isfinite(model.train_on_batch(INPUTS, TOKENS))
    expected = ops.convert_to_numpy(ops.log_softmax(model(INPUTS)))
    steps, _ = step_by_step(decoding_parts(model), SOURCE, TOKENS)
    assert steps.dtype == "float32"
    outputs = decoding_parts(model).attend(SOURCE, TOKENS)
    kinds = {
        keras.backend.standardize_dtype(output.dtype) for output in outputs if output is not None
    }
    assert kinds == {"float32"}
    np.testing.assert_allclose(steps, expected, atol=0.1)


def stuck_weights(model):
    """Returns the paths of the trainable weights that one step of `fit` leaves as they were."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss)
    before = model.get_weights()
    model.train_on_batch(INPUTS, TOKENS)
    return [
        variable.path
        for variable, old in zip(model.weights, before, strict=True)
        if variable.trainable and np.array_equal(old, ops.convert_to_numpy(variable))
    ]
