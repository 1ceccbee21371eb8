"""The last touch on a translated sentence: the target language's punctuation and spacing, by a small table of rules.

Source texts are not touched here (see ``normalize``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from glossd.languages import Language, find_language

_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3040-\u30ff\u31f0-\u31ff"
_WIDE_MARKS = "，。；：？！（）《》〈〉「」『』【】、…—～“”‘’"
_WIDE = _HAN + _KANA + "，。；：？！（）《》〈〉「」『』【】、"

_SPACE_BETWEEN_WIDE = re.compile(f"(?<=[{_WIDE}“”‘’]) +(?=[{_WIDE}“”‘’])")
_SPACE_BESIDE_MARK = re.compile("(?<=[，。；：？！（《「『【、]) +| +(?=[，。；：？！）》」』】、])")
_WIDE_OF = {",": "，", ";": "；", ":": "：", "?": "？", "!": "！", "(": "（", ")": "）", ".": "。"}
_MARK_AFTER_WIDE = re.compile(f"(?<=[{_HAN}{_KANA}）》」』】”’]) *([,;:?!])(?![A-Za-z0-9/]) *")
_MARK_BEFORE_WIDE = re.compile(f"([,;:?!]) *(?=[{_HAN}{_KANA}《「『【“])")
_STOP_AFTER_WIDE = re.compile(f'(?<=[{_HAN}{_KANA}）》」』】”’%％])\\.(?=$|["”’)）]|\\s|[{_HAN}])')
_FULL_STOP_AT_END = re.compile('(?<=[A-Za-z0-9%])\\.(?=["”’]?$)')
_PARENTHESIS = re.compile("[()]")
_BESIDE = re.compile(f"[{_HAN}{_KANA}，。；：？！、“”《》]")
_DOTS = re.compile("\\.{3,}|。{2,}|…+")


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is done for one script: steps in order, each from text to text."""

    steps: tuple[Callable[[str], str], ...]


def is_unspaced(language_code: str) -> bool:
    """True for languages written without spaces between words (Chinese and Japanese)."""
    language = find_language(language_code)
    return language is not None and language.script in ("Hans", "Hant", "Jpan")


def joins_without_space(before: str, after: str) -> bool:
    """True when two sentences of an unspaced language need no space between: one touches with a wide character."""
    if not before or not after:
        return True
    return not (before[-1].isascii() and after[0].isascii())


def fit_end(text: str, source: str, language_code: str) -> str:
    """``text``, which translates a part of a sentence, with the end of ``source``: no full stop where it has none.

    A full stop that stands where the source has a comma, colon or semicolon becomes that mark.
    """
    text, end = text.strip(), source.rstrip()[-1:]
    if not text or text[-1] not in "。.．" or end in ".。．!?！？…":
        return text
    wide = is_unspaced(language_code)
    mark = end if end in ",;:，；：、" else ""
    return text[:-1] + (_WIDE_OF.get(mark, mark) if wide else mark)


def finish_target(text: str, language_code: str) -> str:
    """The sentence with the spacing and punctuation of its language; words, digits and Latin letters stay.

    Chinese and Japanese: no spaces between wide characters or around wide marks; ``, ; : ? ! ( )`` and a final full
    stop next to a wide character become full-width; Chinese also gets curly double quotes in pairs and ``……``. A text
    without a wide character, and any other language, is only stripped.
    """
    text = text.strip()
    language = find_language(language_code)
    if language is None or _BESIDE.search(text) is None:
        return text
    for step in _rules(language).steps:
        text = step(text)
    return text.strip()


def _rules(language: Language) -> _Rules:
    table = {
        "Hans": _Rules((_widen, _pair_quotes, _close_up, _long_dots)),
        "Hant": _Rules((_widen, _close_up, _long_dots)),
        "Jpan": _Rules((_widen, _close_up)),
    }
    return table.get(language.script, _Rules(()))


def _widen(text: str) -> str:
    """Full-width marks next to wide characters; decimal points, times and web addresses keep theirs."""
    text = _MARK_AFTER_WIDE.sub(lambda match: _WIDE_OF[match.group(1)], text)
    text = _MARK_BEFORE_WIDE.sub(lambda match: _WIDE_OF[match.group(1)], text)
    text = _STOP_AFTER_WIDE.sub("。", text)
    if _FULL_STOP_AT_END.search(text):
        text = _FULL_STOP_AT_END.sub("。", text)
    return _widen_parentheses(text)


def _widen_parentheses(text: str) -> str:
    """Both of a pair become wide when a wide character stands next to either of them, inside or outside."""
    opened: list[int] = []
    characters = list(text)
    for match in _PARENTHESIS.finditer(text):
        place = match.start()
        if match.group() == "(":
            opened.append(place)
            continue
        start = opened.pop() if opened else place
        neighbours = text[max(start - 1, 0) : start + 2] + text[max(place - 1, 0) : place + 2]
        if _BESIDE.search(neighbours):
            characters[start], characters[place] = "（" if start != place else "）", "）"
    return "".join(characters)


def _pair_quotes(text: str) -> str:
    """Straight double quotes become curly, opening and closing in turn; an odd one out stays straight."""
    places = [place for place, character in enumerate(text) if character == '"']
    if not places or len(places) % 2:
        return text
    characters = list(text)
    for number, place in enumerate(places):
        characters[place] = "”" if number % 2 else "“"
    return "".join(characters)


def _close_up(text: str) -> str:
    text = _SPACE_BETWEEN_WIDE.sub("", text)
    return _SPACE_BESIDE_MARK.sub("", text)


def _long_dots(text: str) -> str:
    return _DOTS.sub("……", text)
