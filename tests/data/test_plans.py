"""Epoch plans: any lengths, any budget; covers, budgets and counts are recomputed from scratch."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqkeras.data import plans
from seqkeras.data.plans import Planner

lengths = st.integers(1, 60)
pairs_of_lengths = st.lists(st.tuples(lengths, lengths), min_size=1, max_size=80)


def batches_of(plan):
    return [plan.examples[a:b].tolist() for a, b in itertools.pairwise(plan.splits)]


def check_plan(plan, pairs, budget):
    batches = batches_of(plan)
    assert all(batches)
    assert sorted(itertools.chain(*batches)) == list(range(len(pairs)))
    for batch in batches:
        assert len(batch) * max(pairs[i][0] for i in batch) <= budget
        assert len(batch) * max(pairs[i][1] for i in batch) <= budget


def some_lengths(count, seed=0):
    rng = np.random.default_rng(seed)
    source = rng.poisson(12, count) + 1
    return source, np.maximum(1, source + rng.integers(-4, 5, count))


@settings(max_examples=150, deadline=None)
@given(pairs_of_lengths, st.integers(0, 1000), st.integers(0, 2**32))
def test_any_lengths_any_budget(pairs, beyond_longest, seed):
    budget = max(max(pair) for pair in pairs) + beyond_longest
    planner = Planner(*zip(*pairs, strict=True), budget, seed)
    check_plan(planner.sorted(), pairs, budget)
    assert len(batches_of(planner.sorted())) <= planner.steps
    for epoch in range(8):
        plan = planner.shuffled(epoch)
        check_plan(plan, pairs, budget)
        assert len(batches_of(plan)) == planner.steps


@settings(max_examples=50, deadline=None)
@given(pairs_of_lengths)
def test_the_sorted_order_stands_in_when_no_draw_fits(pairs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "_DRAWS", 0)
        planner = Planner(*zip(*pairs, strict=True), 100, seed=0)
        plan = planner.shuffled(epoch=3)
    check_plan(plan, pairs, budget=100)
    assert len(batches_of(plan)) == planner.steps


def test_no_sorted_batch_has_room_for_the_next_example():
    source, target = some_lengths(500)
    cost = np.maximum(source, target)
    batches = batches_of(Planner(source, target, 200, seed=0).sorted())
    assert len(batches) > 10
    for batch, following in itertools.pairwise(batches):
        assert (len(batch) + 1) * cost[[*batch, following[0]]].max() > 200


def test_one_batch_where_all_fits_and_one_row_where_little_does():
    source, target = [3, 5, 2], [4, 4, 4]
    assert Planner(source, target, 1000, seed=0).steps == 1
    assert Planner(source, target, 5, seed=0).steps == 3


def test_a_plan_depends_on_seed_and_epoch_only():
    source, target = some_lengths(300)
    plan = Planner(source, target, 100, seed=7).shuffled(3)
    other = Planner(source, target, 100, seed=7)
    other.shuffled(2)  # what was asked for before does not matter
    for mine, theirs in zip(plan, other.shuffled(3), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert batches_of(plan) != batches_of(other.shuffled(4))
    assert batches_of(plan) != batches_of(Planner(source, target, 100, seed=8).shuffled(3))


def test_epochs_differ_in_company_and_in_order():
    source, target = some_lengths(2000)
    planner = Planner(source, target, 400, seed=0)
    batches = [batches_of(planner.shuffled(epoch)) for epoch in range(2)]
    companies = [
        {(i, j) for batch in epoch for i in batch for j in batch if i < j} for epoch in batches
    ]
    assert len(companies[0] & companies[1]) < 0.5 * len(companies[0])
    # Sorted batches would come by rising length; permuted ones show next to no trend.
    mean_lengths = [source[batch].mean() for batch in batches[0]]
    assert abs(np.corrcoef(mean_lengths, np.arange(len(mean_lengths)))[0, 1]) < 0.5


def test_like_lengths_sit_together_on_both_sides():
    source, target = some_lengths(5000)
    planner = Planner(source, target, 500, seed=0)
    plan = planner.shuffled(0)
    real = source.sum() + target.sum()
    padded = sum(len(b) * (source[b].max() + target[b].max()) for b in batches_of(plan))
    assert planner.padding_share(plan) == pytest.approx(1 - real / padded)
    assert planner.padding_share(plan) < 0.1
