"""The batching core: one named thread that admits, decodes and answers. Thread-safe at its edge, one thread inside."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from itertools import chain

import torch

from glossd.decoding.search import Hypothesis
from glossd.engine.alignment import AlignmentQueue
from glossd.engine.answers import Key, Recent, generation_of
from glossd.engine.intake import Intake
from glossd.engine.limits import EngineLimits as EngineLimits
from glossd.engine.recovery import Recovery, frames_of, is_fatal
from glossd.engine.runner import Finished, Runner
from glossd.engine.scheduler import Scheduler, bucket
from glossd.engine.sequence import Sequence, tell_late
from glossd.engine.statistics import EngineStatistics
from glossd.engine.waiting import WaitingQueue
from glossd.engine.withdrawals import Withdrawals
from glossd.errors import DrainingError, EngineDeadError
from glossd.models.base import ModelInfo, Seq2SeqModel
from glossd.types import Generation, GenerationRequest, Priority

_log = logging.getLogger(__name__)

IDLE_BEAT_SECONDS = 1.0
_JOIN_SECONDS = 0.5


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
        self._limits = limits = limits or EngineLimits()
        self._info: ModelInfo = model.info
        self._on_death, share = on_death, limits.interactive_share
        self._waiting = WaitingQueue(ageing_ns=int(limits.ageing_seconds * 1e9), bulk_share=limits.bulk_share)
        self._scheduler = Scheduler(
            self._waiting, rows=limits.rows, batch_tokens=limits.batch_tokens, interactive_share=share
        )
        self._intake = Intake(queue_tokens=limits.queue_tokens, interactive_share=share)
        self._model = model
        self._device = device or torch.device("cpu")
        self._runner = self._new_runner()
        self._recovery = Recovery(self._limits.rows)
        self._admitted: dict[Sequence, None] = {}
        self._lock = threading.Condition()
        self.alignments = AlignmentQueue(model, self._device, self._lock, self._refuse_if_stopped)
        self._inbox: list[Sequence] = []
        self._unanswered: set[Sequence] = set()
        self._withdrawals = Withdrawals()
        self._in_flight: dict[Key, Sequence] = {}
        self._recent = Recent(self._limits.cache_entries)
        self._closing = False
        self._death: BaseException | None = None
        self._inbox_tokens = self._cancelled = self._expired = self._expired_unstarted = self._shared = self._cached = 0
        self.beats = self.expected_ns = 0
        self.first_answered: GenerationRequest | None = None
        self._beat_ns = time.monotonic_ns()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"glossd-engine-{name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the engine thread still works."""
        return self._death is None and self._thread.is_alive()

    @property
    def failing(self) -> bool:
        """Whether one sequence after the other failed and none was answered; the next answer ends it."""
        return self._recovery.failing

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        """See :class:`glossd.engine.generator.Generator`."""
        self._limits.check(request, self._info)
        key = (request.source_ids, request.params)
        waiter: Future[Generation] = Future()
        with self._lock:
            self._refuse_if_stopped()
            recent = self._recent.get(key)
            if recent is not None:
                self._cached += 1
                waiter.set_result(replace(recent, queue_ns=0, compute_ns=0, encode_ns=0, cached=True))
                return waiter
            if self._join_twin(key, request, waiter):
                return waiter
            self._intake.check(request, queued=self._waiting.tokens + self._inbox_tokens)
            sequence = Sequence(request, time.monotonic_ns(), [waiter])
            self._in_flight[key] = sequence
            self._unanswered.add(sequence)
            self._withdrawals.follow(sequence, waiter)
            self._inbox.append(sequence)
            self._inbox_tokens += sequence.length
            self._lock.notify()
        return waiter

    def close(self) -> None:
        """Finish what is queued, then stop the thread. Idempotent; does not wait for a thread that was given up."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        if threading.current_thread() is not self._thread:
            while self._thread.is_alive() and not self._abandoned.is_set():
                self._thread.join(_JOIN_SECONDS)

    def abandon(self, error: BaseException) -> None:
        """Give up a thread that hangs: every waiting call fails, and it stops should it ever come back."""
        self._abandoned.set()
        self._die(error)

    def statistics(self) -> EngineStatistics:
        """A moment's view; cheap, from any thread."""
        return EngineStatistics(
            waiting=len(self._waiting) + len(self._inbox) + len(self._recovery),
            waiting_tokens=self._waiting.tokens + self._inbox_tokens + self._recovery.tokens,
            live_sequences=len(self._runner.live),
            live_rows=self._runner.live_rows,
            rows=self._limits.rows,
            cancelled=self._cancelled,
            expired=self._expired,
            expired_unstarted=self._expired_unstarted,
            shared=self._shared,
            cached=self._cached,
            cache_bytes=self._runner.cache_bytes,
            row_limit=self._recovery.row_limit,
            failed_calls=self._recovery.failed_calls,
            memory_failures=self._recovery.memory_failures,
            beat_ns=self._beat_ns,
            counters=replace(self._runner.counters),
        )

    def _refuse_if_stopped(self) -> None:
        if self._death is not None:
            raise EngineDeadError("the engine thread has died") from self._death
        if self._closing:
            raise DrainingError("the engine is closing")

    def _join_twin(self, key: Key, request: GenerationRequest, waiter: Future[Generation]) -> bool:
        """Wait on an identical sequence in flight, if its urgency covers this request's."""
        twin = self._in_flight.get(key)
        if twin is None or twin.is_cancelled() or twin.request.deadline_ns != request.deadline_ns:
            return False
        if twin.request.priority is Priority.BULK and request.priority is Priority.INTERACTIVE:
            return False
        twin.waiters.append(waiter)
        self._withdrawals.follow(twin, waiter)
        self._shared += 1
        return True

    def _run(self) -> None:
        """The thread: step until closed and empty; on any error every waiting call fails with it."""
        if self._limits.threads:
            torch.set_num_threads(self._limits.threads)
        try:
            while self._death is None and self._step():
                self._beat()
        except BaseException as error:
            self._die(error)
            if self._on_death is not None and not self._abandoned.is_set():
                self._on_death(error)

    def _beat(self) -> None:
        self.beats += 1
        self._beat_ns = time.monotonic_ns()

    def _step(self) -> bool:
        """One turn of the loop; false when closed and nothing is left."""
        if not self._receive():
            return False
        self.alignments.run()
        now_ns = time.monotonic_ns()
        self._discard(now_ns)
        batches = [wanted for batch in self._joining(now_ns) if (wanted := self._still_wanted(batch, now_ns))]
        self._admitted |= dict.fromkeys(chain.from_iterable(batches))
        try:
            for batch in batches:
                padded_tokens = len(batch) * max(sequence.length for sequence in batch)
                self.expected_ns = self._runner.counters.expected_encode_ns(padded_tokens)
                self._runner.admit(batch)
                self._beat()
                for sequence in batch:
                    sequence.encoded_ns = self._beat_ns
            self.expected_ns = self._runner.counters.expected_step_ns()
            finished = self._runner.step() if self._runner.live else []
        except Exception as error:
            self._recover(error)
            return True
        self._recovery.step_done()
        for entry in finished:
            self._answer(entry)
        return True

    def _joining(self, now_ns: int) -> Iterable[tuple[Sequence, ...]]:
        """The batches to encode now: those to be tried again first, then what the scheduler lets in."""
        runner, recovery = self._runner, self._recovery
        if len(recovery):
            return bucket(recovery.take(live=runner.live_rows, free=runner.free_rows), self._limits.batch_tokens)
        admit = self._admission(recovery.free_rows(runner.free_rows, runner.live_rows), runner.free_sources, now_ns)
        if not admit and recovery.row_limit < self._limits.rows and not runner.live:
            # The beams of the next one alone are more than the row limit: by itself it may run.
            admit = self._admission(runner.free_rows, 1, now_ns)
        return admit

    def _admission(self, free_rows: int, free_sources: int, now_ns: int) -> Iterable[tuple[Sequence, ...]]:
        live = self._runner.live
        admit = self._scheduler.next(
            free_rows=free_rows,
            free_sources=free_sources,
            live=len(live),
            now_ns=now_ns,
            bulk_rows=sum(entry.beams for entry in live if entry.request.priority is Priority.BULK),
        ).admit
        self._intake.taken(sum(entry.length for batch in admit for entry in batch), now_ns)
        return admit

    def _recover(self, error: Exception) -> None:
        """A model call failed: forget all that it held, and find out who is to blame. Raises what cannot be healed."""
        if is_fatal(error):
            raise error
        traceback.clear_frames(error.__traceback__)  # they hold the memory that is wanted
        counters, batch = self._runner.counters, list(self._admitted)
        self._runner = self._new_runner()
        self._runner.counters = counters
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        extra = {"error": type(error).__name__, "segments": len(batch), "frames": frames_of(error)}
        with self._lock:
            self._admitted.clear()
            verdict = self._recovery.failed(batch, error)
            if verdict is not None:
                self._forget(verdict[0])
            self._distrust()
        _log.warning("a model call failed", extra=extra | {"row_limit": self._recovery.row_limit})
        if verdict is not None:
            verdict[0].fail(verdict[1])

    def _new_runner(self) -> Runner:
        return Runner(self._model, rows=self._limits.rows, sources=self._limits.sources, device=self._device)

    def _distrust(self) -> None:
        """No answer of a model that only fails is given twice. Called with the lock held."""
        if self._recovery.failing:
            self._recent.clear()

    def _receive(self) -> bool:
        """Move the inbox to the queue; sleep while there is nothing to do, with a beat now and then."""
        with self._lock:
            while not (self._inbox or self._waiting or self._recovery or self.alignments or self._runner.live):
                if self._closing or self._death is not None:
                    return False
                self._lock.wait(min(IDLE_BEAT_SECONDS, self._limits.hang_seconds / 4))
                self._beat()
            for sequence in self._inbox:
                self._waiting.put(sequence)
            self._inbox.clear()
            self._inbox_tokens = 0
        return True

    def _discard(self, now_ns: int) -> None:
        """Take out what is cancelled or too late: from the batch at every step, from the whole queue now and then."""
        gone: list[Sequence] = []
        with self._lock:
            if self._withdrawals.concern_live():
                gone = [sequence for sequence in self._runner.live if sequence.is_unwanted(now_ns)]
                if gone:
                    self._runner.drop(gone)
            if self._withdrawals.concern_waiting(now_ns):
                gone += self._waiting.remove(lambda sequence: sequence.is_unwanted(now_ns))
                gone += self._recovery.remove(lambda sequence: sequence.is_unwanted(now_ns))
                self._withdrawals.swept(now_ns)
            late = self._bury(gone)
        tell_late(late)

    def _still_wanted(self, admit: tuple[Sequence, ...], now_ns: int) -> list[Sequence]:
        """What of a chosen batch is still asked for; expired work never reaches the model."""
        wanted = [sequence for sequence in admit if not sequence.is_unwanted(now_ns)]
        if len(wanted) < len(admit):
            with self._lock:
                late = self._bury([sequence for sequence in admit if sequence.is_unwanted(now_ns)])
            tell_late(late)
        for sequence in wanted:
            sequence.admitted_ns = now_ns
        return wanted

    def _bury(self, gone: list[Sequence]) -> list[Sequence]:
        """Forget sequences that nobody wants; those of them that came too late. Called with the lock held."""
        for sequence in gone:
            self._forget(sequence)
        late = [sequence for sequence in gone if not sequence.is_cancelled()]
        self._cancelled += len(gone) - len(late)
        self._expired += len(late)
        self._expired_unstarted += sum(not sequence.admitted_ns for sequence in late)
        return late

    def _answer(self, finished: Finished) -> None:
        sequence, outcome = finished.sequence, finished.outcome
        with self._lock:
            self._forget(sequence)
            if isinstance(outcome, Hypothesis):
                generation = generation_of(sequence, outcome)
                self._recent.put((sequence.request.source_ids, sequence.request.params), generation)
                self._recovery.failures_in_a_row = 0
                self.first_answered = self.first_answered or sequence.request
            else:
                self._recovery.failures_in_a_row += 1
                self._distrust()
        if isinstance(outcome, Hypothesis):
            sequence.resolve(generation)
        else:
            sequence.fail(outcome)

    def _forget(self, sequence: Sequence) -> None:
        self._unanswered.discard(sequence)
        self._withdrawals.forget(sequence)
        self._admitted.pop(sequence, None)
        self._recovery.left(sequence)
        key = (sequence.request.source_ids, sequence.request.params)
        if self._in_flight.get(key) is sequence:
            del self._in_flight[key]

    def _die(self, error: BaseException) -> None:
        """Fail everybody who waits; nothing is accepted from here on."""
        with self._lock:
            self._death = self._death or error
            waiting = list(self._unanswered)
            self._unanswered.clear()
            self._inbox.clear()
            self._in_flight.clear()
        self.alignments.fail(EngineDeadError("the engine has died or hangs"))
        for sequence in waiting:
            dead = EngineDeadError("the engine has died or hangs")
            dead.__cause__ = error
            sequence.fail(dead)
