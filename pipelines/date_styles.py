"""How people write a date: 19 styles in 30 locales, after the CLDR (Unicode TR 35, part 4).

A *style* says which CLDR pattern is taken and how wide its names are; a *combination* is one
style in one locale, so one pattern:

    style                 en_US                     de
    long                  May 3, 2021               3. Mai 2021
    long_weekday          Monday, May 3, 2021       Montag, 3. Mai 2021
    medium_weekday        Mon, May 3, 2021          Mo., 3. Mai 2021
    marked_short          en_US: 5/3/2021           de: 03.05.2021

Conventions: Gregorian calendar, Western digits, years of four digits. Whitespace is plain (the
CLDR has narrow no-break spaces) and marks of direction are dropped: people type neither. A
numeric date whose day and month could change places (`03/04/2021`) is written only with its
locale in front. Names are those of the CLDR's "format" context, the genitive where a language
has one, as dates have it.
"""

import datetime
import functools
import re
import unicodedata
from typing import NamedTuple

from babel import Locale
from babel.dates import format_date

LOCALES = (
    *("en_US", "en_GB", "de", "nl", "sv", "da", "nb"),
    *("fr", "es", "it", "pt", "ro"),
    *("pl", "cs", "hr", "ru", "uk", "bg"),
    *("fi", "hu", "tr", "el", "vi", "id"),
    *("hi", "ar", "he", "ja", "ko", "zh"),
)


class Style(NamedTuple):
    """A way to write a date in any locale.

    Args:
        base: CLDR date format ("long"), CLDR skeleton ("yMMMd") or key of `IDIOMS`.
        month: CLDR field that replaces the base's where that has a name: "MMMM" wide, "MMM"
            abbreviated.
        weekday: likewise, "EEEE" wide, "E" abbreviated.
        day: "dd" for two digits, "ordinal", or "" for the base's.
        marked: whether the locale is written first, as in `en_GB: 03/04/2021`.
    """

    base: str
    month: str = ""
    weekday: str = ""
    day: str = ""
    marked: bool = False


STYLES = {
    "long": Style("long", "MMMM"),
    "long_weekday": Style("full", "MMMM", "EEEE"),
    "long_short_weekday": Style("yMMMEd", "MMMM", "E"),
    "long_padded": Style("long", "MMMM", day="dd"),
    "medium": Style("yMMMd", "MMM"),
    "medium_weekday": Style("yMMMEd", "MMM", "E"),
    "medium_long_weekday": Style("yMMMEd", "MMM", "EEEE"),
    "medium_padded": Style("yMMMd", "MMM", day="dd"),
    "ordinal": Style("long", "MMMM", day="ordinal"),
    "ordinal_weekday": Style("full", "MMMM", "EEEE", day="ordinal"),
    "ordinal_medium": Style("yMMMd", "MMM", day="ordinal"),
    "idiom": Style("idiom", "MMMM"),
    "idiom_weekday": Style("idiom_weekday", "MMMM", "EEEE"),
    "short": Style("short"),
    "numeric": Style("yMd"),
    "numeric_weekday": Style("yMEd", weekday="E"),
    "marked_short": Style("short", marked=True),
    "marked_numeric": Style("yMd", marked=True),
    "marked_numeric_weekday": Style("yMEd", weekday="E", marked=True),
}

# What people write and the CLDR has no pattern for. Chinese is here so that its month names in
# words occur: the CLDR's own patterns write 5月, not 五月.
IDIOMS = {
    "de": {"idiom": "'den' d. MMMM y", "idiom_weekday": "EEEE, 'den' d. MMMM y"},
    "fr": {"idiom": "'le' d MMMM y", "idiom_weekday": "'le' EEEE d MMMM y"},
    "es": {"idiom": "d MMMM y", "idiom_weekday": "EEEE d MMMM y"},
    "sv": {"idiom": "'den' d MMMM y", "idiom_weekday": "EEEE'en' 'den' d MMMM y"},
    "da": {"idiom": "'den' d. MMMM y", "idiom_weekday": "EEEE 'd'. d. MMMM y"},
    "zh": {"idiom": "y年MMMMd日", "idiom_weekday": "y年MMMMd日EEEE"},
}

# Languages in which only the first of the month is an ordinal.
FIRST_OF_MONTH = {"fr": "1er", "it": "1º", "es": "1.º", "pt": "1º", "el": "1η"}


class Combination(NamedTuple):
    """One style in one locale, and the CLDR pattern that it comes to."""

    locale: str
    style: str
    pattern: str


