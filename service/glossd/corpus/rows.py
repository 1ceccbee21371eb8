"""From a digest to a row, from an error to a failure: the only place where either is made, whatever engine ran."""

from __future__ import annotations

from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Failure, Record, Row, RowSegment, RowWarning
from glossd.digests import DigestResult
from glossd.errors import (
    DrainingError,
    EngineDeadError,
    GlossdError,
    ModelFilesError,
    ModelLoadingError,
    ModelNotFoundError,
    ModelNotLoadedError,
    OverloadedError,
    RemoteError,
)
from glossd.types import TextResult

SCORE_DIGITS = 4

_NOT_THE_RECORDS_FAULT = (
    DrainingError,
    EngineDeadError,
    ModelFilesError,
    ModelLoadingError,
    ModelNotFoundError,
    ModelNotLoadedError,
    OverloadedError,
)


def row_of(record: Record, digest: DigestResult, recipe: Recipe) -> Row:
    """The row of a record. Texts that the recipe does not ask for are left out, times and cache hits always."""
    summary = digest.summary if recipe.summary else None
    translated_summary = digest.translated_summary if recipe.translated_summary else None
    translated_body = digest.translated_body if recipe.translated_body else None
    return Row(
        id=record.id,
        language_code=digest.source_language.language_code,
        language_confidence=round(digest.source_language.confidence, SCORE_DIGITS),
        title=digest.title,
        date=digest.date,
        summary=_text(summary),
        translated_summary=_text(translated_summary),
        translated_body=_text(translated_body),
        summary_segments=_segments(summary, recipe),
        translated_summary_segments=_segments(translated_summary, recipe),
        translated_body_segments=_segments(translated_body, recipe),
        warnings=_warnings(digest, summary, translated_summary, translated_body),
        input_characters=len(record.document.text),
        input_tokens=digest.usage.input_tokens,
        output_tokens=digest.usage.output_tokens,
    )


def failure_of(error: Exception) -> Failure:
    """What an error means for its record. Raises the error itself where it is not the record's fault.

    Of an error that nobody raised on purpose only the type is told: its message may hold a piece of the text.
    """
    if isinstance(error, _NOT_THE_RECORDS_FAULT):
        raise error
    if isinstance(error, RemoteError):
        return Failure(error.remote_reason or error.code, error.message)
    if isinstance(error, GlossdError):
        return Failure(error.reason, str(error))
    return Failure("INTERNAL", f"an inner fault: {type(error).__name__}")


def _text(result: TextResult | None) -> str | None:
    return None if result is None else result.text


def _segments(result: TextResult | None, recipe: Recipe) -> tuple[RowSegment, ...]:
    if result is None or not recipe.segments:
        return ()
    return tuple(
        RowSegment(
            text=segment.text,
            source_start=segment.source.start,
            source_end=segment.source.end,
            target_start=segment.target.start,
            target_end=segment.target.end,
            score=round(segment.score, SCORE_DIGITS),
            finish_reason=segment.finish_reason,
        )
        for segment in result.segments
    )


def _warnings(
    digest: DigestResult, summary: TextResult | None, translated_summary: TextResult | None, body: TextResult | None
) -> tuple[RowWarning, ...]:
    """Every warning once, with what it is about: what is said of the document is not said of its texts again."""
    parts = (
        ("summary", summary),
        ("translated_summary", translated_summary),
        ("translated_body", body),
    )
    found = {("document", warning.code.value, warning.message): None for warning in digest.warnings}
    told = set(digest.warnings)
    for about, text in parts:
        for warning in text.warnings if text else ():
            if warning not in told:
                found[about, warning.code.value, warning.message] = None
    return tuple(RowWarning(*key) for key in found)
