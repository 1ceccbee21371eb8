"""Where a command's work is done: by models loaded in this process, or by a server at an endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from glossd.cli.options import read_settings
from glossd.cli.reach import ConnectionFlags, client_at
from glossd.config import ClientSettings
from glossd.digests import DigestResult, DigestTask
from glossd.tasks.served import ModelTask
from glossd.types import SummarizeTask, TextResult, TranslateTask

if TYPE_CHECKING:
    from glossd.client import CallSettings
    from glossd.tasks.api import Services

Result = TypeVar("Result")
Task = TypeVar("Task", DigestTask, SummarizeTask, TranslateTask)


@dataclass(frozen=True, slots=True)
class Place:
    """What the options say about where to work. Models are names for a server, hub ids or directories here."""

    endpoint: str | None
    model: str | None
    summary_model: str | None
    config: Path | None
    assignments: tuple[str, ...]
    timeout_seconds: float | None
    connection: ConnectionFlags = field(default_factory=ConnectionFlags)

    @property
    def remote_model(self) -> str:
        """The translation model to name in the request: here the settings name it instead."""
        return (self.model or "") if self.endpoint else ""

    @property
    def remote_summary_model(self) -> str:
        """The same for the summarization model."""
        return (self.summary_model or "") if self.endpoint else ""


class Work:
    """Does one task. Raises ``GlossdError``, from a server as ``RemoteError``.

    ``seconds`` is then how long the task itself took, without loading models or connecting.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.seconds = 0.0

    def digest(self, task: DigestTask) -> DigestResult:
        """Summary, translated summary and translated body."""
        if self._place.endpoint is None:
            return self._here(lambda services: services.digester.digest(self._timed(task)), *ModelTask)
        with client_at(self._place.endpoint, self._client_settings()) as client, self._timing():
            return client.digest(
                task.document,
                to=task.target_language_code,
                summary=task.summary,
                body=task.translate_body,
                settings=self._call_settings(task),
            )

    def summarize(self, task: SummarizeTask) -> TextResult:
        """The summary."""
        if self._place.endpoint is None:
            return self._here(
                lambda services: services.summarizer.summarize(self._timed(task)), ModelTask.SUMMARIZATION
            )
        with client_at(self._place.endpoint, self._client_settings()) as client, self._timing():
            return client.summarize(task.document, summary=task.summary, settings=self._call_settings(task))

    def translate(self, task: TranslateTask) -> TextResult:
        """The translation."""
        if self._place.endpoint is None:
            return self._here(lambda services: services.translator.translate(self._timed(task)), ModelTask.TRANSLATION)
        with client_at(self._place.endpoint, self._client_settings()) as client, self._timing():
            return client.translate(task.document, to=task.target_language_code, settings=self._call_settings(task))

    def _client_settings(self) -> ClientSettings:
        return self._place.connection.settings(self._place.config, list(self._place.assignments))

    def _here(self, work: Callable[[Services], Awaitable[Result]], *needed: ModelTask) -> Result:
        from glossd.tasks.api import build_services
        from glossd.telemetry.logging import configure_logging

        settings = read_settings(
            self._place.config,
            list(self._place.assignments),
            models__translation=self._place.model,
            models__summarization=self._place.summary_model,
        ).settings
        logging_settings = settings.logging
        if "level" not in logging_settings.model_fields_set:
            logging_settings = logging_settings.model_copy(update={"level": "warning", "format": "text"})
        configure_logging(logging_settings)

        async def run() -> Result:
            services = build_services(settings)
            try:
                await services.start(*needed)
                with self._timing():
                    return await work(services)
            finally:
                await services.close()

        return asyncio.run(run())

    @contextmanager
    def _timing(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds = time.perf_counter() - start

    def _timed(self, task: Task) -> Task:
        """The task with the deadline that ``--timeout`` gives it."""
        seconds = self._place.timeout_seconds
        if seconds is None:
            return task
        options = replace(task.options, deadline_ns=time.monotonic_ns() + int(seconds * 1e9))
        return replace(task, options=options)

    def _call_settings(self, task: DigestTask | SummarizeTask | TranslateTask) -> CallSettings:
        from glossd.client import CallSettings

        names = (
            {"summary_model": task.summary_model, "translation_model": task.translation_model}
            if isinstance(task, DigestTask)
            else {"model": task.model}
        )
        return CallSettings(
            **names, decode=task.decode, options=task.options, timeout_seconds=self._place.timeout_seconds
        )
