"""The batching core: one named thread that admits, decodes and answers. Thread-safe at its edge, one thread inside."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

import torch

from glossd.decoding.search import Hypothesis
from glossd.engine.intake import Intake
from glossd.engine.runner import Finished, Runner
from glossd.engine.scheduler import Scheduler
from glossd.engine.sequence import Sequence
from glossd.engine.statistics import EngineStatistics
from glossd.engine.waiting import WaitingQueue
from glossd.errors import DeadlineError, DrainingError, EngineDeadError, InvalidInputError
from glossd.models.base import ModelInfo, Seq2SeqModel
from glossd.types import Generation, GenerationParams, GenerationRequest, Priority


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What an engine may hold at once: decoder rows, sources, padded source tokens an encoder run, queued tokens,
    recent results, the age at which bulk work gets ``bulk_share`` of the tokens beside interactive work, the share of
    rows and queue that is kept for interactive work, and compute threads (0: leave as they are).

    ``workers`` is how many such engines a pool runs (0: as many as there are cores on a CPU, else one).
    """

    rows: int = 64
    sources: int = 64
    batch_tokens: int = 4096
    queue_tokens: int = 2_000_000
    cache_entries: int = 2048
    ageing_seconds: float = 2.0
    bulk_share: float = 0.2
    interactive_share: float = 0.125
    threads: int = 0
    workers: int = 0


_SWEEP_NS = 50_000_000
_Key = tuple[tuple[int, ...], GenerationParams]


