"""Answers: what the tasks layer returns, as messages and back. Each pair of functions is inverse."""

from __future__ import annotations

from typing import cast

from google.protobuf.duration_pb2 import Duration

from glossd.digests import DigestEvent, DigestResult, SegmentEvent, TextEvent
from glossd.types import (
    DetectedLanguage,
    FinishReason,
    LanguagePair,
    ModelDescription,
    ModelState,
    SegmentResult,
    Span,
    TextResult,
    Usage,
    Warning,
)
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1 import model_service_pb2 as models
from glossd.wire.enums import FINISH_REASON, MODEL_STATE, TRACK, WARNING_CODE


def _span_to_message(span: Span) -> common.Span:
    return common.Span(start=span.start, end=span.end)


def _span_from_message(message: common.Span) -> Span:
    return Span(message.start, message.end)


def _finish_to_message(reason: FinishReason) -> common.FinishReason.ValueType:
    return cast("common.FinishReason.ValueType", FINISH_REASON.number(reason))


def _finish_from_message(number: int) -> FinishReason:
    """A reason this side does not know reads as FAILED: whatever it is, it is not a plain end."""
    return FINISH_REASON.member(number) or FinishReason.FAILED


def warning_to_message(warning: Warning) -> common.Warning:
    """The message of a warning."""
    code = cast("common.WarningCode.ValueType", WARNING_CODE.number(warning.code))
    source = None if warning.source is None else _span_to_message(warning.source)
    return common.Warning(code=code, message=warning.message, source=source)


def warnings_from_messages(messages: list[common.Warning]) -> tuple[Warning, ...]:
    """The warnings of an answer, without those whose code a newer server has added."""
    warnings = []
    for message in messages:
        code = WARNING_CODE.member(message.code)
        if code is not None:
            source = _span_from_message(message.source) if message.HasField("source") else None
            warnings.append(Warning(code, message.message, source))
    return tuple(warnings)


def language_to_message(language: DetectedLanguage) -> common.DetectedLanguage:
    """The message of a detected language."""
    return common.DetectedLanguage(language_code=language.language_code, confidence=language.confidence)


def language_from_message(message: common.DetectedLanguage) -> DetectedLanguage:
    """The detected language of a message."""
    return DetectedLanguage(message.language_code, message.confidence)


def _duration(nanoseconds: int) -> Duration:
    seconds, nanos = divmod(nanoseconds, 1_000_000_000)
    return Duration(seconds=seconds, nanos=nanos)


def usage_to_message(usage: Usage) -> common.Usage:
    """The message of a usage."""
    return common.Usage(
        input_characters=usage.input_characters,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        segments=usage.segments,
        cached_segments=usage.cached_segments,
        queue_time=_duration(usage.queue_ns),
        compute_time=_duration(usage.compute_ns),
        terms_found=usage.terms_found,
        terms_kept=usage.terms_kept,
    )


def usage_from_message(message: common.Usage) -> Usage:
    """The usage of a message."""
    return Usage(
        input_characters=message.input_characters,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        segments=message.segments,
        cached_segments=message.cached_segments,
        queue_ns=message.queue_time.seconds * 1_000_000_000 + message.queue_time.nanos,
        compute_ns=message.compute_time.seconds * 1_000_000_000 + message.compute_time.nanos,
        terms_found=message.terms_found,
        terms_kept=message.terms_kept,
    )


def segment_to_message(segment: SegmentResult) -> common.Segment:
    """The message of a segment."""
    return common.Segment(
        text=segment.text,
        source=_span_to_message(segment.source),
        target=_span_to_message(segment.target),
        score=segment.score,
        finish_reason=_finish_to_message(segment.finish_reason),
    )


def segment_from_message(message: common.Segment) -> SegmentResult:
    """The segment of a message."""
    return SegmentResult(
        text=message.text,
        source=_span_from_message(message.source),
        target=_span_from_message(message.target),
        score=message.score,
        finish_reason=_finish_from_message(message.finish_reason),
    )


def text_to_message(text: TextResult) -> common.Text:
    """The message of a text."""
    return common.Text(
        text=text.text,
        language_code=text.language_code,
        model=text.model,
        finish_reason=_finish_to_message(text.finish_reason),
        segments=[segment_to_message(segment) for segment in text.segments],
        score=text.score,
        source_coverage=text.source_coverage,
        warnings=[warning_to_message(warning) for warning in text.warnings],
        usage=usage_to_message(text.usage),
    )