@functools.cache
def combinations():
    """Returns every `Combination`; styles that a locale writes alike count as one."""
    found = []
    for locale in LOCALES:
        seen = set()
        for name, style in STYLES.items():
            pattern = _pattern(locale, style)
            if pattern is None:
                continue
            combination = Combination(locale, name, pattern)
            texts = samples(combination)
            if texts and texts not in seen:
                seen.add(texts)
                found.append(combination)
    return tuple(found)


def write(combination, date):
    """Returns `date` as the combination writes it; only for dates that it `can_write`."""
    locale, name, pattern = combination
    style = STYLES[name]
    if style.day == "ordinal":
        pattern = _with_fields(pattern, day=f"'{_ordinal(locale, date.day)}'")
    text = format_date(date, pattern, locale=_locale(locale))
    return f"{locale}: {text}" if style.marked else text


def can_write(combination, date):
    """Returns whether people write `date` so, in a way that can be read as no other date."""
    locale, name, pattern = combination
    style = STYLES[name]
    if style.day == "ordinal":
        return _ordinal(locale, date.day) is not None
    if style.marked or _has_month_name(pattern) or _year_first(pattern):
        return True
    return date.day > 12 or date.day == date.month


@functools.cache
def samples(combination):
    """Returns what the combination writes in 2021, on days that tell combinations apart.

    They are every weekday of every month with a day of one digit and of two, and days that equal
    their month: two combinations that ever write a date alike have a sample in common.
    """
    days = {month: {*range(1, 8), *range(13, 20), month} for month in range(1, 13)}
    dates = [datetime.date(2021, month, day) for month in days for day in days[month]]
    return frozenset(write(combination, date) for date in dates if can_write(combination, date))


def parts(combination):
    """Returns what one must know of the locale to read the combination: `{"MMMM", "E", ...}`."""
    locale, name, pattern = combination
    style = STYLES[name]
    known = {style.month if style.month and _has_month_name(pattern) else "numeric"}
    known |= {field for field in (style.weekday, style.day) if field}
    if style.marked:
        known.add("marked")
    if style.base in IDIOMS.get(locale, ()):
        known.add("idiom")
    return known


def _pattern(locale, style):
    """Returns the CLDR pattern of a style with the style's fields, or None where it has none."""
    if style.base.startswith("idiom"):
        return IDIOMS.get(locale, {}).get(style.base)
    data = _locale(locale)
    pattern = _cldr(data, style.base)
    if style.month and not _has_month_name(pattern):
        # Some locales (fi, cs, bg) abbreviate a month by its number: take the long form's order.
        long_form = _cldr(data, "full" if style.weekday else "long")
        pattern = long_form if _has_month_name(long_form) else pattern
    day = "" if style.day == "ordinal" else style.day
    pattern = _with_fields(pattern, style.month, style.weekday, day)
    if style.marked and _year_first(pattern):
        return None  # nothing to mark: nobody goes on from the year with the day
    pattern = "".join(c for c in pattern if unicodedata.category(c) != "Cf")  # direction marks
    return " ".join(pattern.split())


def _cldr(data, name):
    """Returns the pattern of a CLDR date format ("long") or skeleton ("yMMMd")."""
    formats = data.date_formats if name in data.date_formats else data.datetime_skeletons
    return formats[name].pattern


_FIELD = re.compile(r"'[^']*'|([A-Za-z])\1*")  # a quoted literal, or a run of one letter


def _with_fields(pattern, month="", weekday="", day=""):
    """Returns the pattern with four-digit years and the given fields for those it has.

    A month stays a number where it is one. Stand-alone forms (L, c) become format forms: Babel
    lacks the stand-alone names of some locales.
    """

    def field(match):
        text, letter = match[0], match[1]
        if letter == "y":
            return "y"
        if letter in ("M", "L"):
            return month if month and len(text) > 2 else "M" * len(text)
        if letter in ("E", "c"):
            return weekday or "E" * len(text)
        return day if day and letter == "d" else text

    return _FIELD.sub(field, pattern)


def _fields(pattern):
    return [match[0] for match in _FIELD.finditer(pattern) if match[1]]


def _has_month_name(pattern):
    return any(field[0] in "ML" and len(field) > 2 for field in _fields(pattern))


def _year_first(pattern):
    return next(field[0] for field in _fields(pattern) if field[0] in "yMd") == "y"


def _ordinal(locale, day):
    """Returns the day as an ordinal, or None where the language does not write it as one."""
    language = locale[:2]
    if language == "en":
        suffix = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        return f"{day}th" if 11 <= day <= 13 else f"{day}{suffix}"
    if language == "sv":
        return f"{day}:a" if day % 10 in (1, 2) and day not in (11, 12) else f"{day}:e"
    return FIRST_OF_MONTH.get(language) if day == 1 else None


@functools.cache
def _locale(name):
    return Locale.parse(name)
