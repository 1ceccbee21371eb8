"""A real server for tests: over toy services that can hold, fail and be looked at, or over the real tasks layer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from glossd.config import ServerSettings
from glossd.digests import DigestEvent, DigestResult, DigestTask, SegmentEvent, TextEvent, Track
from glossd.server.app import Server
from glossd.tasks.hub import Hub
from glossd.telemetry.metrics import Metrics
from glossd.types import (
    DetectedLanguage,
    FinishReason,
    SegmentResult,
    Span,
    SummarizeTask,
    TextResult,
    TranslateTask,
    Usage,
)

from tests.toys import ToyGenerator, toy_hub, toy_model

ENGLISH = DetectedLanguage("en", 0.99)


@dataclass
class Work:
    """What happens inside every task: it is noted, may be held until ``release``, may fail."""

    tasks: list[Any] = field(default_factory=list)
    hold: bool = False
    failure: BaseException | None = None
    at_work: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, task: Any) -> None:
        self.tasks.append(task)
        self.at_work += 1
        self.started.set()
        try:
            if self.hold:
                await self.release.wait()
            if self.failure is not None:
                raise self.failure
        finally:
            self.at_work -= 1
            if not self.at_work:
                self.stopped.set()


def text_result(text: str, language: str = "zh-Hans") -> TextResult:
    span = Span(0, len(text))
    segment = SegmentResult(text, span, span, -0.5, FinishReason.COMPLETE)
    return TextResult(text, language, "toy", FinishReason.COMPLETE, (segment,), usage=Usage(segments=1))


@dataclass
class ToyServices:
    """Shouts instead of translating, and takes the first word for a summary. Its detector knows English only."""

    work: Work = field(default_factory=Work)
    hub: Hub = field(default_factory=toy_hub)

    @property
    def translator(self) -> ToyServices:
        return self

    summarizer = digester = detector = translator

    async def translate(self, task: TranslateTask) -> TextResult:
        await self.work.run(task)
        return text_result(task.document.text.upper(), task.target_language_code)

    async def summarize(self, task: SummarizeTask) -> TextResult:
        await self.work.run(task)
        return text_result(task.document.text.split()[0], "en")

    async def digest(self, task: DigestTask) -> DigestResult:
        await self.work.run(task)
        return self.made(task)

    def made(self, task: DigestTask) -> DigestResult:
        summary = text_result(task.document.text.split()[0], "en")
        shouted = text_result(summary.text.upper())
        body = text_result(task.document.text.upper() if task.translate_body else "")
        return DigestResult(ENGLISH, "A title", "A date", summary, shouted, body, (), Usage(segments=3))

    async def stream(self, task: DigestTask) -> AsyncIterator[DigestEvent]:
        digest = self.made(task)
        if not self.work.hold:
            await self.work.run(task)
        yield digest.source_language
        if self.work.hold:
            await self.work.run(task)
        yield TextEvent(Track.SUMMARY, digest.summary)
        yield SegmentEvent(Track.TRANSLATED_BODY, 0, "", digest.translated_body.segments[0])
        yield digest

    def detect(self, text: str) -> DetectedLanguage:
        return ENGLISH


@dataclass
class Serving:
    """A server that runs."""

    server: Server
    endpoint: str
    services: Any
    metrics: Metrics

    @property
    def work(self) -> Work:
        work = self.services.work
        assert isinstance(work, Work)
        return work


@asynccontextmanager
async def serving(services: Any = None, **settings: Any) -> AsyncIterator[Serving]:
    """Serves toy services, or those given, on a free port; drains at the end."""
    metrics = Metrics()
    chosen = ServerSettings(port=0, **({"drain_seconds": 0.0} | settings))
    services = services if services is not None else ToyServices()
    server = Server(services, chosen, metrics=metrics)
    port = await server.start()
    server.health.open()
    try:
        yield Serving(server, f"127.0.0.1:{port}", services, metrics)
    finally:
        await server.drain()


def dying_hub() -> tuple[Hub, ToyGenerator]:
    """A hub with one model, and the generator that can be made to die."""
    generator = ToyGenerator()
    return toy_hub(toy_model(generator=generator)), generator
