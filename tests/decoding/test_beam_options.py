import numpy as np
import pytest

from seqkeras.decoding import beam_search
from tests.decoding.table_model import TableModel, arrays, repeats, unpad


@pytest.mark.parametrize("ngram", [1, 2, 3])
def test_no_ngram_occurs_twice(ngram):
    model = TableModel(batch_size=2, vocabulary=5, depth=1, seed=4)  # forgets its past
    model.table[:] = np.log([0.01, 0.01, 0.001, 0.9, 0.079])  # 3 3 3 3 ...
    free = np.asarray(beam_search(model.step, model.state(), 2, 3, 9).tokens)
    assert any(repeats(y, ngram) for y in unpad(free[0]))
    tokens = beam_search(model.step, model.state(), 2, 3, 9, no_repeat_ngram=ngram).tokens
    for y in unpad(tokens[0]):
        assert not repeats(y, ngram)


def test_coverage_counts_real_source_positions_only():
    model = TableModel(batch_size=2, vocabulary=5, depth=3, seed=5)
    options = {"coverage_penalty": 0.5, "source_mask": model.source_mask}
    expected = arrays(beam_search(model.step, model.state(), 2, 4, 3, **options))
    model.attention[~np.broadcast_to(model.source_mask[:, None], model.attention.shape)] = 0.5
    assert not model.source_mask.all()
    for field, value in zip(
        beam_search(model.step, model.state(), 2, 4, 3, **options), expected, strict=True
    ):
        np.testing.assert_array_equal(field, value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size must be at least 1, got 0"),
        ({"n_best": 4}, "n_best must lie in 1..beam_size=3, got 4"),
        ({"n_best": 0}, "n_best must lie in"),
        ({"length_penalty": -0.1}, "length_penalty must be .* at least 0, got -0.1"),
        ({"coverage_penalty": -1.0}, "coverage_penalty must be"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram must be at least 0"),
        ({"coverage_penalty": 0.1}, "needs source_mask"),
        ({"max_length": 0}, "max_length must be at least 1"),
    ],
)
def test_wrong_options_raise(options, message):
    model = TableModel(batch_size=2, vocabulary=5, depth=3, seed=8)
    arguments = {"beam_size": 3, "max_length": 3} | options
    with pytest.raises(ValueError, match=message):
        beam_search(model.step, model.state(), 2, **arguments)


def test_coverage_without_attention_raises():
    model = TableModel(batch_size=2, vocabulary=5, depth=3, seed=9)
    state = model.state()
    del state["attention"]
    with pytest.raises(ValueError, match=r"state\['attention'\]; this state has \['row', 'trie'\]"):
        beam_search(model.step, state, 2, 3, 3, coverage_penalty=0.1, source_mask=model.source_mask)
