"""The sequences that one document has in the engine: submit from any thread, await in order, cancel all on leaving."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import TypeVar

from glossd.engine.generator import Generator
from glossd.errors import DeadlineError
from glossd.telemetry.calls import Tally, current_call
from glossd.telemetry.metrics import Metrics, Stage
from glossd.types import Alignment, Generation, GenerationParams, GenerationRequest, RequestOptions

_Answer = TypeVar("_Answer", Generation, Alignment)


class Flight:
    """A context manager: whatever is not done when it is left is cancelled, also when its caller is cancelled."""

    def __init__(self, generator: Generator, options: RequestOptions, metrics: Metrics) -> None:
        self._generator = generator
        self._metrics = metrics
        self._options = options
        self._lock = threading.Lock()
        self._futures: set[Future[Generation]] = set()
        self._closed = False
        self._tally = Tally()

    def __enter__(self) -> Flight:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closed = True
            unfinished = tuple(self._futures)
        for future in unfinished:
            future.cancel()
        current_call().add(self._tally)

    def submit(self, source_ids: tuple[int, ...], params: GenerationParams) -> Future[Generation]:
        """Queue one sequence; a future that is cancelled already when the flight has been left."""
        request = GenerationRequest(
            source_ids=source_ids,
            params=params,
            priority=self._options.priority,
            fairness_key=self._options.fairness_key,
            deadline_ns=self._options.deadline_ns,
            caller=self._options.caller,
        )
        future: Future[Generation] = Future() if self._closed else self._generator.submit(request)
        with self._lock:  # never while submitting: the generator's thread wants it when it answers
            self._futures.add(future)
            closed = self._closed
        if closed:
            future.cancel()
            return future
        self._tally.sent()
        future.add_done_callback(lambda done: self._land(len(source_ids), done))
        return future

    def _land(self, source_tokens: int, future: Future[Generation]) -> None:
        """A long article must not hold on to all that it ever asked for; what it used is noted."""
        with self._lock:
            self._futures.discard(future)
        if future.cancelled() or future.exception() is not None:
            return
        generation = future.result()
        first_seconds = self._tally.landed(source_tokens, generation)
        if first_seconds is not None:
            self._metrics.first_segment_done(first_seconds)
        if not generation.cached:
            self._metrics.stage_done(Stage.QUEUE, generation.queue_ns / 1e9)
            self._metrics.stage_done(Stage.ENCODE, generation.encode_ns / 1e9)
            self._metrics.stage_done(Stage.DECODE, (generation.compute_ns - generation.encode_ns) / 1e9)

    async def result(self, future: Future[Generation]) -> Generation:
        """What a sequence became. Raises ``DeadlineError`` at the deadline, or what the engine raised."""
        return future.result() if future.done() else await self._awaited(future)

    async def alignment(self, future: Future[Alignment]) -> Alignment:
        """Where a model looked. Raises as :meth:`result`."""
        return await self._awaited(future)

    async def _awaited(self, future: Future[_Answer]) -> _Answer:
        try:
            async with deadline(self._options):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise DeadlineError("the deadline passed before the text was done") from error


def deadline(options: RequestOptions) -> asyncio.Timeout:
    """A timeout at the caller's deadline; none where the caller has none."""
    if options.deadline_ns is None:
        return asyncio.timeout(None)
    # The event loop's clock is time.monotonic, as deadlines are.
    return asyncio.timeout_at(options.deadline_ns / 1e9)
