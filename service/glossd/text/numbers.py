"""Reads the numbers of an English or Chinese text as values: digits, Chinese numerals, English number words."""

from __future__ import annotations

import re

_DIGITS = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
_SMALL_UNITS = {"十": 10, "百": 100, "千": 1000}
_LARGE_UNITS = {"万": 10_000, "亿": 100_000_000, "萬": 10_000, "億": 100_000_000}
_SCALES = {
    "thousand": 1e3,
    "k": 1e3,
    "million": 1e6,
    "m": 1e6,
    "mn": 1e6,
    "billion": 1e9,
    "b": 1e9,
    "bn": 1e9,
    "trillion": 1e12,
    "tn": 1e12,
    "hundred": 1e2,
    "dozen": 12.0,
}
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_WORD_VALUES = {
    **{word: float(value) for value, word in enumerate(f"{_UNITS} eighteen nineteen".split())},
    **{
        word: 10.0 * value
        for value, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
    },
    **{word: 10.0 * value for value, word in enumerate(["twenties", "thirties", "forties", "fifties", "sixties"], 2)},
}
_WORD_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "dozen": 12.0}
_WORD = re.compile("[a-z]+")
_NUMBER = re.compile(
    r"(?P<digits>\d{1,3}(?:[,， ]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?:[\s-]?(?P<scale>thousand|million|billion|trillion|hundred|dozen|bn|mn|tn|[kmb])\b|(?P<unit>[十百千]?[万亿萬億]{1,2}|[百千]))?",
    re.IGNORECASE,
)
_NUMERAL = re.compile("[零〇一二两三四五六七八九十百千万亿萬億]{1,40}")


def digit_numbers(text: str) -> list[tuple[float, float]]:
    """Each number written in digits as (bare value, value with its scale word): "8 million" is (8, 8000000)."""
    found: list[tuple[float, float]] = []
    for match in _NUMBER.finditer(text):
        digits = re.sub("[,， ]", "", match.group("digits"))[:30]
        bare = float(digits)
        scaled = bare * _SCALES[match.group("scale").lower()] if match.group("scale") else bare
        for character in match.group("unit") or "":
            scaled *= _SMALL_UNITS.get(character) or _LARGE_UNITS[character]
        found.append((bare, scaled))
    return found


def numeral_values(text: str) -> set[float]:
    """The values of the Chinese numerals in a text; a row of bare digits (二〇一七) reads as a decimal number."""
    return {numeral_value(match.group()) for match in _NUMERAL.finditer(text)}


def numeral_value(numeral: str) -> float:
    """The value of one Chinese numeral."""
    if all(character in _DIGITS for character in numeral):
        return float("".join(str(_DIGITS[character]) for character in numeral[:15]))
    total, section, digit = 0.0, 0.0, 0.0
    for character in numeral:
        if character in _DIGITS:
            digit = float(_DIGITS[character])
        elif character in _SMALL_UNITS:
            section += (digit or 1.0) * _SMALL_UNITS[character]
            digit = 0.0
        else:
            total = (total + section + digit or 1.0) * _LARGE_UNITS[character]
            section, digit = 0.0, 0.0
    return total + section + digit


def word_values(text: str) -> set[float]:
    """The values of English number words: "two hundred and thirty thousand" gives 230000, "a million" 1000000."""
    found: set[float] = set()
    total, section, open_number = 0.0, 0.0, False
    for word in [*_WORD.findall(text.lower()), ""]:
        singular = word.removesuffix("s")
        if word in _WORD_VALUES:
            section += _WORD_VALUES[word]
            open_number = True
        elif singular in ("hundred", "dozen"):
            section = (section or 1.0) * _WORD_SCALES[singular]
            open_number = True
        elif singular in _WORD_SCALES:
            total += (section or 1.0) * _WORD_SCALES[singular]
            section, open_number = 0.0, True
        elif word != "and" and open_number:
            found.add(total + section)
            total, section, open_number = 0.0, 0.0, False
    return found
