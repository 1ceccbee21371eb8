"""The limit on a document's source tokens, looked at before any of it is given to a model."""

from __future__ import annotations

from glossd.errors import InvalidInputError
from glossd.tasks.served import ServedModel
from glossd.text.document import Document

MOST_TOKENS_PER_CHARACTER = 4
LONGEST_COUNTED = 4096
"""Longer segments are counted in slices: tokenizers take quadratic time on an endless word."""
FIELD = "document"


def check_tokens(document: Document, most: int | None, model: ServedModel) -> None:
    """Raises ``InvalidInputError`` for more than ``most`` tokens. Computes only where that is possible at all."""
    if most is None:
        return
    characters = sum(len(segment.text) for segment in document.segments)
    if MOST_TOKENS_PER_CHARACTER * characters + len(document.segments) <= most:
        return
    tokens = sum(_count(segment.text, model) for segment in document.segments)
    if tokens > most:
        raise InvalidInputError(FIELD, f"{tokens:,} source tokens; the limit is {most:,}")


def _count(text: str, model: ServedModel) -> int:
    slices = (text[start : start + LONGEST_COUNTED] for start in range(0, len(text), LONGEST_COUNTED))
    return sum(model.tokenizer.count(piece) for piece in slices)
