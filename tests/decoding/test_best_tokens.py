import numpy as np
from keras import ops

from seqkeras.constants import END
from seqkeras.decoding.best_tokens import best_tokens, log_normalizer


def test_the_best_and_end_with_their_log_probabilities():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (4, 300)).astype("float32")
    logits[:, :2] = 50.0  # PAD and START, never produced, are probable
    expected = logits - np.logaddexp.reduce(logits.astype("float64"), axis=1, keepdims=True)

    def bar(logits):
        return ops.where(ops.arange(300) == 7, -np.inf, logits)

    for wrap, barred in ((lambda x: x, None), (bar, 7)):
        found = best_tokens(ops.convert_to_tensor(logits), 5, wrap)
        log_probs, tokens = map(ops.convert_to_numpy, found)
        for row in range(4):
            assert tokens[row, 0] == END
            np.testing.assert_allclose(log_probs[row, 0], expected[row, END], rtol=1e-5)
            regular = [v for v in np.argsort(-expected[row]) if v > END and v != barred][:5]
            kept = log_probs[row, 1:] > -np.inf
            assert tokens[row, 1:][kept][:5].tolist() == regular
            np.testing.assert_allclose(
                log_probs[row, 1:][kept][:5], expected[row, regular], rtol=1e-5
            )


def test_log_normalizer():
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.normal(0, 9, (4, 50)), np.zeros((3, 50))]).astype("float32")
    logits[3, 1:] = -1e4  # all but one are impossible
    logits[4] = -np.inf
    logits[5, 7] = np.nan
    logits[6, 7] = np.inf
    best = np.argmax(np.where(np.isnan(logits), -np.inf, logits), axis=1)[:, None]
    largest = np.take_along_axis(logits, best, axis=1)
    given = (ops.convert_to_tensor(x) for x in (logits, largest, best.astype("int32")))
    found = ops.convert_to_numpy(log_normalizer(*given))[:, 0]
    expected = np.logaddexp.reduce(logits[:4].astype("float64"), axis=1)
    np.testing.assert_allclose(found[:4], expected, rtol=1e-6)
    assert not np.isfinite(found[4:]).any()
