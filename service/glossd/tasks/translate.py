"""The translator: a document's segments all in flight at once, gathered in order, checked and put back in place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass, field

from glossd.errors import DeadlineError, OverloadedError, UnsupportedLanguageError
from glossd.languages import get_language
from glossd.tasks.finish import Outcome, better, finish, needs_repair, partial, passed_through
from glossd.tasks.flight import Flight
from glossd.tasks.hub import Hub
from glossd.tasks.params import bound_by_source, check_decode_options, repair_params, resolve_params
from glossd.tasks.plan import Direction, SegmentPlan, plan_segments
from glossd.tasks.reading import Reader, Reading
from glossd.tasks.result import Separators, assemble, segment_result
from glossd.tasks.served import ModelTask, ServedModel
from glossd.telemetry.metrics import Metrics, Stage
from glossd.types import (
    DecodeOptions,
    Generation,
    GenerationParams,
    RequestOptions,
    SegmentResult,
    TextResult,
    TranslateTask,
)

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


_Sequence = tuple[Future[Generation], GenerationParams]


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
        with self._hub.lease(
            ModelTask.TRANSLATION, source=direction.source, target=direction.target, name=settings.model
        ) as model:
            check_decode_options(settings.decode, model)
            run = _Run(model, direction, settings)
            outcomes: list[Outcome] = []
            separators = await asyncio.to_thread(Separators, reading.document, direction.target)
            end = 0
            with Flight(model.generator, settings.options, self._metrics) as flight:
                plans, submitted = await asyncio.to_thread(run.submit, reading, flight)
                for plan, sequences in zip(plans, submitted, strict=True):
                    outcome = await run.outcome(plan, sequences, flight)
                    previous = outcomes[-1].text if outcomes else ""
                    separator = separators.before(len(outcomes), previous, outcome.text)
                    segment = segment_result(outcome, end + len(separator))
                    outcomes.append(outcome)
                    end = segment.target.end
                    yield TranslatedSegment(separator, segment)
            with self._metrics.stage(Stage.REBUILD):
                text = await asyncio.to_thread(assemble, reading, outcomes, direction, model.name)
            yield text

    def direction(self, reading: Reading, settings: TranslationSettings) -> Direction:
        """The two languages; raises ``UnsupportedLanguageError`` where they are the same one."""
        target = get_language(settings.target_language_code, field=TARGET_FIELD).code
        source = reading.language.language_code
        if source == target:
            raise UnsupportedLanguageError(TARGET_FIELD, f"the document is in {source} already")
        return Direction(source, target)


class _Run:
    """One document on its way through one model."""

    def __init__(self, model: ServedModel, direction: Direction, settings: TranslationSettings) -> None:
        self._model = model
        self._direction = direction
        self._settings = settings
        self._params = resolve_params(settings.decode, model, target=direction.target)

    def submit(self, reading: Reading, flight: Flight) -> tuple[tuple[SegmentPlan, ...], list[list[_Sequence]]]:
        """Plan all segments and put them all in flight. Computes: call it in a thread."""
        plans = plan_segments(reading.document, self._model, self._direction)
        return plans, [self._put(plan, flight, self._params) for plan in plans]

    def _put(self, plan: SegmentPlan, flight: Flight, params: GenerationParams) -> list[_Sequence]:
        sequences: list[_Sequence] = []
        for piece in plan.pieces:
            bounded = params
            if self._settings.decode.max_new_tokens is None:
                bounded = bound_by_source(params, source_tokens=len(piece.ids))
            sequences.append((flight.submit(piece.ids, bounded), bounded))
        return sequences

    async def outcome(self, plan: SegmentPlan, sequences: Sequence[_Sequence], flight: Flight) -> Outcome:
        """Wait for a segment; decode it once more with other settings where its checks ask for that."""
        if not plan.pieces:
            return passed_through(plan)
        try:
            first = await self._finished(plan, sequences, flight)
        except DeadlineError:
            if not self._settings.options.allow_partial:
                raise
            return partial(plan)
        params = repair_params(self._params, self._settings.decode)
        if params is None or not needs_repair(first):
            return first
        try:
            again = await asyncio.to_thread(self._put, plan, flight, params)
            return better(first, await self._finished(plan, again, flight))
        except (DeadlineError, OverloadedError):
            return first

    async def _finished(self, plan: SegmentPlan, sequences: Sequence[_Sequence], flight: Flight) -> Outcome:
        generations = [await flight.result(future) for future, _ in sequences]
        return await asyncio.to_thread(finish, plan, generations, self._model, self._direction, self._settings.options)
