"""The translator: a document's segments in flight together, gathered in order and put back in place."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from glossd.errors import UnsupportedLanguageError
from glossd.languages import get_language
from glossd.tasks.attempts import Attempts, Begun
from glossd.tasks.finish import Outcome
from glossd.tasks.flight import Flight
from glossd.tasks.hub import Hub
from glossd.tasks.params import check_decode_options
from glossd.tasks.passing import PassedParts
from glossd.tasks.plan import Direction, Planner
from glossd.tasks.reading import Reader, Reading
from glossd.tasks.result import Separators, assemble, segment_result
from glossd.tasks.served import ModelTask, ServedModel
from glossd.tasks.tokens import check_tokens
from glossd.telemetry.calls import current_call
from glossd.telemetry.metrics import Metrics, Stage
from glossd.text.document import Segment
from glossd.types import (
    DecodeOptions,
    FinishReason,
    MimeType,
    RequestOptions,
    SegmentResult,
    TextResult,
    TranslateTask,
)

MOST_IN_FLIGHT = 256
"""Segments of one document worked on at a time: enough to fill a batch, too few to fill the queue."""
BATCH_SEGMENTS = 64
TARGET_FIELD = "target_language_code"


@dataclass(frozen=True, slots=True)
class TranslationSettings:
    """How to translate a document that has been read. ``model`` "" picks the default of the pair."""

    target_language_code: str
    model: str = ""
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    options: RequestOptions = field(default_factory=RequestOptions)


@dataclass(frozen=True, slots=True)
class TranslatedSegment:
    """The next segment of a translation and what stands before it."""

    separator: str
    segment: SegmentResult


class Translator:
    """Translates documents with the models of a hub."""

    def __init__(self, hub: Hub, reader: Reader, metrics: Metrics | None = None) -> None:
        self._hub = hub
        self._reader = reader
        self._metrics = metrics or Metrics()

    async def translate(self, task: TranslateTask) -> TextResult:
        """Read and translate one document. Raises what reading, the hub and the engine raise."""
        get_language(task.target_language_code, field=TARGET_FIELD)
        reading = await self._reader.read(task.document)
        settings = TranslationSettings(task.target_language_code, task.model, task.decode, task.options)
        return await self.translate_reading(reading, settings)

    async def translate_reading(self, reading: Reading, settings: TranslationSettings) -> TextResult:
        """Translate a document that has been read."""
        async with aclosing(self.stream(reading, settings)) as steps:
            async for step in steps:
                if isinstance(step, TextResult):
                    return step
        raise AssertionError("a stream ends with its text")

    async def stream(
        self, reading: Reading, settings: TranslationSettings
    ) -> AsyncGenerator[TranslatedSegment | TextResult, None]:
        """Every segment in order, as soon as it and all before it are done; then the whole text.

        Close it (``contextlib.aclosing``) when leaving early: that cancels what is still in flight.
        """
        direction = self.direction(reading, settings)
        lease = self._hub.lease(
            ModelTask.TRANSLATION, source=direction.source, target=direction.target, name=settings.model
        )
        with current_call().span("translate"), lease as model:
            check_decode_options(settings.decode, model)
            await asyncio.to_thread(check_tokens, reading.document, settings.options.max_tokens, model)
            outcomes: list[Outcome] = []
            separators = await asyncio.to_thread(Separators, reading.document, direction.target)
            end = 0
            async with aclosing(self._outcomes(reading, settings, model, direction)) as steps:
                async for outcome in steps:
                    previous = outcomes[-1].text if outcomes else ""
                    separator = separators.before(len(outcomes), previous, outcome.text)
                    segment = segment_result(outcome, end + len(separator), reading.document)
                    outcomes.append(outcome)
                    end = segment.target.end
                    yield TranslatedSegment(separator, segment)
            with self._metrics.stage(Stage.REBUILD):
                text = await asyncio.to_thread(assemble, reading, outcomes, direction, model.name)
            if text.finish_reason is FinishReason.DEADLINE:
                self._metrics.text_is_partial()
            yield text

    async def _outcomes(
        self, reading: Reading, settings: TranslationSettings, model: ServedModel, direction: Direction
    ) -> AsyncGenerator[Outcome, None]:
        """What becomes of every segment, in order. At most ``MOST_IN_FLIGHT`` are worked on at a time."""
        document = reading.document
        passed = await asyncio.to_thread(PassedParts, document, direction, self._reader.language_of)
        markdown = document.mime_type is MimeType.MARKDOWN
        planner = await asyncio.to_thread(Planner, model, direction, settings.options, markdown=markdown)
        with Flight(model.generator, settings.options, self._metrics) as flight:
            attempts = Attempts(model, direction, planner, flight, decode=settings.decode, options=settings.options)

            def begin(segments: Sequence[Segment]) -> list[Begun]:
                return attempts.begin([passed.plan(segment) or planner.plan(segment) for segment in segments])

            working: deque[asyncio.Task[Outcome]] = deque()
            try:
                started = 0
                while working or started < len(document.segments):
                    if started < len(document.segments) and len(working) <= MOST_IN_FLIGHT - BATCH_SEGMENTS:
                        batch = document.segments[started : started + BATCH_SEGMENTS]
                        working.extend(map(_start, map(attempts.outcome, await asyncio.to_thread(begin, batch))))
                        started += len(batch)
                    else:
                        yield await working.popleft()
            finally:
                for task in working:
                    task.cancel()
                await asyncio.gather(*working, return_exceptions=True)

    def direction(self, reading: Reading, settings: TranslationSettings) -> Direction:
        """The two languages; raises ``UnsupportedLanguageError`` where they are the same one."""
        target = get_language(settings.target_language_code, field=TARGET_FIELD).code
        source = reading.language.language_code
        if source == target:
            raise UnsupportedLanguageError(TARGET_FIELD, f"the document is in {source} already")
        return Direction(source, target)


def _start(work: Coroutine[Any, Any, Outcome]) -> asyncio.Task[Outcome]:
    return asyncio.create_task(work, name="segment")
