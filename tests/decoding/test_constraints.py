import numpy as np
import pytest
from keras import ops

from seqkeras.constants import PAD
from seqkeras.decoding.constraints import bar_repeats

VOCABULARY = 7


def barred_by_hand(history, ngram):
    """The tokens v for which the last n - 1 tokens and v occurred before."""
    past = [tuple(history[i : i + ngram]) for i in range(len(history) - ngram + 1)]
    return {v for v in range(VOCABULARY) if (*history[len(history) - ngram + 1 :], v) in past}


@pytest.mark.parametrize("ngram", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("position", [0, 1, 4, 8])
def test_bars_exactly_the_repeated(ngram, position):
    rng = np.random.default_rng(ngram)
    tokens = rng.integers(3, 6, (20, 8)).astype("int32")  # few symbols, many repeats
    log_probs = rng.normal(size=(20, VOCABULARY)).astype("float32")
    result = np.asarray(bar_repeats(ops.convert_to_tensor(log_probs), tokens, position, ngram))
    count = 0
    for row in range(20):
        # After `position` lie left-overs that must not matter.
        barred = barred_by_hand(tokens[row, :position].tolist(), ngram)
        count += len(barred)
        for v in range(VOCABULARY):
            if v != PAD:  # never produced anyway
                expected = -np.inf if v in barred else log_probs[row, v]
                assert result[row, v] == expected
    assert (count > 0) == (position >= ngram)
