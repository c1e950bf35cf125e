"""The oracles: Babel's names, Python's calendar, and reading the digits of a source ourselves."""

import collections
import datetime
import re
import unicodedata

import pytest
from babel.dates import get_day_names, get_month_names

from pipelines.date_styles import LOCALES, can_write, combinations, samples, write

DAYS_OF_TWO_YEARS = [
    datetime.date(year, 1, 1) + datetime.timedelta(days)
    for year, length in ((2023, 365), (2024, 366))
    for days in range(length)
]


@pytest.fixture(scope="module")
def written():
    """`{source: {(locale, date), ...}}` of every combination on every day of two years."""
    sources = collections.defaultdict(set)
    for combination in combinations():
        for date in DAYS_OF_TWO_YEARS:
            if can_write(combination, date):
                sources[write(combination, date)].add((combination.locale, date))
    return sources


def find(locale, style):
    return next(c for c in combinations() if (c.locale, c.style) == (locale, style))


@pytest.mark.parametrize(
    ("locale", "style", "date", "text"),
    [
        ("en_US", "long_weekday", (2021, 5, 3), "Monday, May 3, 2021"),
        ("en_US", "ordinal", (2021, 5, 3), "May 3rd, 2021"),
        ("en_GB", "ordinal_weekday", (2021, 5, 21), "Friday, 21st May 2021"),
        ("en_GB", "ordinal", (1911, 11, 11), "11th November 1911"),
        ("en_GB", "medium_padded", (2021, 9, 3), "03 Sept 2021"),
        ("en_GB", "marked_short", (2021, 4, 3), "en_GB: 03/04/2021"),
        ("de", "idiom_weekday", (2021, 3, 3), "Mittwoch, den 3. März 2021"),
        ("de", "short", (1999, 12, 31), "31.12.1999"),
        ("fr", "ordinal", (2021, 8, 1), "1er août 2021"),
        ("sv", "ordinal", (2021, 5, 22), "22:a maj 2021"),
        ("sv", "ordinal", (2021, 5, 12), "12:e maj 2021"),
        ("cs", "long", (2021, 5, 3), "3. května 2021"),
        ("fi", "medium", (2021, 5, 3), "3. touko 2021"),
        ("fi", "long_weekday", (2021, 5, 3), "maanantaina 3. toukokuuta 2021"),
        ("hu", "long", (2021, 5, 3), "2021. május 3."),
        ("ru", "long", (2021, 5, 3), "3 мая 2021 г."),
        ("ar", "short", (2021, 5, 13), "13/5/2021"),
        ("ja", "long_short_weekday", (2021, 5, 3), "2021年5月3日(月)"),
        ("zh", "idiom", (2021, 11, 3), "2021年十一月3日"),
    ],
)
def test_known_dates(locale, style, date, text):
    assert write(find(locale, style), datetime.date(*date)) == text


def test_enough_locales_and_styles_and_no_combination_twice():
    every = combinations()
    assert {c.locale for c in every} == set(LOCALES)
    assert len(LOCALES) >= 20
    for locale in LOCALES:
        assert sum(c.locale == locale for c in every) >= 7, locale
    assert len({samples(c) | {c.locale} for c in every}) == len(every)


def test_no_source_has_two_meanings_in_any_locale(written):
    meanings = {source: {date for _, date in uses} for source, uses in written.items()}
    assert [s for s, dates in meanings.items() if len(dates) > 1] == []


def test_numbers_whose_day_and_month_could_change_places_are_marked(written):
    numeric = re.compile(r"(?<!\d)(\d{1,2})\D{1,3}(\d{1,2})\D{1,3}\d{4}")
    could = 0
    for source, uses in written.items():
        numbers = numeric.search(source)
        first, second = map(int, numbers.groups()) if numbers else (0, 0)
        if first != second and max(first, second) <= 12:
            could += 1
            assert re.match(r"[a-z]{2}(_[A-Z]{2})?: ", source), source
            assert {locale for locale, _ in uses} == {source.split(":")[0]}
    assert could > 2 * 132 * 50  # two years, 132 such days in each, some 57 combinations


def test_years_have_four_digits_and_the_day_is_there(written):
    for source, uses in written.items():
        (date,) = {date for _, date in uses}
        numbers = [int(n) for n in re.findall(r"\d+", source)]
        assert numbers.count(date.year) == 1, source
        assert date.day in numbers, source
        assert all(n <= 31 for n in numbers if n != date.year), source


@pytest.mark.parametrize(
    ("style", "width"), [("long_weekday", "wide"), ("medium_weekday", "abbreviated")]
)
def test_names_are_those_of_the_date(style, width):
    chosen = [c for c in combinations() if c.style == style and c.locale != "zh"]  # zh: 5月
    assert len(chosen) > 25
    for combination in chosen:
        weekdays = get_day_names(width, locale=combination.locale)
        months = get_month_names(width, locale=combination.locale)
        for date in DAYS_OF_TWO_YEARS:
            source = write(combination, date)
            assert weekdays[date.weekday()] in source
            assert months[date.month] in source


def test_sources_are_plain_text(written):
    for source in written:
        assert source == " ".join(source.split(" ")).strip()
        odd = [c for c in source if c != " " and unicodedata.category(c)[0] in "ZC"]
        assert not odd, ascii(source)
        assert all(c.isascii() for c in source if c.isdecimal()), source
        assert unicodedata.normalize("NFC", source) == source
    assert max(map(len, written)) <= 40


def test_bare_numbers_need_a_day_that_is_no_month():
    bare = find("en_GB", "short")
    assert not can_write(bare, datetime.date(2021, 4, 3))
    assert can_write(bare, datetime.date(2021, 4, 4))
    assert can_write(bare, datetime.date(2021, 4, 13))
    assert can_write(find("hu", "short"), datetime.date(2021, 4, 3))  # its year is first
    assert can_write(find("en_GB", "marked_short"), datetime.date(2021, 4, 3))


def test_only_the_first_is_an_ordinal_in_french():
    ordinal = find("fr", "ordinal")
    assert [d.day for d in DAYS_OF_TWO_YEARS if can_write(ordinal, d)] == 24 * [1]


def test_combinations_that_ever_write_alike_share_a_sample():
    every = [c for c in combinations() if c.locale in ("da", "nb", "en_US", "en_GB", "es", "hi")]
    uses = collections.defaultdict(set)
    for combination in every:
        for date in DAYS_OF_TWO_YEARS:
            if can_write(combination, date):
                uses[write(combination, date)].add(combination)
    alike = {(a, b) for same in uses.values() if len(same) > 1 for a in same for b in same}
    assert len(alike) > 2 * len(every)
    for a, b in alike:
        assert samples(a) & samples(b), (a, b)
