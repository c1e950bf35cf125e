import numpy as np
import pytest
from keras import ops

from seqkeras.constants import END, PAD, START
from seqkeras.decoding.rollout import rollout
from tests.decoding.table_model import TableModel, unpad


@pytest.mark.tensorflow  # looks at the scores: eagerly
def test_choose_sees_barred_tokens_and_positions():
    """A scripted `choose`: row b ends at position b; the last position forces END."""
    model = TableModel(batch_size=4, vocabulary=5, depth=3, seed=1)
    seen = []

    def choose(log_probs, position):
        seen.append(np.asarray(ops.convert_to_numpy(log_probs)))
        return ops.where(ops.arange(4) == position, END, 4)

    result = rollout(model.step, model.state(), 4, 3, choose)
    assert unpad(result.tokens) == [(END,), (4, END), (4, 4, END), (4, 4, END)]
    assert np.asarray(result.lengths).tolist() == [1, 2, 3, 3]
    for log_probs in seen:
        assert np.all(log_probs[:, [PAD, START]] == -np.inf)
        assert np.all(np.isfinite(log_probs[:, END:]))
    np.testing.assert_allclose(seen[0][:, END:], model.table[:, 0, END:], rtol=1e-5)
    np.testing.assert_allclose(
        result.log_probs, [model.log_prob(b, y) for b, y in enumerate(unpad(result.tokens))], 1e-5
    )


def test_a_barred_choice_leaves_no_hypothesis():
    model = TableModel(batch_size=2, vocabulary=5, depth=3, seed=2)
    result = rollout(model.step, model.state(), 2, 3, lambda *_: ops.convert_to_tensor([PAD, END]))
    assert unpad(result.tokens) == [(), (END,)]
    assert np.asarray(result.lengths).tolist() == [0, 1]
    assert np.asarray(result.log_probs)[0] == -np.inf