class Engine:
    """A :class:`glossd.engine.generator.Generator` over one model. The thread starts with the object."""

    def __init__(
        self,
        model: Seq2SeqModel,
        *,
        limits: EngineLimits | None = None,
        name: str = "model",
        device: torch.device | None = None,
        on_death: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._limits = limits or EngineLimits()
        self._info: ModelInfo = model.info
        self._on_death = on_death
        share = self._limits.interactive_share
        self._waiting = WaitingQueue(
            ageing_ns=int(self._limits.ageing_seconds * 1e9), bulk_share=self._limits.bulk_share
        )
        self._scheduler = Scheduler(
            self._waiting, rows=self._limits.rows, batch_tokens=self._limits.batch_tokens, interactive_share=share
        )
        self._intake = Intake(queue_tokens=self._limits.queue_tokens, interactive_share=share)
        self._runner = Runner(
            model, rows=self._limits.rows, sources=self._limits.sources, device=device or torch.device("cpu")
        )
        self._lock = threading.Condition()
        self._inbox: list[Sequence] = []
        self._inbox_tokens = 0
        self._unanswered: set[Sequence] = set()
        self._in_flight: dict[_Key, Sequence] = {}
        self._recent: OrderedDict[_Key, Generation] = OrderedDict()
        self._closing = False
        self._death: BaseException | None = None
        self._cancelled = self._expired = self._shared = self._cached = 0
        self._beat_ns = self._sweep_due_ns = time.monotonic_ns()
        self._thread = threading.Thread(target=self._run, name=f"glossd-engine-{name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the engine thread still works."""
        return self._death is None and self._thread.is_alive()

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        """See :class:`glossd.engine.generator.Generator`."""
        self._check(request)
        key = (request.source_ids, request.params)
        waiter: Future[Generation] = Future()
        with self._lock:
            self._refuse_if_stopped()
            recent = self._recent.get(key)
            if recent is not None:
                self._recent.move_to_end(key)
                self._cached += 1
                waiter.set_result(replace(recent, queue_ns=0, compute_ns=0, cached=True))
                return waiter
            if self._join_twin(key, request, waiter):
                return waiter
            self._intake.check(request, queued=self._waiting.tokens + self._inbox_tokens)
            sequence = Sequence(request, time.monotonic_ns(), [waiter])
            self._in_flight[key] = sequence
            self._unanswered.add(sequence)
            self._inbox.append(sequence)
            self._inbox_tokens += sequence.length
            self._lock.notify()
        return waiter

    def close(self) -> None:
        """Finish what is queued, then stop the thread. Idempotent."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def statistics(self) -> EngineStatistics:
        """A moment's view; cheap, from any thread."""
        return EngineStatistics(
            waiting=len(self._waiting) + len(self._inbox),
            waiting_tokens=self._waiting.tokens + self._inbox_tokens,
            live_sequences=len(self._runner.live),
            live_rows=self._runner.live_rows,
            rows=self._limits.rows,
            cancelled=self._cancelled,
            expired=self._expired,
            shared=self._shared,
            cached=self._cached,
            cache_bytes=self._runner.cache_bytes,
            beat_ns=self._beat_ns,
            counters=replace(self._runner.counters),
        )

    def _check(self, request: GenerationRequest) -> None:
        """Refuse what the model or this engine can never run."""
        info, length, params = self._info, len(request.source_ids), request.params
        if length == 0:
            raise InvalidInputError("source_ids", "no source tokens")
        if info.window and length > info.window:
            raise InvalidInputError("source_ids", f"{length:,} tokens; the window is {info.window:,}")
        if params.num_beams > self._limits.rows:
            raise InvalidInputError("num_beams", f"{params.num_beams}; the engine has {self._limits.rows} rows")
        if params.max_new_tokens < 1 or (info.max_target and params.max_new_tokens > info.max_target):
            limit = info.max_target or "not fixed"
            raise InvalidInputError("max_new_tokens", f"{params.max_new_tokens:,}; the model's limit is {limit}")

    def _refuse_if_stopped(self) -> None:
        if self._death is not None:
            raise EngineDeadError("the engine thread has died") from self._death
        if self._closing:
            raise DrainingError("the engine is closing")

    def _join_twin(self, key: _Key, request: GenerationRequest, waiter: Future[Generation]) -> bool:
        """Wait on an identical sequence in flight, if its urgency covers this request's."""
        twin = self._in_flight.get(key)
        if twin is None or twin.is_cancelled() or twin.request.deadline_ns != request.deadline_ns:
            return False
        if twin.request.priority is Priority.BULK and request.priority is Priority.INTERACTIVE:
            return False
        twin.waiters.append(waiter)
        self._shared += 1
        return True

    def _run(self) -> None:
        """The thread: step until closed and empty; on any error every waiting call fails with it."""
        if self._limits.threads:
            torch.set_num_threads(self._limits.threads)
        try:
            while self._step():
                self._beat_ns = time.monotonic_ns()
        except BaseException as error:
            self._die(error)
            if self._on_death is not None:
                self._on_death(error)

    def _step(self) -> bool:
        """One turn of the loop; false when closed and nothing is left."""
        if not self._receive():
            return False
        now_ns = time.monotonic_ns()
        self._discard(now_ns)
        runner = self._runner
        step = self._scheduler.next(
            free_rows=runner.free_rows,
            free_sources=runner.free_sources,
            live=len(runner.live),
            now_ns=now_ns,
            bulk_rows=sum(entry.beams for entry in runner.live if entry.request.priority is Priority.BULK),
        )
        self._intake.taken(sum(entry.length for batch in step.admit for entry in batch), now_ns)
        for batch in step.admit:
            wanted = self._still_wanted(batch, now_ns)
            if wanted:
                runner.admit(wanted)
        if runner.live:
            for finished in runner.step():
                self._answer(finished)
        return True

    def _receive(self) -> bool:
        """Move the inbox to the queue; sleep while there is nothing to do."""
        with self._lock:
            while not (self._inbox or len(self._waiting) or self._runner.live):
                if self._closing:
                    return False
                self._lock.wait()
            for sequence in self._inbox:
                self._waiting.put(sequence)
            self._inbox.clear()
            self._inbox_tokens = 0
        return True

    def _discard(self, now_ns: int) -> None:
        """Take out what is cancelled or too late: from the batch at every step, from the whole queue now and then.

        A sweep costs what the queue is long, so the next one waits fifty times as long as the last one took.
        """
        with self._lock:
            gone = [sequence for sequence in self._runner.live if sequence.is_unwanted(now_ns)]
            if now_ns >= self._sweep_due_ns:
                self._bury(self._waiting.remove(lambda sequence: sequence.is_unwanted(now_ns)))
                ended_ns = time.monotonic_ns()
                self._sweep_due_ns = ended_ns + max(_SWEEP_NS, 50 * (ended_ns - now_ns))
            if gone:
                self._runner.drop(gone)
                self._bury(gone)

    def _still_wanted(self, admit: tuple[Sequence, ...], now_ns: int) -> list[Sequence]:
        """What of a chosen batch is still asked for; expired work never reaches the model."""
        wanted = [sequence for sequence in admit if not sequence.is_unwanted(now_ns)]
        if len(wanted) < len(admit):
            with self._lock:
                self._bury([sequence for sequence in admit if sequence.is_unwanted(now_ns)])
        for sequence in wanted:
            sequence.admitted_ns = now_ns
        return wanted

    def _bury(self, gone: list[Sequence]) -> None:
        """Forget sequences that nobody wants, and tell those who waited too long. Called with the lock held."""
        for sequence in gone:
            self._forget(sequence)
            if sequence.is_cancelled():
                self._cancelled += 1
            else:
                self._expired += 1
                sequence.fail(DeadlineError("the deadline passed before the segment was decoded"))

    def _answer(self, finished: Finished) -> None:
        sequence, outcome = finished.sequence, finished.outcome
        with self._lock:
            self._forget(sequence)
            if isinstance(outcome, Hypothesis):
                generation = self._generation(sequence, outcome)
                self._remember(sequence, generation)
        if isinstance(outcome, Hypothesis):
            sequence.resolve(generation)
        else:
            sequence.fail(outcome)

    def _generation(self, sequence: Sequence, hypothesis: Hypothesis) -> Generation:
        return Generation(
            token_ids=hypothesis.token_ids,
            score=hypothesis.score,
            finish_reason=hypothesis.finish_reason,
            queue_ns=sequence.admitted_ns - sequence.arrival_ns,
            compute_ns=time.monotonic_ns() - sequence.admitted_ns,
        )

    def _remember(self, sequence: Sequence, generation: Generation) -> None:
        if self._limits.cache_entries:
            self._recent[(sequence.request.source_ids, sequence.request.params)] = generation
            if len(self._recent) > self._limits.cache_entries:
                self._recent.popitem(last=False)

    def _forget(self, sequence: Sequence) -> None:
        self._unanswered.discard(sequence)
        key = (sequence.request.source_ids, sequence.request.params)
        if self._in_flight.get(key) is sequence:
            del self._in_flight[key]

    def _die(self, error: BaseException) -> None:
        """Fail everybody who waits; nothing is accepted from here on."""
        with self._lock:
            self._death = error
            waiting = list(self._unanswered)
            self._unanswered.clear()
            self._inbox.clear()
            self._in_flight.clear()
        for sequence in waiting:
            dead = EngineDeadError("the engine thread has died")
            dead.__cause__ = error
            sequence.fail(dead)
