"""What a model is given in place of the text itself: plain quotes, dashes, spaces. The document keeps its own text."""

from __future__ import annotations

import re

from glossd.languages import find_language

_ASCII_MARKS = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u201b": "'",
        "\u2032": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u201f": '"',
        "\u2033": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2212": "-",
        "\u2026": "...",
    }
)
_SPACE = re.compile(r"\s+")
_SPACE_BEFORE_MARK = re.compile(r" (?=[,.;:!?](?:[\s\"')\]]|$))")
_KEEPS_SPACE_BEFORE_MARKS = frozenset({"fr"})
_WIDE_SCRIPTS = frozenset({"Hans", "Hant", "Jpan"})
_WIDE_DIGITS_AND_LETTERS = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B))} | {
    code: code - 0xFEE0 for code in range(0xFF41, 0xFF5B)
}


def normalize_source(text: str, language_code: str) -> str:
    """The sentence as the training data has it; no line breaks come out.

    Every language: any white space (also the no-break space) becomes one space, none at the ends. Languages of Latin,
    Cyrillic and other spaced scripts: curly quotes and primes become straight, hyphens and en dashes ``-``, an ellipsis
    ``...``, and there is no space before ``, . ; : ! ?`` (French keeps its own); the em dash stays. Chinese and
    Japanese: full-width digits and Latin letters become half-width, their punctuation stays, and a line break between
    two of their characters goes away.
    """
    language = find_language(language_code)
    text = text.strip()
    if "\n" in text and language is not None and language.script in _WIDE_SCRIPTS:
        text = _SPACE.sub(_unwrapped, text)
    text = _SPACE.sub(" ", text)
    if language is not None and language.script in _WIDE_SCRIPTS:
        return text.translate(_WIDE_DIGITS_AND_LETTERS)
    text = text.translate(_ASCII_MARKS)
    if language is not None and language.code in _KEEPS_SPACE_BEFORE_MARKS:
        return text
    return _SPACE_BEFORE_MARK.sub("", text)


def _unwrapped(space: re.Match[str]) -> str:
    """Nothing for a line break between two wide characters."""
    wrapped = "\n" in space.group() and space.string[space.start() - 1] > "\u2e7f" < space.string[space.end()]
    return "" if wrapped else " "
