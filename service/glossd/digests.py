"""A digest: what is asked for, what is told of it piece by piece, and the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from glossd.types import (
    DecodeOptions,
    DetectedLanguage,
    DocumentInput,
    RequestOptions,
    SegmentResult,
    SummaryOptions,
    TextResult,
    Usage,
    Warning,
)


@dataclass(frozen=True, slots=True)
class DigestResult:
    """Summary, its translation and the body's translation of one document."""

    source_language: DetectedLanguage
    title: str
    date: str
    summary: TextResult
    translated_summary: TextResult
    translated_body: TextResult
    warnings: tuple[Warning, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class DigestTask:
    """One document to summarize and translate. The body's translation can be left out."""

    document: DocumentInput
    target_language_code: str
    summary: SummaryOptions = field(default_factory=SummaryOptions)
    summary_model: str = ""
    translation_model: str = ""
    translate_body: bool = True
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    options: RequestOptions = field(default_factory=RequestOptions)


class Track(Enum):
    """Which text of a digest an event belongs to."""

    SUMMARY = "summary"
    TRANSLATED_SUMMARY = "translated_summary"
    TRANSLATED_BODY = "translated_body"


@dataclass(frozen=True, slots=True)
class SegmentEvent:
    """The next segment of a text, in order. ``separator`` is what stands between it and the one before."""

    track: Track
    index: int
    separator: str
    segment: SegmentResult


@dataclass(frozen=True, slots=True)
class TextEvent:
    """A text of a digest is complete."""

    track: Track
    text: TextResult


DigestEvent = DetectedLanguage | SegmentEvent | TextEvent | DigestResult
