"""Date normalisation, the task that needs no download: `3. Mai 2021` -> `2021-05-03`.

The source is a date of 1900-2099 as `date_styles` has people write it; the target is its ISO 8601
form. Two splits cross each other:

                          training dates      validation dates    test dates
    training              train               validation 4/5      unseen_dates
    combinations
    held-out                                  validation 1/5      unseen_combinations
    combinations

Every date is in one set only. A combination of locale and style is held out only if it can be
inferred: each of its parts (wide month, short weekday, ordinal, ...) is still trained in another
style of its locale, its style in more than half of the locales that have it, and a name or mark
shows the locale. It has to be inferred: other combinations often write the same (`13 May 2021` is
both padded and not), so sources that a trained combination writes too are no examples of it.
"""

import datetime
import random
from typing import NamedTuple

from pipelines.date_styles import (
    LOCALES,
    can_write,
    combinations,
    parts,
    samples,
    write,
)

FIRST_YEAR, LAST_YEAR = 1900, 2099
TRAINING_SHARE = 0.7  # of the dates; validation and the two test sets share the rest evenly
HELD_OUT_SHARE = 0.2  # of the validation examples, in combinations held out for validation


class DateSplits(NamedTuple):
    """Lists of `(source, target)` pairs; no date is in two of them.

    Args:
        train: shuffled.
        validation: to choose a model by: mostly the combinations of `train`, the rest
            combinations that are in no other set.
        unseen_dates: test set in the combinations of `train`.
        unseen_combinations: test set in combinations that are in no other set.
    """

    train: list
    validation: list
    unseen_dates: list
    unseen_combinations: list


def make_dates(seed, train_size=60_000, evaluation_size=2_000):
    """Generates the task; the same arguments give the same examples in every process.

    The three evaluation sets do not depend on `train_size`.

    Args:
        seed: int. Decides which dates and combinations are held out, and every draw.
        train_size: int. Training examples: as many as it takes to have every combination and
            every name of a month or weekday, the others random.
        evaluation_size: int. Examples in each of the three other sets.

    Returns:
        `DateSplits`.

    Raises:
        ValueError: `train_size` is too small to have every combination and name.

    Example:
    >>> splits = make_dates(seed=1, train_size=4_000, evaluation_size=10)
    >>> len(splits.train), len(splits.unseen_dates)
    (4000, 10)
    """
    held = split_combinations(seed)
    dates = _split_dates(seed)
    covering = _covering_examples(held["train"], dates["train"])
    if train_size < len(covering):
        raise ValueError(
            f"train_size={train_size} cannot have every combination of locale and style and every "
            f"name of a month or weekday; make it at least {len(covering)}."
        )

    def draw(split, kind, count):
        avoided = () if kind == "train" else held["train"]
        return _draw(_rng(seed, f"{split}/{kind}"), held[kind], dates[split], count, avoided)

    train = covering + draw("train", "train", train_size - len(covering))
    _rng(seed, "order").shuffle(train)
    held_out = round(HELD_OUT_SHARE * evaluation_size)
    return DateSplits(
        train=train,
        validation=draw("validation", "train", evaluation_size - held_out)
        + draw("validation", "validation", held_out),
        unseen_dates=draw("unseen_dates", "train", evaluation_size),
        unseen_combinations=draw("unseen_combinations", "unseen", evaluation_size),
    )


def split_combinations(seed):
    """Decides which combinations of locale and style are held out of training.

    Returns:
        `{"train", "validation", "unseen"}`: disjoint lists of `Combination`. Every locale has
        one in "unseen", every second locale one in "validation".
    """
    rng = _rng(seed, "combinations")
    locales = rng.sample(LOCALES, len(LOCALES))
    split = {"train": list(combinations()), "validation": [], "unseen": []}
    for kind, having in (("unseen", locales), ("validation", locales[::2])):
        for locale in having:
            candidates = [c for c in split["train"] if c.locale == locale]
            rng.shuffle(candidates)
            chosen = next(c for c in candidates if _can_be_held_out(c, split["train"]))
            split["train"].remove(chosen)
            split[kind].append(chosen)
    return split


def _can_be_held_out(combination, train):
    """Returns whether one can infer the combination from the others in `train`, and has to."""
    others = [c for c in train if c != combination]
    known = set().union(*(parts(c) for c in others if c.locale == combination.locale))
    locales_with_style = sum(c.style == combination.style for c in combinations())
    locales_trained = sum(c.style == combination.style for c in others)
    own = samples(combination).difference(*map(samples, others))
    return (
        parts(combination) != {"numeric"}  # bare numbers do not show whose order they have
        and parts(combination) <= known
        and locales_trained > locales_with_style / 2
        and len(own) > len(samples(combination)) / 4  # else drawing its own sources takes long
    )


def _split_dates(seed):
    """Returns `{name of a set: list of datetime.date}`, every date in one of them."""
    first = datetime.date(FIRST_YEAR, 1, 1).toordinal()
    last = datetime.date(LAST_YEAR, 12, 31).toordinal()
    dates = [datetime.date.fromordinal(day) for day in range(first, last + 1)]
    _rng(seed, "dates").shuffle(dates)
    count = round(TRAINING_SHARE * len(dates))
    train, rest = dates[:count], dates[count:]
    names = ("validation", "unseen_dates", "unseen_combinations")
    return {"train": train} | {name: rest[i::3] for i, name in enumerate(names)}


def _covering_examples(train, dates):
    """Returns examples of every combination and, in each locale, of every part in every month."""
    by_month_and_weekday = {}
    for date in dates:
        by_month_and_weekday.setdefault((date.month, date.weekday()), []).append(date)
    examples, covered = [], set()
    for combination in train:
        for month in range(1, 13):
            new = {(combination.locale, part, month) for part in parts(combination)}
            new.add(combination)
            if not new <= covered:
                weekday = month % 7  # so twelve months meet all seven weekdays
                fitting = by_month_and_weekday[month, weekday]
                date = next(d for d in fitting if can_write(combination, d))
                examples.append((write(combination, date), date.isoformat()))
                covered |= new
    return examples


def _draw(rng, chosen, dates, count, avoided):
    """Draws examples: a locale, one of its combinations in `chosen`, a date, each uniformly.

    A source that a combination in `avoided` writes for the same date is drawn again.
    """
    by_locale, rivals = {}, {}
    for combination in chosen:
        by_locale.setdefault(combination.locale, []).append(combination)
        own = samples(combination)
        rivals[combination] = [c for c in avoided if not own.isdisjoint(samples(c))]
    locales = list(by_locale)
    examples = []
    while len(examples) < count:
        combination = rng.choice(by_locale[rng.choice(locales)])
        date = rng.choice(dates)
        while not can_write(combination, date):
            date = rng.choice(dates)
        source = write(combination, date)
        if not any(can_write(c, date) and write(c, date) == source for c in rivals[combination]):
            examples.append((source, date.isoformat()))
    return examples


def _rng(seed, purpose):
    """Returns a generator of its own for each purpose, so that one's draws move no other's.

    `random.Random` hashes a string seed by SHA-512, alike in every process.
    """
    return random.Random(f"{seed}/{purpose}")
