"""The digester: summary, translated summary and translated body of one document, each as soon as it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from glossd.digests import DigestEvent, DigestResult, DigestTask, SegmentEvent, TextEvent, Track
from glossd.languages import get_language
from glossd.tasks.reading import Reader, Reading
from glossd.tasks.result import empty_text, total_usage
from glossd.tasks.summarize import Summarizer, SummarySettings
from glossd.tasks.translate import TARGET_FIELD, TranslationSettings, Translator
from glossd.types import DocumentInput, TextResult, Warning, WarningCode

_Emit = Callable[[DigestEvent | None], None]


class Digester:
    """Puts a summarizer and a translator to work on the same document at the same time."""

    def __init__(self, reader: Reader, summarizer: Summarizer, translator: Translator) -> None:
        self._reader = reader
        self._summarizer = summarizer
        self._translator = translator

    async def digest(self, task: DigestTask) -> DigestResult:
        """The whole digest. Raises what reading, the hub and the engine raise."""
        async with aclosing(self.stream(task)) as events:
            async for event in events:
                if isinstance(event, DigestResult):
                    return event
        raise AssertionError("a stream ends with its digest")

    async def stream(self, task: DigestTask) -> AsyncGenerator[DigestEvent, None]:
        """Language, summary, translated summary, translated segments in order, translated body, whole digest.

        Close it (``contextlib.aclosing``) when leaving early: that cancels what is still in flight.
        """
        events: asyncio.Queue[DigestEvent | None] = asyncio.Queue()
        run = _Run(task, self._reader, self._summarizer, self._translator, events.put_nowait)
        producer = asyncio.create_task(run.produce(), name="digest")
        producer.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await producer
        finally:
            producer.cancel()
            await asyncio.gather(producer, return_exceptions=True)


class _Run:
    """One digest being made; ``emit`` takes its events in the order they are promised."""

    def __init__(
        self,
        task: DigestTask,
        reader: Reader,
        summarizer: Summarizer,
        translator: Translator,
        emit: _Emit,
    ) -> None:
        self._task = task
        self._reader = reader
        self._summarizer = summarizer
        self._translator = translator
        self._emit = emit
        self._body_may_start = asyncio.Event()
        self._summary_sent = asyncio.Event()
        self._translates = True

    async def produce(self) -> None:
        """Read the document, then make its texts concurrently; the first failure cancels the rest."""
        target = get_language(self._task.target_language_code, field=TARGET_FIELD).code
        reading = await self._reader.read(self._task.document)
        if reading.language.language_code == target:
            message = f"the document is in {target} already: it is summarized, and nothing is translated"
            warnings = (*reading.warnings, Warning(WarningCode.PASSED_THROUGH, message))
            reading, self._translates = replace(reading, warnings=warnings), False
        self._emit(reading.language)
        try:
            async with asyncio.TaskGroup() as group:
                summaries = group.create_task(self._summaries(reading), name="digest summary")
                body = group.create_task(self._body(reading), name="digest body")
        except BaseExceptionGroup as failures:
            failure = _first(failures)
            raise failure from failure.__cause__
        summary, translated_summary = summaries.result()
        texts = (summary, translated_summary, body.result())
        self._emit(
            DigestResult(
                source_language=reading.language,
                title=reading.document.title,
                date=reading.document.date,
                summary=summary,
                translated_summary=translated_summary,
                translated_body=body.result(),
                warnings=reading.warnings,
                usage=total_usage(text.usage for text in texts),
            )
        )

    @property
    def _translation(self) -> TranslationSettings:
        task = self._task
        return TranslationSettings(task.target_language_code, task.translation_model, task.decode, task.options)

    async def _summaries(self, reading: Reading) -> tuple[TextResult, TextResult]:
        task = self._task
        settings = SummarySettings(task.summary, task.summary_model, task.decode, task.options)
        if self._summarizer.uses_model(reading.language.language_code, settings):
            self._body_may_start.set()
        summary = await self._summarizer.summarize_reading(reading, settings)
        self._emit(TextEvent(Track.SUMMARY, summary))
        self._body_may_start.set()
        translated = await self._translated_summary(reading, summary)
        self._emit(TextEvent(Track.TRANSLATED_SUMMARY, translated))
        self._summary_sent.set()
        return summary, translated

    async def _translated_summary(self, reading: Reading, summary: TextResult) -> TextResult:
        if not (self._translates and summary.text.strip()):
            return empty_text(self._task.target_language_code)
        source = DocumentInput(summary.text, language_code=reading.language.language_code)
        read = await self._reader.read(source)
        # What is doubtful about the language was said of the document already.
        return await self._translator.translate_reading(replace(read, warnings=()), self._translation)

    async def _body(self, reading: Reading) -> TextResult:
        if not (self._translates and self._task.translate_body):
            return empty_text(self._task.target_language_code)
        # A summary that needs no model is ready at once: its translation then goes before the body's.
        await self._body_may_start.wait()
        index = 0
        async with aclosing(self._translator.stream(reading, self._translation)) as steps:
            async for step in steps:
                await self._summary_sent.wait()
                if isinstance(step, TextResult):
                    self._emit(TextEvent(Track.TRANSLATED_BODY, step))
                    return step
                self._emit(SegmentEvent(Track.TRANSLATED_BODY, index, step.separator, step.segment))
                index += 1
        raise AssertionError("a stream ends with its text")


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure that is not a group itself."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
