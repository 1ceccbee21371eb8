"""Finds figures in a text, and tells whether those that are written as one unit stand in its translation too.

Units are clock times, dates in digits, long numbers and rows such as telephone numbers. Values of single numbers are
``numbers``' business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from glossd.text.numbers import digit_numbers, numeral_value, numeral_values, word_values
from glossd.types import Span

MOST_FIGURES = 100

_START, _END = r"(?<![A-Za-z0-9.,:/-])", r"(?![0-9]|[.,:/-][0-9])"
_CLOCK = r"(?:[01]?[0-9]|2[0-4])[:：][0-5][0-9](?:[:：][0-5][0-9])?"
_DATE = "|".join(
    rf"(?:(?:19|20)[0-9]{{2}}{mark}[0-9]{{1,2}}{mark}[0-9]{{1,2}}|[0-9]{{1,2}}{mark}[0-9]{{1,2}}{mark}(?:19|20)?[0-9]{{2}})"
    for mark in ("-", "/", r"\.")
)
_ROW = r"[0-9]{1,12}(?:[.-][0-9]{1,12}){2,6}"
_LONG = r"[0-9]{1,3}(?:,[0-9]{3}){1,8}(?:\.[0-9]{1,12})?|[0-9]{5,40}"
_UNIT = re.compile(f"{_START}(?:(?P<clock>{_CLOCK})|(?P<date>{_DATE})|(?P<row>{_ROW})|(?P<long>{_LONG})){_END}")
_FIGURE = re.compile(
    f"{_START}(?:{_CLOCK}|{_DATE}|{_ROW}|{_LONG}|[0-9]{{1,12}}\\.[0-9]{{1,12}}|[0-9]{{2,4}}){_END}"
    r"(?![A-Za-z]|[\s-]?(?:thousand|million|billion|trillion|hundred|dozen|bn|mn|tn|[kmb])\b|[十百千万亿萬億])",
    re.IGNORECASE,
)
_SCALED_AFTER = re.compile(r"[\s-]?(?:thousand|million|billion|trillion|hundred|dozen|bn|mn|tn|[kmb])\b", re.IGNORECASE)
_DIGITS = re.compile("[0-9]+")
_GROUP_MARK = re.compile("(?<=[0-9])[,， \xa0](?=[0-9]{3}(?![0-9]))")
_ROW_MARK = re.compile("(?<=[0-9])[-.,，:：/ –—](?=[0-9])")
_NUMERAL = "[零〇一二两三四五六七八九十]{1,3}"
_NUMERAL_CLOCK = re.compile(f"{_NUMERAL}(?=[点點时時分])|(?<=[点點时時]){_NUMERAL}")
_NOON = re.compile(r"noon|midnight|midday|中午|正午|午夜|半夜", re.IGNORECASE)
_IN_WORDS = re.compile(r"half past|half-past|quarter (?:past|to)|一刻|三刻|差", re.IGNORECASE)
_AND_MORE = re.compile("[多余餘来來](?=[百千万亿萬億])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = re.compile(r"\b(" + "|".join(_MONTHS) + r")[a-z]{0,6}\b", re.IGNORECASE)


def find_figures(text: str) -> Iterator[Span]:
    """Figures of two digits and more that may stand in a translation as they are: none before a word for a scale."""
    for match in _FIGURE.finditer(text):
        yield Span(match.start(), match.end())


def without_units(text: str) -> str:
    """``text`` with a space for each figure that :func:`lost_unit` looks for."""
    return _UNIT.sub(lambda match: match.group() if _is_scaled(match) else " ", text)


def lost_unit(source: str, target: str) -> bool:
    """Whether a clock time, a date in digits, a long number or a row of digits has no counterpart in ``target``.

    A clock time may be told in Chinese or on the other half of the dial, a date in words, a long number in 万 or 亿.
    """
    units = [match for match in _UNIT.finditer(source) if not _is_scaled(match)][:MOST_FIGURES]
    return bool(units) and not all(_stands(match, target) for match in units)


def _is_scaled(match: re.Match[str]) -> bool:
    return match["long"] is not None and _SCALED_AFTER.match(match.string, match.end()) is not None


def _stands(match: re.Match[str], target: str) -> bool:
    if match["clock"]:
        hour, minute = re.split("[:：]", match["clock"])[:2]
        return _clock_stands(int(hour), int(minute), target)
    if match["date"]:
        return _date_stands(match["date"], target)
    if match["row"]:
        digits = "".join(_DIGITS.findall(match["row"]))
        return digits in _DIGITS.findall(_ROW_MARK.sub("", target))
    return _long_stands(match["long"].replace(",", ""), target)


def _clock_stands(hour: int, minute: int, target: str) -> bool:
    told = _NUMERAL_CLOCK.sub(lambda numeral: f"{numeral_value(numeral.group()):g}", target)
    hours = "|".join(str(each) for each in (hour, hour + 12, hour - 12) if 0 <= each <= 24)
    if re.search(rf"(?<![0-9])0?(?:{hours})[:：.]{minute:02}(?![0-9])", told):
        return True
    if minute:
        minutes = f"0?{minute}(?![0-9])" + ("|半" if minute == 30 else "")
        in_words = minute % 15 == 0 and _IN_WORDS.search(told) is not None
        return in_words or re.search(rf"(?<![0-9])0?(?:{hours})(?:[点點时時]|小[时時])(?:{minutes})", told) is not None
    if re.search(rf"(?<![0-9:：])0?(?:{hours})(?:[点點时時]| ?[ap]\.?m\b| o.clock|h\b)", told, re.IGNORECASE):
        return True
    if hour % 12 == 0 and _NOON.search(told):
        return True
    return bool({float(hour), float(hour % 12 or 12)} & word_values(target))


def _date_stands(date: str, target: str) -> bool:
    """Whether each of the three numbers stands there; a year of two digits may have four, a month may be a name."""
    there = {int(run) for run in _DIGITS.findall(target) if len(run) < 9}
    there |= {int(value) for value in numeral_values(target) if value < 1e9}
    there |= {1 + _MONTHS.index(name.lower()) for name in _MONTH.findall(target)}
    there |= {number % 100 for number in there if 1900 <= number < 2100}
    return all(int(part) in there for part in _DIGITS.findall(date))


def _long_stands(digits: str, target: str) -> bool:
    target = _AND_MORE.sub("", target)
    if digits in re.findall(r"[0-9]+(?:\.[0-9]+)?", _GROUP_MARK.sub("", target)):
        return True
    value = float(digits)
    rounded = [scaled for bare, scaled in digit_numbers(target) if bare != scaled]
    rounded += sorted(numeral_values(target) | word_values(target))
    return any(abs(other - value) <= 0.005 * value for other in rounded)
