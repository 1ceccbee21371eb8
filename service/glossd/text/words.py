"""Counts and lists the words of a text in any script. Knows no sentences and no documents."""

from __future__ import annotations

import re

HAN_CHARACTERS_PER_WORD = 1.7
"""Chinese and Japanese have no spaces: 1.7 characters count as one word in every length of this package."""

_WIDE = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WIDE_CHARACTER = re.compile(f"[{_WIDE}]")
_WIDE_RUN = re.compile(f"[{_WIDE}]+")
_SPACED_WORD = re.compile(rf"(?:(?![{_WIDE}])[^\W_])+(?:['’.,-](?:(?![{_WIDE}])[^\W_])+)*")


def count_words(text: str) -> float:
    """Words between spaces that hold a letter or digit, plus wide (Han, kana) characters divided by 1.7."""
    wide = len(_WIDE_CHARACTER.findall(text))
    if wide:
        text = _WIDE_RUN.sub(" ", text)
    spaced = sum(1 for word in text.split() if any(map(str.isalnum, word)))
    return spaced + wide / HAN_CHARACTERS_PER_WORD


def terms(text: str) -> list[str]:
    """The words of a text for comparing: lower case, no possessive; wide runs as overlapping character pairs."""
    found = _spaced_words(text)
    for run in _WIDE_RUN.findall(text):
        found += [run[place : place + 2] for place in range(max(len(run) - 1, 1))]
    return found


def pieces(text: str) -> list[str]:
    """The words of a text as in :func:`terms`, but every wide character alone."""
    return _spaced_words(text) + _WIDE_CHARACTER.findall(text)


def _spaced_words(text: str) -> list[str]:
    return [word.lower().replace("’", "'").removesuffix("'s") for word in _SPACED_WORD.findall(text)]
