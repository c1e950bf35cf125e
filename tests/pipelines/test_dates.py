"""The splits are checked on their strings: what a set of examples has is looked for as text."""

import datetime
import re
import subprocess
import sys

import pytest
from babel.dates import get_day_names, get_month_names

from pipelines.date_styles import LOCALES, can_write, combinations, parts, write
from pipelines.dates import make_dates, split_combinations

SEED = 7


@pytest.fixture(scope="module")
def splits():
    return make_dates(SEED, train_size=12_000, evaluation_size=300)


def dates_of(examples):
    return {datetime.date.fromisoformat(target) for _, target in examples}


def sources_of(chosen, date):
    return {write(c, date) for c in chosen if can_write(c, date)}


def test_sizes_and_targets(splits):
    assert [len(examples) for examples in splits] == [12_000, 300, 300, 300]
    for examples in splits:
        assert all(re.fullmatch(r"(19|20)\d\d-\d\d-\d\d", target) for _, target in examples)
        assert all(target[:4] in source for source, target in examples)
    years = {date.year for date in dates_of(splits.train)}
    assert years == set(range(1900, 2100))


def test_no_date_is_in_two_sets(splits):
    dates = [dates_of(examples) for examples in splits]
    assert sum(map(len, dates)) == len(set().union(*dates))


def test_no_source_has_two_targets(splits):
    targets = {}
    for examples in splits:
        for source, target in examples:
            assert targets.setdefault(source, target) == target


def test_every_name_and_every_training_combination_occurs_in_the_smallest_training_set():
    with pytest.raises(ValueError, match=r"make it at least \d+") as error:
        make_dates(SEED, train_size=10)
    smallest = int(re.search(r"at least (\d+)", str(error.value))[1])
    assert smallest < 4_000
    train = make_dates(SEED, train_size=smallest, evaluation_size=1).train
    chosen = split_combinations(SEED)["train"]

    used = {locale: set() for locale in LOCALES}
    combinations_used = set()
    for date in dates_of(train):
        sources = {source for source, target in train if target == date.isoformat()}
        for combination in chosen:
            if can_write(combination, date) and write(combination, date) in sources:
                used[combination.locale].add(write(combination, date))
                combinations_used.add(combination)
    assert combinations_used == set(chosen)
    for locale in LOCALES:
        text = "\n".join(used[locale])
        for width in ("wide", "abbreviated"):
            names = {
                *get_month_names(width, locale=locale).values(),
                *get_day_names(width, locale=locale).values(),
            }
            assert {name for name in names if name not in text} == set(), locale


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_held_out_combinations_can_be_inferred(seed):
    split = split_combinations(seed)
    train, held_out = split["train"], split["unseen"] + split["validation"]
    assert len(train) + len(held_out) == len(combinations()) == len({*train, *held_out})
    assert len(split["unseen"]) == len(LOCALES)
    assert split["validation"]
    for held in held_out:
        sisters = [c for c in train if c.locale == held.locale]
        assert len(sisters) >= 5
        assert parts(held) <= set().union(*map(parts, sisters)), held
        assert sum(c.style == held.style for c in train) >= 3, held


def test_unseen_dates_are_in_training_combinations(splits):
    train = split_combinations(SEED)["train"]
    for source, target in splits.unseen_dates:
        assert source in sources_of(train, datetime.date.fromisoformat(target))


def test_unseen_combinations_are_written_by_no_training_combination(splits):
    split = split_combinations(SEED)
    used = set()
    for source, target in splits.unseen_combinations:
        date = datetime.date.fromisoformat(target)
        assert source not in sources_of(split["train"], date)
        assert re.search(r"[^\W\d_]", source), "nothing in bare numbers tells the locale"
        used |= {c for c in split["unseen"] if source in sources_of([c], date)}
    assert used == set(split["unseen"])


def test_a_fifth_of_validation_is_in_held_out_combinations(splits):
    train = split_combinations(SEED)["train"]
    unseen = [
        source not in sources_of(train, datetime.date.fromisoformat(target))
        for source, target in splits.validation
    ]
    assert sum(unseen) == 60


def test_evaluation_sets_stay_when_the_training_set_grows(splits):
    smaller = make_dates(SEED, train_size=4_000, evaluation_size=300)
    assert smaller[1:] == splits[1:]


def test_another_seed_holds_out_other_things(splits):
    other = make_dates(SEED + 1, train_size=4_000, evaluation_size=300)
    assert split_combinations(SEED) != split_combinations(SEED + 1)
    assert not dates_of(other.unseen_dates) <= dates_of(splits.unseen_dates)


def test_the_same_in_another_process():
    """String hashes differ from process to process; nothing may depend on them."""
    code = "from pipelines.dates import make_dates; print(ascii(make_dates(3, 4_000, 50)))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(p or "." for p in sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert outputs == {ascii(make_dates(3, 4_000, 50)) + "\n"}
