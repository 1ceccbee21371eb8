"""Looks at a translated sentence beside its source and names what is likely wrong. Knows no model, repairs nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from glossd.languages import find_language
from glossd.text.figures import lost_unit, without_units
from glossd.text.lines import has_letter
from glossd.text.numbers import digit_numbers, numeral_values, word_values
from glossd.text.words import count_words
from glossd.types import WarningCode

_LONGEST_PERIOD = 48
_LOOP_CHARACTERS = 4_000
_LEAST_WORDS = 6
_SHORTEST_RATIO = 0.4
_LONGEST_RATIO = 2.6
_EXTRA_WORDS = 8
_LEAST_SCRIPT_SHARE = 0.3
_NAME_WORDS = 5

_WORD_CHARACTER = re.compile(r"[^\W_]")
_LETTER = re.compile(r"[^\W\d_]")
_SCRIPT_LETTERS = {
    "Hans": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"),
    "Jpan": re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"),
    "Kore": re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]"),
    "Latn": re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]"),
    "Cyrl": re.compile("[\u0400-\u052f]"),
    "Arab": re.compile("[\u0620-\u06d3\u0750-\u077f]"),
    "Deva": re.compile("[\u0900-\u097f]"),
}


def check_translation(
    source: str, target: str, *, source_language: str, target_language: str
) -> tuple[WarningCode, ...]:
    """What is likely wrong with ``target``; () when nothing is. Takes time linear in both lengths.

    ``OMISSION_SUSPECTED``: nothing came out, it is much too short, or a number of the source is not in it (any digit
    grouping, 万 and 亿 and Chinese numerals are understood; clock times and dates count as a whole).
    ``REPETITION_SUSPECTED``: it goes round in a loop that the source does not have, or is much too long.
    ``LANGUAGE_MISMATCH``: too few letters of the target language's script.
    Thresholds are set so that fewer than 3 % of good human translations are named.
    """
    if _WORD_CHARACTER.search(source) is None:
        return ()
    if _WORD_CHARACTER.search(target) is None:
        return (WarningCode.OMISSION_SUSPECTED,)
    found: list[WarningCode] = []
    words, made = count_words(source), count_words(target)
    if (words >= _LEAST_WORDS and made < _SHORTEST_RATIO * words) or _lost_number(source, target):
        found.append(WarningCode.OMISSION_SUSPECTED)
    if made > _LONGEST_RATIO * words + _EXTRA_WORDS or (loops(target) and not loops(source)):
        found.append(WarningCode.REPETITION_SUSPECTED)
    if _wrong_script(source, target, source_language, target_language):
        found.append(WarningCode.LANGUAGE_MISMATCH)
    return tuple(found)


def loops(text: str) -> bool:
    """True when a stretch follows itself too often: short ones six times, words four times, phrases three times."""
    letters = [ord(character) for character in text[:_LOOP_CHARACTERS].lower() if not character.isspace()]
    codes = np.array(letters, dtype=np.int64)
    for period in range(1, min(_LONGEST_PERIOD, len(codes) // 3) + 1):
        times = 8 if period == 1 else 4 if period < 12 else 3
        start, length = _longest_run(codes[period:] == codes[:-period])
        if length >= period * (times - 1) and any(chr(code).isalpha() for code in codes[start : start + period]):
            return True
    return False


def _longest_run(equal: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[int, int]:
    """Start and length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], equal, [False])).astype(np.int8)))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    best = int(lengths.argmax())
    return int(edges[2 * best]), int(lengths[best])


def _lost_number(source: str, target: str) -> bool:
    """True when a figure of the source has no counterpart in the target: units as a whole, other numbers by value."""
    if lost_unit(source, target):
        return True
    wanted = digit_numbers(without_units(source))
    if not wanted:
        return False
    there = [value for pair in digit_numbers(target) for value in pair]
    there += sorted(numeral_values(target) | word_values(target))
    runs = set(re.findall(r"\d+", target))
    return any(not _is_there(bare, scaled, there, runs) for bare, scaled in wanted[:100])


def _is_there(bare: float, scaled: float, there: Sequence[float], runs: set[str]) -> bool:
    """Small numbers count as there: too often they are words on the other side. Else a value or its digits must be."""
    if scaled < 13:
        return True
    if f"{bare:g}" in runs or (bare == int(bare) and str(int(bare)) in runs):
        return True
    if 10 <= bare < 100 and any(run.endswith(f"{bare:g}") for run in runs):  # 90 in 1990s
        return True
    forms = {bare, scaled, bare % 100, bare / 10, bare + 12, bare - 12}
    return any(abs(value - form) <= 0.005 * max(abs(form), 1.0) for form in forms for value in there)


def script_letters(text: str, language_code: str) -> int:
    """How many letters of the language's script are in ``text``; 0 for a language that is not in the table."""
    language = find_language(language_code)
    return 0 if language is None else len(_SCRIPT_LETTERS[_family(language.script)].findall(text))


def same_script(one: str, other: str) -> bool:
    """Whether two languages of the table are written in one script; simplified and traditional Chinese are."""
    first, second = find_language(one), find_language(other)
    return first is not None and second is not None and _family(first.script) == _family(second.script)


def _wrong_script(source: str, target: str, source_language: str, target_language: str) -> bool:
    language = find_language(target_language)
    if language is None or same_script(source_language, target_language):
        return False
    letters = len(_LETTER.findall(target))
    if not has_letter(target) or (letters < 40 and count_words(source) <= _NAME_WORDS):
        return False
    return script_letters(target, target_language) < _LEAST_SCRIPT_SHARE * letters


def _family(script: str) -> str:
    return "Hans" if script == "Hant" else script
