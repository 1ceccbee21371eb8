"""CTranslate2 as a generator, for models that its converter wrote (extra ``ctranslate2``). One named thread.

Batches are static: what waits is decoded and answered together, so new work waits for the batch before it, and only
what waits can be cancelled. Outputs are promised neither to equal our engine's nor to be the same in a crowd.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from glossd.engine.engine import EngineLimits
from glossd.engine.intake import Intake
from glossd.engine.sequence import Sequence, tell_late
from glossd.engine.waiting import Room, WaitingQueue
from glossd.errors import (
    DrainingError,
    EngineDeadError,
    InvalidInputError,
    ModelFilesError,
)
from glossd.models.base import ModelInfo
from glossd.models.converted import Vocabulary
from glossd.telemetry.metrics import EngineReading
from glossd.types import FinishReason, Generation, GenerationParams, GenerationRequest

_SWEEP_NS = 50_000_000


class Translation(Protocol):
    """One answer of a translator: hypotheses as tokens, best first, and their scores."""

    @property
    def hypotheses(self) -> list[list[str]]:
        """The best first."""
        ...

    @property
    def scores(self) -> list[float]:
        """One for each hypothesis."""
        ...


class Translator(Protocol):
    """What is used of ``ctranslate2.Translator``; the tests have a toy."""

    def translate_batch(self, source: list[list[str]], **options: Any) -> SequenceOf[Translation]:
        """Decode a batch of tokens and return when all of it is done."""
        ...


class Ct2Generator:
    """A :class:`glossd.engine.generator.Generator` over a translator. The thread starts with the object."""

    def __init__(
        self,
        translator: Translator,
        vocabulary: Vocabulary,
        info: ModelInfo,
        *,
        limits: EngineLimits,
        workers: int = 1,
        name: str = "model",
        on_death: Callable[[BaseException], None] | None = None,
    ) -> None:
        """``workers``: how many batches the translator decodes at once; each takes ``limits.rows`` rows at most."""
        self._translator = translator
        self._vocabulary = vocabulary
        self._numbers = {token: number for number, token in enumerate(vocabulary.target)}
        self._info = info
        self._limits = limits
        self._workers = workers
        self._on_death = on_death
        self._waiting = WaitingQueue(ageing_ns=int(limits.ageing_seconds * 1e9), bulk_share=limits.bulk_share)
        self._intake = Intake(queue_tokens=limits.queue_tokens, interactive_share=limits.interactive_share)
        self._running: list[Sequence] = []
        self._lock = threading.Condition()
        self._closing = False
        self._death: BaseException | None = None
        self._sweep_due_ns = 0
        self._source_tokens = self._padded_tokens = self._output_tokens = 0
        self._thread = threading.Thread(target=self._run, name=f"glossd-ct2-{name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still works."""
        return self._death is None and self._thread.is_alive()

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        """See :class:`glossd.engine.generator.Generator`; what is being decoded already is not cancelled."""
        self._check(request)
        waiter: Future[Generation] = Future()
        with self._lock:
            if self._death is not None:
                raise EngineDeadError("the thread of CTranslate2 has died") from self._death
            if self._closing:
                raise DrainingError("the generator is closing")
            self._intake.check(request, queued=self._waiting.tokens)
            self._waiting.put(Sequence(request, time.monotonic_ns(), [waiter]))
            self._lock.notify()
        return waiter

    def close(self) -> None:
        """Finish what is queued, then stop the thread. Idempotent."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def reading(self, model: str) -> EngineReading:
        """A moment's counters, for metrics; cheap, from any thread."""
        padded = self._padded_tokens
        return EngineReading(
            model=model,
            alive=self.alive,
            queued_segments=len(self._waiting),
            queued_tokens=self._waiting.tokens,
            rows_in_use=sum(sequence.beams for sequence in list(self._running)),
            rows=self._limits.rows * self._workers,
            source_tokens=self._source_tokens,
            target_tokens=self._output_tokens,
            padding_share=1 - self._source_tokens / padded if padded else 0.0,
        )

    def _check(self, request: GenerationRequest) -> None:
        """Refuse what the model can never run."""
        length, window, most = len(request.source_ids), self._info.window, self._info.max_target
        if length == 0:
            raise InvalidInputError("source_ids", "no source tokens")
        if window and length > window:
            raise InvalidInputError("source_ids", f"{length:,} tokens; the window is {window:,}")
        if max(request.source_ids) >= len(self._vocabulary.source):
            known = len(self._vocabulary.source)
            raise InvalidInputError("source_ids", f"token {max(request.source_ids)}; the model has {known:,}")
        if request.params.num_beams > self._limits.rows:
            raise InvalidInputError("num_beams", f"{request.params.num_beams}; there are {self._limits.rows} rows")
        new = request.params.max_new_tokens
        if new < 1 or (most and new > most):
            raise InvalidInputError("max_new_tokens", f"{new:,}; the model's limit is {most or 'not fixed'}")

    def _run(self) -> None:
        """The thread: batch after batch until closed and empty; on any error every waiting call fails with it."""
        try:
            while self._collect():
                for group in _alike(self._running):
                    self._decode(group)
        except BaseException as error:
            self._die(error)
            if self._on_death is not None:
                self._on_death(error)

    def _collect(self) -> bool:
        """Take the next batch out of what waits, or wait for some; false when closed and nothing is left."""
        while True:
            with self._lock:
                self._running = []
                while not len(self._waiting):
                    if self._closing:
                        return False
                    self._lock.wait()
                now_ns = time.monotonic_ns()
                gone = self._sweep(now_ns)
                room = Room(self._limits.rows * self._workers, self._limits.sources * self._workers, self._tokens())
                taken = self._waiting.take(room, now_ns=now_ns)
                self._intake.taken(sum(sequence.length for sequence in taken), now_ns)
                for sequence in taken:
                    (gone if sequence.is_unwanted(now_ns) else self._running).append(sequence)
                for sequence in self._running:
                    sequence.admitted_ns = now_ns
            tell_late(sequence for sequence in gone if not sequence.is_cancelled())
            if self._running:
                return True

    def _tokens(self) -> int:
        return self._limits.batch_tokens * self._workers

    def _sweep(self, now_ns: int) -> list[Sequence]:
        """Take out what is cancelled or too late; the next sweep waits fifty times as long as this one took."""
        if now_ns < self._sweep_due_ns:
            return []
        gone = self._waiting.remove(lambda sequence: sequence.is_unwanted(now_ns))
        ended_ns = time.monotonic_ns()
        self._sweep_due_ns = ended_ns + max(_SWEEP_NS, 50 * (ended_ns - now_ns))
        return gone

    def _decode(self, group: list[Sequence]) -> None:
        """Decode sequences that differ in their limits only: under the largest, each cut at its own."""
        params = replace(group[0].request.params, max_new_tokens=max(_limit(sequence) for sequence in group))
        words = self._vocabulary.source
        prefix = self._prefix(params)
        answers = self._translator.translate_batch(
            [[words[token] for token in sequence.request.source_ids] for sequence in group],
            target_prefix=[prefix] * len(group) if prefix else None,
            max_batch_size=-(-len(group) // self._workers),
            **self._options(params),
        )
        self._count(group, -(-len(group) // self._workers))
        for sequence, answer in zip(group, answers, strict=True):
            generation = self._generation(sequence, answer)
            self._output_tokens += len(generation.token_ids)
            sequence.resolve(generation)

    def _prefix(self, params: GenerationParams) -> list[str]:
        """The tokens that the target starts with: a start token that the caller decides, a forced first token."""
        ids = [] if self._vocabulary.start is not None else [params.decoder_start_token_id]
        if params.forced_bos_token_id is not None:
            ids.append(params.forced_bos_token_id)
        return [self._vocabulary.target[token] for token in ids]

    def _options(self, params: GenerationParams) -> dict[str, Any]:
        """The parameters by CTranslate2's names; without beams the score is the mean over the tokens, as ours is."""
        target = self._vocabulary.target
        banned = [*((token,) for token in params.suppressed), *params.bad_words]
        known = [[target[token] for token in word] for word in banned if max(word) < len(target)]
        return {
            "beam_size": params.num_beams,
            "length_penalty": params.length_penalty if params.num_beams > 1 else 1.0,
            "no_repeat_ngram_size": params.no_repeat_ngram_size,
            "repetition_penalty": params.repetition_penalty,
            "suppress_sequences": known or None,
            "end_token": [token for token in params.eos_token_ids if token < len(target)],
            "min_decoding_length": params.min_new_tokens,
            "max_decoding_length": params.max_new_tokens,
            "max_input_length": 0,
            "return_scores": True,
            "return_end_token": True,
        }

    def _generation(self, sequence: Sequence, answer: Translation) -> Generation:
        params = sequence.request.params
        ids = [self._numbers[token] for token in answer.hypotheses[0]]
        ended = bool(ids) and ids[-1] in params.eos_token_ids and len(ids) <= params.max_new_tokens
        if not ended:
            ids = ids[: params.max_new_tokens]
            if params.forced_eos_token_id is not None and len(ids) == params.max_new_tokens:
                ids[-1] = params.forced_eos_token_id
        return Generation(
            token_ids=tuple(ids),
            score=float(answer.scores[0]),
            finish_reason=FinishReason.COMPLETE if ended else FinishReason.LENGTH,
            queue_ns=sequence.admitted_ns - sequence.arrival_ns,
            compute_ns=time.monotonic_ns() - sequence.admitted_ns,
        )

    def _count(self, group: list[Sequence], size: int) -> None:
        lengths = [sequence.length for sequence in group]
        self._source_tokens += sum(lengths)
        self._padded_tokens += sum(
            max(part) * len(part) for part in (lengths[at : at + size] for at in range(0, len(lengths), size))
        )

    def _die(self, error: BaseException) -> None:
        """Fail everybody who waits; nothing is accepted from here on."""
        with self._lock:
            self._death = error
            waiting = [*self._running, *self._waiting]
            self._running = []
        for sequence in waiting:
            dead = EngineDeadError("the thread of CTranslate2 has died")
            dead.__cause__ = error
            sequence.fail(dead)


def open_translator(directory: Path, *, dtype: str, device: str, limits: EngineLimits) -> tuple[Any, int]:
    """``ctranslate2.Translator`` over a converted directory, and how many batches it decodes at once.

    Workers and threads are shared out as those of our own engine are. ``dtype`` "auto" keeps the format of the files.
    Raises ``ModelFilesError`` without the package or for files that it cannot read, and
    ``InvalidInputError`` for a format or a device that this machine does not have.
    """
    try:
        import ctranslate2
    except ImportError as error:
        problem = "a model of CTranslate2 needs the package of that name: pip install 'glossd[ctranslate2]'"
        raise ModelFilesError(f"{directory}: {problem}") from error
    kind, _, index = device.partition(":")
    if kind == "auto":
        kind = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if kind == "cuda" and int(index or 0) >= ctranslate2.get_cuda_device_count():
        raise InvalidInputError("models.device", f"CTranslate2 sees {ctranslate2.get_cuda_device_count()} such devices")
    formats = ctranslate2.get_supported_compute_types(kind)
    if dtype not in ("auto", *formats):
        problem = f"CTranslate2 has no {dtype} on this {kind}; the formats are {', '.join(sorted(formats))}"
        raise InvalidInputError("models.dtype", problem)
    cores = len(os.sched_getaffinity(0))
    workers = limits.workers or (cores if kind == "cpu" else 1)
    try:
        translator = ctranslate2.Translator(
            str(directory),
            device=kind,
            device_index=int(index or 0),
            compute_type="default" if dtype == "auto" else dtype,
            inter_threads=workers,
            intra_threads=limits.threads or max(1, cores // workers),
        )
    except (RuntimeError, ValueError) as error:
        raise ModelFilesError(f"{directory}: CTranslate2 does not load it: {error}") from error
    return translator, workers


def _limit(sequence: Sequence) -> int:
    return sequence.request.params.max_new_tokens


def _alike(batch: list[Sequence]) -> list[list[Sequence]]:
    """Groups of equal parameters, limits left out, each in order of length."""
    groups: dict[GenerationParams, list[Sequence]] = {}
    for sequence in sorted(batch, key=lambda entry: entry.length):
        groups.setdefault(replace(sequence.request.params, max_new_tokens=0), []).append(sequence)
    return list(groups.values())
