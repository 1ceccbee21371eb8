"""A model call that fails: who is blamed, who is answered all the same, and how the row limit comes back."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from glossd.engine.engine import Engine, EngineLimits
from glossd.engine.recovery import FAILURES_IN_A_ROW, Recovery, is_fatal, is_out_of_memory
from glossd.engine.sequence import Sequence
from glossd.errors import DeadlineError, ModelFaultError, ModelMemoryError, ModelOutputError
from glossd.models.cache import KVCache
from torch import Tensor

from tests.faulty import CURSED, HUNGRY, SECRET, Faults, FaultyModel
from tests.unit.engine.toy_model import END, POISON, EchoModel, echo_request, wait_until

LIMITS = EngineLimits(rows=16, sources=16)
SOURCES = [[3 + number, 60 + number, 9] for number in range(24)]


def faulty(fault: str = "none") -> tuple[Engine, Faults]:
    faults = Faults()
    engine = Engine(FaultyModel(faults), limits=LIMITS)
    faults.set(fault)
    return engine, faults


def held(model: EchoModel) -> tuple[Engine, threading.Semaphore]:
    """An engine whose model waits before each step, so that a batch can be gathered."""
    model.gate = gate = threading.Semaphore(0)
    return Engine(model, limits=LIMITS), gate


@pytest.mark.parametrize(
    ("bad", "error"), [(CURSED, ModelFaultError), (HUNGRY, ModelMemoryError), (POISON, ModelOutputError)]
)
@pytest.mark.parametrize("beams", [1, 3])
def test_the_one_that_cannot_be_run_fails_and_all_its_batch_mates_are_answered(
    bad: int, error: type[Exception], beams: int
) -> None:
    engine, gate = held(FaultyModel(Faults()))
    first = engine.submit(echo_request([50, 51]))
    wait_until(lambda: engine.statistics().live_sequences == 1)
    futures = [engine.submit(echo_request(source, num_beams=beams)) for source in SOURCES]
    doomed = engine.submit(echo_request([7, bad, 8]))
    gate.release(100_000)
    with pytest.raises(error) as caught:
        doomed.result(60)
    assert SECRET not in str(caught.value)
    assert first.result(60).token_ids == (50, 51, END)
    assert [future.result(60).token_ids for future in futures] == [(*source, END) for source in SOURCES]
    statistics = engine.statistics()
    assert (statistics.waiting, statistics.waiting_tokens, statistics.live_rows) == (0, 0, 0)
    assert not engine._unanswered
    assert not engine._admitted
    engine.close()


def test_a_single_failed_step_costs_nobody_an_answer() -> None:
    model = EchoModel(fail_at_step=3)
    engine, gate = held(model)
    futures = [engine.submit(echo_request(source)) for source in SOURCES[:8]]
    gate.release(1000)
    assert [future.result(30).token_ids for future in futures] == [(*source, END) for source in SOURCES[:8]]
    assert engine.statistics().failed_calls == 1
    engine.close()


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_what_needs_too_much_memory_at_once_is_run_in_smaller_batches(rows: int) -> None:
    engine, _ = faulty(f"memory {rows}")
    futures = [engine.submit(echo_request(source)) for source in SOURCES]
    assert [future.result(60).token_ids for future in futures] == [(*source, END) for source in SOURCES]
    assert engine.statistics().row_limit < LIMITS.rows
    engine.close()


def test_what_needs_too_much_memory_alone_is_refused_and_the_next_call_is_served() -> None:
    engine, _ = faulty("memory 3")
    with pytest.raises(ModelMemoryError, match="3 source tokens with 4 beams"):
        engine.submit(echo_request([5, 6, 7], num_beams=4)).result(30)
    assert engine.submit(echo_request([5, 6, 7], num_beams=3)).result(30).token_ids == (5, 6, 7, END)
    assert engine.statistics().memory_failures == 1
    engine.close()


def test_a_model_that_says_itself_what_is_wrong_with_its_settings_is_quoted() -> None:
    engine = Engine(EchoModel(fail_at_step=1, failure=Refused), limits=LIMITS)
    with pytest.raises(ModelFaultError, match=r"models\.cuda_graphs=false"):
        engine.submit(echo_request([5, 6, 7])).result(30)
    assert engine.submit(echo_request([5, 6])).result(30).token_ids == (5, 6, END)
    engine.close()


class Refused(ModelFaultError):
    """What a capture says that fails."""

    def __init__(self, _: str) -> None:
        super().__init__("models.cuda_graphs=false runs without")


def test_the_encoder_s_failures_are_treated_alike() -> None:
    class Small(EchoModel):
        def encode(self, source_ids: Tensor, lengths: Tensor, slots: Tensor, cache: KVCache) -> None:
            if len(source_ids) > 2:
                raise MemoryError
            super().encode(source_ids, lengths, slots, cache)

    engine = Engine(Small(), limits=LIMITS)
    futures = [engine.submit(echo_request(source)) for source in SOURCES]
    assert [future.result(60).token_ids for future in futures] == [(*source, END) for source in SOURCES]
    engine.close()


def test_who_waits_to_be_tried_again_can_still_be_cancelled_and_expire() -> None:
    class Slow(FaultyModel):
        held = threading.Semaphore(0)

        def decode(self, token_ids: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
            if len(token_ids) == 1:
                self.held.acquire()
            return super().decode(token_ids, positions, cache)

    faults = Faults()
    model = Slow(faults)
    engine = Engine(model, limits=LIMITS)
    faults.set("memory 1")
    first = engine.submit(echo_request([5, 6]))
    wait_until(lambda: engine.statistics().live_sequences == 1)
    others = [engine.submit(echo_request(source)) for source in SOURCES[:6]]
    deadline_ns = time.monotonic_ns() + 300_000_000
    late = engine.submit(echo_request([9, 9], deadline_ns=deadline_ns))
    model.held.release()
    wait_until(lambda: engine.statistics().failed_calls >= 2)
    assert all(other.cancel() for other in others)
    wait_until(lambda: time.monotonic_ns() > deadline_ns)
    model.held.release(1000)
    with pytest.raises(DeadlineError):
        late.result(30)
    assert first.result(30).token_ids == (5, 6, END)
    assert engine.statistics().cancelled == 6
    engine.close()


def test_a_model_that_only_fails_is_in_doubt_until_the_next_answer() -> None:
    engine, faults = faulty()
    known = engine.submit(echo_request([4, 4])).result(30)
    faults.set("nan")
    for number in range(FAILURES_IN_A_ROW):
        assert not engine.failing
        with pytest.raises(ModelOutputError):
            engine.submit(echo_request([10 + number])).result(30)
    assert engine.failing
    faults.set("none")
    again = engine.submit(echo_request([4, 4])).result(30)
    assert (again.token_ids, again.cached) == (known.token_ids, False)
    assert not engine.failing
    engine.close()


def sequences(count: int, beams: int = 1) -> list[Sequence]:
    return [Sequence(echo_request([5], num_beams=beams), 0) for _ in range(count)]


def test_the_row_limit_halves_and_comes_back_slowly_and_the_slower_the_more_often() -> None:
    recovery = Recovery(64)
    steps = []
    for _ in range(2):
        batch = sequences(64)
        assert recovery.failed(batch, MemoryError()) is None
        assert recovery.row_limit == 32
        assert recovery.free_rows(64, 0) == 0
        assert len(recovery.take(live=0, free=64)) == 32
        recovery.step_done()
        assert recovery.row_limit == 32  # while anybody is under suspicion
        recovery.take(live=0, free=64)
        for sequence in batch:
            recovery.left(sequence)
        assert recovery.free_rows(64, 30) == 2
        count = 0
        while recovery.row_limit < 64 and count < 100_000:
            recovery.step_done()
            count += 1
        steps.append(count)
    assert steps == [4 * 256, 4 * 512]


def test_a_wide_one_is_tried_alone_even_when_it_exceeds_the_row_limit() -> None:
    recovery = Recovery(64)
    recovery.failed(sequences(1, beams=2) + sequences(1, beams=16), RuntimeError())
    assert [sequence.beams for sequence in recovery.take(live=0, free=64)] == [2]
    assert recovery.take(live=2, free=62) == []
    assert [sequence.beams for sequence in recovery.take(live=0, free=64)] == [16]


@pytest.mark.parametrize(
    ("error", "memory", "fatal"),
    [
        (MemoryError(), True, False),
        (torch.OutOfMemoryError("CUDA out of memory"), True, False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True, False),
        (RuntimeError("not enough memory: you tried to allocate 8 bytes"), True, False),
        (RuntimeError("CUDA error: device-side assert triggered"), False, True),
        (RuntimeError("shapes do not match"), False, False),
        (ValueError("out of memory"), False, False),
    ],
)
def test_errors_are_told_apart(error: BaseException, memory: bool, fatal: bool) -> None:
    assert (is_out_of_memory(error), is_fatal(error)) == (memory, fatal)
