"""How long a text is in words, and how parts of a text are joined, by the script it is written in."""

from __future__ import annotations

from glossd.languages import find_language

_SPACELESS_SCRIPTS = frozenset({"Hans", "Hant", "Jpan"})


def writes_spaces(language_code: str) -> bool:
    """Whether the language puts spaces between words."""
    language = find_language(language_code)
    return language is None or language.script not in _SPACELESS_SCRIPTS


def count_words(text: str, language_code: str) -> int:
    """Words, or characters other than space where the language writes none."""
    words = text.split()
    return len(words) if writes_spaces(language_code) else sum(len(word) for word in words)


def join_parts(parts: list[str], language_code: str) -> str:
    """Sentences or parts of one, put behind each other."""
    return (" " if writes_spaces(language_code) else "").join(part for part in parts if part)
