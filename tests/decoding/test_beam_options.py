import numpy as np
import pytest

from seqkeras.constants import END, PAD, START
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


def searched(model, row, beam_size, limit, alpha, n_best):
    """The finished hypotheses of a search that stops early, best first, in plain Python."""
    alive, finished = [((), 0.0)], []
    for t in range(limit):
        options = [
            (-(log_prob + model.after(row, tokens)[0][v]), place, v)
            for place, (tokens, log_prob) in enumerate(alive)
            for v in range(model.vocabulary)
            if v not in (PAD, START) and (v == END or t < limit - 1)
        ]
        kept = sorted(options)[: beam_size - len(finished)]
        kept = [((*alive[place][0], v), -cost) for cost, place, v in kept]
        finished += [y for y, _ in kept if y[-1] == END]
        finished.sort(key=lambda y: -model.score(row, y, alpha))
        alive = [(y, log_prob) for y, log_prob in kept if y[-1] != END]
        best = max((log_prob / ((6 + t) / 6) ** alpha for _, log_prob in alive), default=-np.inf)
        if len(finished) >= n_best and model.score(row, finished[n_best - 1], alpha) >= best:
            break
    return finished[:n_best]


@pytest.mark.parametrize("n_best", [1, 2])
def test_early_stopping_compares_with_what_is_alive_as_it_is(n_best):
    alpha = 3.0  # longer ones often win
    options = {"length_penalty": alpha, "n_best": n_best}
    differ = 0
    for seed in range(3):
        model = TableModel(batch_size=3, vocabulary=5, depth=6, seed=seed)
        step, state = model.step, model.state
        found = beam_search(step, state(), 3, 3, 6, early_stopping=True, **options)
        exact = beam_search(step, state(), 3, 3, 6, **options)
        for row in range(3):
            tokens = [y for y in unpad(np.asarray(found.tokens[row])) if y]
            assert tokens == searched(model, row, 3, 6, alpha, n_best)
        scores = np.asarray(found.scores), np.asarray(exact.scores)
        assert (scores[0] <= scores[1] + 1e-6).all()
        differ += not np.array_equal(found.tokens, exact.tokens)
    assert differ  # the option does something


def test_early_stopping_changes_nothing_without_a_length_penalty():
    model = TableModel(batch_size=3, vocabulary=5, depth=6, seed=3)
    pair = [
        beam_search(model.step, model.state(), 3, 3, 6, n_best=1, early_stopping=early)
        for early in (True, False)
    ]
    for early, exact in zip(*map(arrays, pair), strict=True):
        np.testing.assert_array_equal(early, exact)


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
