"""What travels through a corpus run: a record read, what became of it, and a row of the output. No behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from glossd.types import DocumentInput, FinishReason


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: a file, named as seen from the input, and a line or row in it (0: the whole file)."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Record:
    """One article. ``position`` counts everything that was read, from 0, bad records too; it identifies the record
    within a run. ``id`` is the one that the row gets.
    """

    position: int
    id: str
    document: DocumentInput
    place: Place

    @property
    def length(self) -> int:
        """Characters of the text: what its work is guessed by."""
        return len(self.document.text)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record has no row. ``reason`` is a stable upper-case word; ``message`` holds nothing of the text."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class BadRecord:
    """Something in the input that is no article. ``id`` is "" where it has none that could be read."""

    position: int
    id: str
    place: Place
    failure: Failure


@dataclass(frozen=True, slots=True)
class RowSegment:
    """A segment of one of a row's texts: its text, and spans of code points in the source and in the text."""

    text: str
    source_start: int
    source_end: int
    target_start: int
    target_end: int
    score: float
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class RowWarning:
    """A warning and which part of the row it is about: the document, or one of the texts by its field's name."""

    about: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Row:
    """One record's output. A text that was not asked for is None; segments are () unless they were asked for.

    It holds nothing that depends on when or beside what the record was worked on.
    """

    id: str
    language_code: str
    language_confidence: float
    title: str
    date: str
    summary: str | None
    translated_summary: str | None
    translated_body: str | None
    summary_segments: tuple[RowSegment, ...]
    translated_summary_segments: tuple[RowSegment, ...]
    translated_body_segments: tuple[RowSegment, ...]
    warnings: tuple[RowWarning, ...]
    input_characters: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an engine made of the record at ``position``."""

    position: int
    result: Row | Failure
