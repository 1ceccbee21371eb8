"""The summarizer: sentences chosen without a model, or written by one, chunk by chunk where the window asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from glossd.errors import DeadlineError, InvalidInputError
from glossd.tasks.abstract import Abstract, AbstractRun
from glossd.tasks.flight import Flight
from glossd.tasks.hub import Hub
from glossd.tasks.lengths import join_parts
from glossd.tasks.params import check_decode_options
from glossd.tasks.reading import Reader, Reading
from glossd.tasks.result import usage_of
from glossd.tasks.served import ModelTask, ServedModel
from glossd.tasks.tokens import check_tokens
from glossd.telemetry.calls import current_call
from glossd.telemetry.metrics import Metrics
from glossd.text import extractive
from glossd.text.document import Document, Segment
from glossd.text.sentence import in_plain_words
from glossd.types import (
    DecodeOptions,
    FinishReason,
    MimeType,
    RequestOptions,
    SegmentResult,
    Span,
    SummarizeTask,
    SummaryMethod,
    SummaryOptions,
    TextResult,
    Usage,
    Warning,
    WarningCode,
)

EXTRACTIVE_NAME = "extractive"


@dataclass(frozen=True, slots=True)
class SummarySettings:
    """How to summarize a document that has been read. ``model`` "" picks the default of its language."""

    summary: SummaryOptions = field(default_factory=SummaryOptions)
    model: str = ""
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    options: RequestOptions = field(default_factory=RequestOptions)


class Summarizer:
    """Summarizes documents in their own language, with the models of a hub or without any."""

    def __init__(self, hub: Hub, reader: Reader, metrics: Metrics | None = None) -> None:
        self._hub = hub
        self._reader = reader
        self._metrics = metrics or Metrics()

    async def summarize(self, task: SummarizeTask) -> TextResult:
        """Read and summarize one document. Raises what reading, the hub and the engine raise."""
        check_summary_options(task.summary)
        reading = await self._reader.read(task.document)
        settings = SummarySettings(task.summary, task.model, task.decode, task.options)
        return await self.summarize_reading(reading, settings)

    async def summarize_reading(self, reading: Reading, settings: SummarySettings) -> TextResult:
        """Summarize a document that has been read."""
        check_summary_options(settings.summary)
        with current_call().span("summarize"):
            return await self._summarize(reading, settings)

    async def _summarize(self, reading: Reading, settings: SummarySettings) -> TextResult:
        language = reading.language.language_code
        if not self.uses_model(language, settings):
            return await asyncio.to_thread(_extract, reading, settings)
        with self._hub.lease(ModelTask.SUMMARIZATION, source=language, target=language, name=settings.model) as model:
            check_decode_options(settings.decode, model)
            await asyncio.to_thread(check_tokens, reading.document, settings.options.max_tokens, model)
            with Flight(model.generator, settings.options, self._metrics) as flight:
                run = AbstractRun(model, language, settings.decode, settings.summary, flight)
                try:
                    abstract = await run.summarize(reading.document)
                except DeadlineError:
                    if not settings.options.allow_partial:
                        raise
                    self._metrics.text_is_partial()
                    return await asyncio.to_thread(_extract_instead, reading, settings)
            return await asyncio.to_thread(_assemble, reading, abstract, model)

    def uses_model(self, language: str, settings: SummarySettings) -> bool:
        """Whether a model would write the summary. Raises ``InvalidInputError`` where the settings contradict."""
        method = settings.summary.method
        if method is SummaryMethod.EXTRACTIVE and settings.model:
            raise InvalidInputError("model", f"{settings.model!r}: an extractive summary uses no model")
        if method is SummaryMethod.AUTO and not settings.model:
            return self._hub.can(ModelTask.SUMMARIZATION, language)
        return method is not SummaryMethod.EXTRACTIVE


def check_summary_options(options: SummaryOptions, *, field: str = "summary") -> None:
    """Raise ``InvalidInputError`` naming the length that is absurd, or the second of two lengths."""
    lengths = {"words": options.words, "sentences": options.sentences, "ratio": options.ratio}
    given = [name for name, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise InvalidInputError(f"{field}.{given[1]}", f"at most one length; {given[0]} is set too")
    ranges = {"words": (1, 5000), "sentences": (1, 500), "ratio": (0.001, 1.0)}
    for name in given:
        least, most = ranges[name]
        value = lengths[name]
        if value is None or not least <= value <= most:
            raise InvalidInputError(f"{field}.{name}", f"{value} is not in {least}..{most}")


def _extract(reading: Reading, settings: SummarySettings) -> TextResult:
    document = reading.document
    language = reading.language.language_code
    chosen = extractive.summarize(document, settings.summary, language_code=language)
    sentences = [document.segments[index] for index in chosen.segments]
    text = chosen.text
    if document.mime_type is MimeType.MARKDOWN:
        sentences = [replace(sentence, text=in_plain_words(sentence.text)) for sentence in sentences]
        text = join_parts([sentence.text for sentence in sentences], language)
    return TextResult(
        text=text,
        language_code=language,
        model=EXTRACTIVE_NAME,
        finish_reason=FinishReason.COMPLETE,
        segments=_located(text, sentences, document),
        warnings=reading.warnings + chosen.warnings,
        usage=Usage(input_characters=len(document.source), segments=len(document.segments)),
    )


def _extract_instead(reading: Reading, settings: SummarySettings) -> TextResult:
    """Chosen sentences where a written summary was not done at the deadline."""
    result = _extract(reading, settings)
    message = "no summary was written before the deadline; sentences of the document stand in its place"
    warning = Warning(WarningCode.PASSED_THROUGH, message)
    return replace(result, finish_reason=FinishReason.DEADLINE, warnings=(*result.warnings, warning))


def _assemble(reading: Reading, abstract: Abstract, model: ServedModel) -> TextResult:
    document = reading.document
    language = reading.language.language_code
    text = join_parts(list(abstract.sentences), language)
    scores = [generation.score for generation in abstract.generations]
    whole = document.original(Span(0, len(document.source)))
    warnings = reading.warnings + _abstract_warnings(abstract, whole) + _not_shorter(text, reading)
    return TextResult(
        text=text,
        language_code=language,
        model=model.name,
        finish_reason=abstract.finish_reason,
        segments=tuple(
            SegmentResult(text[span.start : span.end], whole, span, scores[-1], FinishReason.COMPLETE)
            for span in _spans_of(text, abstract.sentences)
        ),
        score=scores[-1],
        source_coverage=abstract.coverage,
        warnings=warnings,
        usage=replace(
            usage_of(abstract.generations),
            input_characters=len(document.source),
            input_tokens=abstract.input_tokens,
            segments=len(document.segments),
        ),
    )


def _abstract_warnings(abstract: Abstract, whole: Span) -> tuple[Warning, ...]:
    warnings: list[Warning] = []
    if abstract.coverage < 1.0:
        message = f"{abstract.coverage:.0%} of the document was read"
        warnings.append(Warning(WarningCode.INPUT_TRUNCATED, message, whole))
    if abstract.finish_reason is FinishReason.LENGTH:
        message = "the summary was cut inside its only sentence; allow more new tokens"
        warnings.append(Warning(WarningCode.OUTPUT_TRUNCATED, message))
    if abstract.too_long:
        message = "one whole sentence is longer than the length asked for"
        warnings.append(Warning(WarningCode.SUMMARY_NOT_SHORTER, message))
    return tuple(warnings)


def _not_shorter(text: str, reading: Reading) -> tuple[Warning, ...]:
    source = sum(len(segment.text) for segment in reading.document.segments)
    if not text or len(text) < source:
        return ()
    message = f"the summary has {len(text):,} characters, the document {source:,}"
    return (Warning(WarningCode.SUMMARY_NOT_SHORTER, message),)


def _located(text: str, segments: Sequence[Segment], document: Document) -> tuple[SegmentResult, ...]:
    """Chosen sentences with their places in the document and in the summary."""
    spans = _spans_of(text, [segment.text for segment in segments])
    return tuple(
        SegmentResult(text[span.start : span.end], document.original(segment.source), span, 0.0, FinishReason.COMPLETE)
        for segment, span in zip(segments, spans, strict=True)
    )


def _spans_of(text: str, sentences: Sequence[str]) -> list[Span]:
    """Where each of ``sentences`` stands in ``text``, which was put together from them in order."""
    spans: list[Span] = []
    end = 0
    for sentence in sentences:
        start = text.find(sentence.strip(), end)
        start = end if start < 0 else start
        end = min(len(text), start + len(sentence.strip()))
        spans.append(Span(start, end))
    return spans