def text_from_message(message: common.Text) -> TextResult:
    """The text of a message."""
    return TextResult(
        text=message.text,
        language_code=message.language_code,
        model=message.model,
        finish_reason=_finish_from_message(message.finish_reason),
        segments=tuple(segment_from_message(segment) for segment in message.segments),
        score=message.score,
        source_coverage=message.source_coverage,
        warnings=warnings_from_messages(list(message.warnings)),
        usage=usage_from_message(message.usage),
    )


def digest_to_message(digest: DigestResult) -> articles.DigestResponse:
    """The message of a digest."""
    return articles.DigestResponse(
        source_language=language_to_message(digest.source_language),
        title=digest.title,
        date=digest.date,
        summary=text_to_message(digest.summary),
        translated_summary=text_to_message(digest.translated_summary),
        translated_body=text_to_message(digest.translated_body),
        warnings=[warning_to_message(warning) for warning in digest.warnings],
        usage=usage_to_message(digest.usage),
    )


def digest_from_message(message: articles.DigestResponse) -> DigestResult:
    """The digest of a message."""
    return DigestResult(
        source_language=language_from_message(message.source_language),
        title=message.title,
        date=message.date,
        summary=text_from_message(message.summary),
        translated_summary=text_from_message(message.translated_summary),
        translated_body=text_from_message(message.translated_body),
        warnings=warnings_from_messages(list(message.warnings)),
        usage=usage_from_message(message.usage),
    )


def event_to_message(event: DigestEvent) -> articles.StreamDigestResponse:
    """The message of one event of a streamed digest."""
    match event:
        case DetectedLanguage():
            return articles.StreamDigestResponse(source_language=language_to_message(event))
        case SegmentEvent():
            segment = articles.SegmentEvent(
                track=cast("articles.Track.ValueType", TRACK.number(event.track)),
                index=event.index,
                separator=event.separator,
                segment=segment_to_message(event.segment),
            )
            return articles.StreamDigestResponse(segment=segment)
        case TextEvent():
            track = cast("articles.Track.ValueType", TRACK.number(event.track))
            text = articles.TextEvent(track=track, text=text_to_message(event.text))
            return articles.StreamDigestResponse(text=text)
        case DigestResult():
            return articles.StreamDigestResponse(digest=digest_to_message(event))


def event_from_message(message: articles.StreamDigestResponse) -> DigestEvent | None:
    """The event of a message; None for a kind of event or a track that a newer server has added."""
    match message.WhichOneof("event"):
        case "source_language":
            return language_from_message(message.source_language)
        case "segment":
            piece = message.segment
            track = TRACK.member(piece.track)
            segment = segment_from_message(piece.segment)
            return None if track is None else SegmentEvent(track, piece.index, piece.separator, segment)
        case "text":
            track = TRACK.member(message.text.track)
            return None if track is None else TextEvent(track, text_from_message(message.text.text))
        case "digest":
            return digest_from_message(message.digest)
        case _:
            return None


def model_to_message(model: ModelDescription) -> models.Model:
    """The message of a model's description."""
    return models.Model(
        name=model.name,
        state=cast("models.ModelState.ValueType", MODEL_STATE.number(model.state)),
        family=model.family,
        tasks=model.tasks,
        source_language_codes=model.source_language_codes,
        target_language_codes=model.target_language_codes,
        window_tokens=model.window_tokens,
        parameters=model.parameters,
        dtype=model.dtype,
        device=model.device,
        detail=model.detail,
    )


def model_from_message(message: models.Model) -> ModelDescription:
    """The model's description of a message; a state this side does not know reads as KNOWN."""
    return ModelDescription(
        name=message.name,
        state=MODEL_STATE.member(message.state) or ModelState.KNOWN,
        family=message.family,
        tasks=tuple(message.tasks),
        source_language_codes=tuple(message.source_language_codes),
        target_language_codes=tuple(message.target_language_codes),
        window_tokens=message.window_tokens,
        parameters=message.parameters,
        dtype=message.dtype,
        device=message.device,
        detail=message.detail,
    )


def pair_to_message(pair: LanguagePair) -> models.LanguagePair:
    """The message of a language pair."""
    return models.LanguagePair(
        source_language_code=pair.source_language_code,
        target_language_code=pair.target_language_code,
        models=pair.models,
    )


def pair_from_message(message: models.LanguagePair) -> LanguagePair:
    """The language pair of a message."""
    return LanguagePair(message.source_language_code, message.target_language_code, tuple(message.models))
