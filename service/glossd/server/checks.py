"""The limits on what a caller may send, and free functions that hold a value against them. No conversion here.

A function here returns the value or raises ``InvalidInputError`` with the field's path, the value and the limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from glossd.errors import InvalidInputError
from glossd.languages import get_language

Number = TypeVar("Number", int, float)

LONGEST_NAME = 256
LONGEST_FAIRNESS_KEY = 128
LONGEST_TERM = 200
MOST_TERMS = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that an operator sets."""

    max_characters: int = 1_000_000
    max_documents: int = 64
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """Closed range of a number."""

    least: float
    most: float


DECODE_RANGES = {
    "num_beams": Range(1, 16),
    "max_new_tokens": Range(1, 4096),
    "min_new_tokens": Range(0, 4096),
    "length_penalty": Range(-5, 5),
    "no_repeat_ngram_size": Range(0, 16),
    "repetition_penalty": Range(0.1, 10),
}
SUMMARY_RANGES = {
    "words": Range(1, 5000),
    "sentences": Range(1, 500),
    "ratio": Range(0.001, 1),
}


def check_range(field: str, value: Number, allowed: Range) -> Number:
    """A finite number in range."""
    if not math.isfinite(value) or not allowed.least <= value <= allowed.most:
        limits = f"{allowed.least:,g} to {allowed.most:,g}"
        raise InvalidInputError(field, f"{value:,} is out of range; allowed is {limits}")
    return value


def check_text(field: str, text: str, limits: Limits) -> str:
    """A text that says something and is not too long."""
    if not text:
        raise InvalidInputError(field, "is required and empty")
    if len(text) > limits.max_characters:
        message = f"{len(text):,} characters; the limit is {limits.max_characters:,}"
        raise InvalidInputError(field, message)
    if text.isspace():
        raise InvalidInputError(field, f"{len(text):,} characters, all of them white space")
    return text


def check_utf8(field: str, content: bytes) -> str:
    """The text of bytes that are UTF-8; a byte order mark is dropped."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"byte {error.start:,} of {len(content):,} is not UTF-8"
        raise InvalidInputError(field, message) from error


def check_name(field: str, name: str, *, required: bool = False) -> str:
    """The name of a model or the key of a document."""
    if required and not name:
        raise InvalidInputError(field, "is required and empty")
    return check_length(field, name, LONGEST_NAME)


def check_length(field: str, text: str, most: int) -> str:
    """A short text of at most ``most`` characters."""
    if len(text) > most:
        raise InvalidInputError(field, f"{len(text):,} characters; the limit is {most:,}")
    return text


def check_term(field: str, term: str) -> str:
    """One side of a glossary entry, or a term that is not translated."""
    if not term.strip():
        raise InvalidInputError(field, "is required and empty")
    return check_length(field, term, LONGEST_TERM)


def check_count(field: str, items: Sequence[object], *, least: int, most: int) -> None:
    """As many items as a list may have."""
    if not least <= len(items) <= most:
        raise InvalidInputError(field, f"{len(items):,} items; allowed is {least:,} to {most:,}")


def check_language(field: str, code: str, *, required: bool) -> str | None:
    """The table's own code of a language; None when it is left out or "und"."""
    if not code or (code == "und" and not required):
        if required:
            raise InvalidInputError(field, "is required and empty; for Chinese it is zh-Hans")
        return None
    return get_language(code, field=field).code
