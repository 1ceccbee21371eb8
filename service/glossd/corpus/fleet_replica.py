"""One server of a fleet: a stream of bulk digests, fed while the server is healthy and opened again when lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from glossd.client import AsyncClient, CallSettings, Connection
from glossd.corpus.fleet_addresses import Address
from glossd.corpus.fleet_work import MOST_LOSSES, Intake, Work, WorkQueue
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Failure, Outcome, Row
from glossd.corpus.rows import failure_of, row_of
from glossd.digests import DigestResult
from glossd.errors import InvalidInputError, RemoteError
from glossd.types import DocumentInput, ModelDescription, Priority, RequestOptions
from glossd.wire.requests import document_to_message

SERVICE = "glossd.v1.ArticleService"
SERVING = "SERVING"
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
ANSWER_SECONDS = 10.0

# Codes of a stream and reasons of a record that trying again, here or elsewhere, cannot mend.
FATAL_CODES = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"})
FATAL_REASONS = frozenset({"MODEL_NOT_FOUND", "MODEL_NOT_LOADED", "MODEL_FILES"})
LOST_CODES = frozenset({"UNAVAILABLE", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class Reports:
    """Whom a replica tells: of an outcome, of the models it has, that it began or ceased to serve, of what the whole
    run ends by. ``models`` raises where they are not those of the others.
    """

    outcome: Callable[[Outcome], None]
    models: Callable[[str, tuple[ModelDescription, ...]], None]
    serving: Callable[[str, bool], None]
    failure: Callable[[Exception], None]


class Replica:
    """One server. ``watch`` and ``feed`` run until they are cancelled; the owner runs both, and closes."""

    def __init__(
        self, address: Address, recipe: Recipe, *, connection: Connection, window: int, queue: WorkQueue, to: Reports
    ) -> None:
        own = replace(connection, server_name=address.name) if connection.tls else connection
        self.address = address
        self.serving = False
        self.last_error: RemoteError | None = None
        self._client = AsyncClient(address.target, connection=own)
        self._recipe = recipe
        self._window = window
        self._queue = queue
        self._to = to
        self._intake: Intake | None = None
        self._is_serving = asyncio.Event()
        self._is_met = False
        self._failures = 0

    async def close(self) -> None:
        """Ends the connection."""
        await self._client.close()

    async def meet(self) -> None:
        """Ask what it serves, and tell."""
        self._to.models(self.address.target, await self._client.models(timeout_seconds=ANSWER_SECONDS))
        self._is_met = True

    async def watch(self) -> None:
        """Follows its health: what is not SERVING, because it loads or drains, is not fed."""
        while True:
            try:
                async with aclosing(self._client.watch_health(SERVICE)) as states:
                    async for state in states:
                        if state == SERVING and not self._is_met:
                            await self.meet()
                        self._set_serving(state == SERVING)
                error = RemoteError("UNAVAILABLE", "the server ended the watch of its health")
            except RemoteError as raised:
                error = raised
            self._set_serving(False)
            await self._pause_after(error)

    async def feed(self) -> None:
        """Sends it work whenever it serves."""
        while True:
            await self._is_serving.wait()
            intake = Intake(self.address.target, self._window)
            error = RemoteError("UNAVAILABLE", "the server ended the stream")
            try:
                await self._stream(intake)
                if not intake.open and not intake.at_work:  # as it was meant to end
                    continue
            except RemoteError as raised:
                error = raised
            finally:
                self._end(intake, error)
            await self._pause_after(error)

    async def _stream(self, intake: Intake) -> None:
        """One stream, from its opening until the server ends it or the intake is closed and all is answered."""
        self._intake = intake
        self._queue.open(intake)
        recipe = self._recipe
        settings = CallSettings(
            summary_model=recipe.summary_model,
            translation_model=recipe.translation_model,
            decode=recipe.decode,
            options=RequestOptions(priority=Priority.BULK),
        )
        answers = self._client.bulk_digest(
            self._questions(intake),
            to=recipe.target_language_code,
            summary=recipe.summary_options,
            body=recipe.translated_body,
            settings=settings,
        )
        async with aclosing(answers):
            async for key, answer in answers:
                self._failures = 0
                work = intake.at_work.pop(key, None)
                if work is not None:
                    self._take_answer(intake, work, answer)
                self._queue.wake()

    async def _questions(self, intake: Intake) -> AsyncGenerator[tuple[str, DocumentInput], None]:
        while (work := await self._queue.take(intake)) is not None:
            key = str(work.record.position)
            try:
                document_to_message(work.record.document)
            except InvalidInputError as error:  # would end the stream, and all that is on it
                del intake.at_work[key]
                self._report(work, failure_of(error))
                continue
            yield key, work.record.document

    def _take_answer(self, intake: Intake, work: Work, answer: DigestResult | RemoteError) -> None:
        if isinstance(answer, DigestResult):
            self._report(work, row_of(work.record, self._priced(answer), self._recipe))
        elif answer.remote_reason in FATAL_REASONS:
            self._to.failure(answer)
        elif answer.code == "RESOURCE_EXHAUSTED" and answer.retry_after_seconds is not None:
            self._rest(intake, answer.retry_after_seconds)
            work.last = intake.name
            self._queue.put_back(work)
        elif answer.code in LOST_CODES:
            self._lose(intake, work, answer)
        else:
            self._report(work, failure_of(answer))

    def _priced(self, digest: DigestResult) -> DigestResult:
        """A digest whose usage is that of the texts that are asked for, as an engine that makes only those has it."""
        if self._recipe.translated_summary:
            return digest
        from glossd.tasks.result import total_usage

        texts = [digest.summary] if self._recipe.summary else []
        texts += [digest.translated_body] if self._recipe.translated_body else []
        return replace(digest, usage=total_usage(text.usage for text in texts))

    def _rest(self, intake: Intake, seconds: float) -> None:
        """Send nothing more for a little longer than the server asked, so that callers do not all return at once."""

        def wake() -> None:
            intake.resting = False
            self._queue.wake()

        if not intake.resting:
            intake.resting = True
            asyncio.get_running_loop().call_later(seconds * random.uniform(1.0, 1.5), wake)

    def _lose(self, intake: Intake, work: Work, error: RemoteError) -> None:
        """Hand a record that was not answered to another replica, a few times at most."""
        work.losses += 1
        work.last = intake.name
        if work.losses < MOST_LOSSES:
            self._queue.put_back(work)
        else:
            message = f"given up after {work.losses} replicas were lost with it; the last said {error.code}"
            self._report(work, Failure("REPLICA_LOST", message))

    def _end(self, intake: Intake, error: RemoteError) -> None:
        self._queue.close(intake)
        self._intake = None
        lost = list(intake.at_work.values())
        intake.at_work.clear()
        for work in reversed(lost):
            self._lose(intake, work, error)

    def _report(self, work: Work, result: Row | Failure) -> None:
        self._to.outcome(Outcome(work.record.position, result))

    def _set_serving(self, serving: bool) -> None:
        if serving != self.serving:
            self.serving = serving
            self._to.serving(self.address.target, serving)
        if serving:
            self._failures = 0
            self._is_serving.set()
        else:
            self._is_serving.clear()
            if self._intake is not None:
                self._queue.close(self._intake)

    async def _pause_after(self, error: RemoteError) -> None:
        self.last_error = error
        if error.code in FATAL_CODES:
            self._to.failure(error)
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._failures)
        self._failures += 1
        await asyncio.sleep((error.retry_after_seconds or longest) * random.uniform(1.0, 1.5))
