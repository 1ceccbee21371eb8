from __future__ import annotations

import random
import threading
import time
from concurrent.futures import CancelledError

import pytest
from glossd.engine.engine import Engine, EngineLimits
from glossd.errors import (
    DeadlineError,
    DrainingError,
    EngineDeadError,
    InvalidInputError,
    ModelOutputError,
    OverloadedError,
)
from glossd.types import FinishReason, Priority

from tests.unit.engine.toy_model import END, POISON, EchoModel, echo_request, submits_elsewhere, wait_until


def test_many_callers_each_get_their_own_answer() -> None:
    engine = Engine(EchoModel(), limits=EngineLimits(rows=8, sources=8))
    chance = random.Random(5)
    sources = [[chance.randrange(2, 190) for _ in range(chance.randrange(1, 30))] for _ in range(300)]
    answers: dict[int, tuple[int, ...]] = {}

    def call(numbers: range) -> None:
        futures = {n: engine.submit(echo_request(sources[n], num_beams=1 + n % 3)) for n in numbers}
        answers.update({n: future.result(60).token_ids for n, future in futures.items()})

    threads = [threading.Thread(target=call, args=(range(first, 300, 4),)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: answers[n] for n in range(300)} == {n: (*sources[n], END) for n in range(300)}
    assert engine.statistics().live_rows == 0
    engine.close()


def test_a_limit_ends_an_output_with_the_reason_length() -> None:
    engine = Engine(EchoModel())
    generation = engine.submit(echo_request([5, 6, 7, 8], max_new_tokens=2)).result(30)
    assert generation.token_ids == (5, 6)
    assert generation.finish_reason is FinishReason.LENGTH
    engine.close()


def test_identical_requests_in_flight_are_computed_once_and_later_ones_come_from_the_cache() -> None:
    gate = threading.Semaphore(0)
    model = EchoModel(gate)
    engine = Engine(model)
    first, second = engine.submit(echo_request([9, 9])), engine.submit(echo_request([9, 9]))
    gate.release(3)
    assert first.result(30).token_ids == second.result(30).token_ids == (9, 9, END)
    third = engine.submit(echo_request([9, 9])).result(30)
    assert third.cached
    assert len(model.encoded) == 1
    assert engine.statistics().shared == 1
    assert engine.statistics().cached == 1
    engine.close()


def test_a_cancelled_call_frees_its_rows_within_one_step_and_leaves_others_alone() -> None:
    gate = threading.Semaphore(0)
    model = EchoModel(gate)
    engine = Engine(model)
    doomed = engine.submit(echo_request(range(2, 30), num_beams=4))
    kept = engine.submit(echo_request(range(40, 60)))
    gate.release(3)
    wait_until(lambda: model.steps == 3 and engine.statistics().live_rows == 5)
    assert doomed.cancel()
    gate.release(2)  # the step that was already waiting, and the first one after it
    wait_until(lambda: model.steps == 5)
    assert model.rows_seen[-1] == 1
    gate.release(100)
    assert kept.result(30).token_ids == (*range(40, 60), END)
    assert engine.statistics().cancelled == 1
    with pytest.raises(CancelledError):
        doomed.result(0)
    engine.close()


def test_a_cancelled_call_is_dropped_from_a_cache_that_grew_within_a_step() -> None:
    gate = threading.Semaphore(0)
    engine = Engine(EchoModel(gate))
    doomed = engine.submit(echo_request(range(40, 60)))
    kept = engine.submit(echo_request(range(2, 34)))  # one more than the cache makes room for at first
    wait_until(lambda: engine.statistics().live_rows == 2)
    assert doomed.cancel()
    gate.release(100)
    assert kept.result(30).token_ids == (*range(2, 34), END)
    assert engine.alive
    engine.close()


def test_cancelling_one_of_two_identical_calls_leaves_the_other() -> None:
    gate = threading.Semaphore(0)
    engine = Engine(EchoModel(gate))
    first, second = engine.submit(echo_request([9, 8])), engine.submit(echo_request([9, 8]))
    first.cancel()
    gate.release(10)
    assert second.result(30).token_ids == (9, 8, END)
    engine.close()


def test_expired_work_never_reaches_the_model() -> None:
    model = EchoModel()
    engine = Engine(model)
    with pytest.raises(DeadlineError):
        engine.submit(echo_request([4, 5], deadline_ns=time.monotonic_ns() - 1)).result(30)
    assert model.encoded == []
    assert (engine.statistics().expired, engine.statistics().expired_unstarted) == (1, 1)
    engine.close()


def test_who_is_told_that_it_is_too_late_may_wait_for_another_thread_that_asks() -> None:
    gate = threading.Semaphore(0)
    engine = Engine(EchoModel(gate))
    running = engine.submit(echo_request([8, 9]))
    wait_until(lambda: engine.statistics().live_rows == 1)
    late = engine.submit(echo_request([4], deadline_ns=time.monotonic_ns()))
    went_in: list[bool] = []
    late.add_done_callback(lambda _: went_in.append(submits_elsewhere(engine, echo_request([5]))))
    gate.release(100)
    assert running.result(30).token_ids == (8, 9, END)
    with pytest.raises(DeadlineError):
        late.result(30)
    wait_until(lambda: bool(went_in))
    assert went_in == [True]
    engine.close()


def test_scores_that_are_not_numbers_fail_their_own_segment_only() -> None:
    engine = Engine(EchoModel(), limits=EngineLimits(rows=4, sources=4))
    for beams in (1, 2):
        bad = engine.submit(echo_request([3, POISON, 4], num_beams=beams))
        good = engine.submit(echo_request([3, 5, 4], num_beams=beams))
        with pytest.raises(ModelOutputError):
            bad.result(30)
        assert good.result(30).token_ids == (3, 5, 4, END)
    assert engine.submit(echo_request([12, 13])).result(30).token_ids == (12, 13, END)
    engine.close()


def test_when_the_thread_dies_every_waiting_call_fails_and_the_owner_is_told() -> None:
    told: list[BaseException] = []
    mortal = EchoModel(fail_at_step=2, failure=SystemExit)
    engine = Engine(mortal, limits=EngineLimits(rows=1, sources=1), on_death=told.append)
    futures = [engine.submit(echo_request([number, 7, 8])) for number in range(10, 14)]
    for future in futures:
        with pytest.raises(EngineDeadError):
            future.result(30)
    wait_until(lambda: bool(told))
    assert "told to fail" in str(told[0])
    assert not engine.alive
    with pytest.raises(EngineDeadError):
        engine.submit(echo_request([5]))
    engine.close()


def test_a_full_queue_refuses_at_once_with_a_time_to_retry() -> None:
    gate = threading.Semaphore(0)
    engine = Engine(EchoModel(gate), limits=EngineLimits(rows=1, sources=1, queue_tokens=10))
    running = engine.submit(echo_request([2, 3]))
    wait_until(lambda: engine.statistics().live_sequences == 1)
    waiting = engine.submit(echo_request(range(2, 11)))
    with pytest.raises(OverloadedError, match="limit is 10") as refused:
        engine.submit(echo_request([7, 8]))
    assert refused.value.retry_after_seconds > 0
    gate.release(100)
    assert running.result(30).token_ids == (2, 3, END)
    assert waiting.result(30).finish_reason is FinishReason.COMPLETE
    engine.close()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"num_beams": 99}, "num_beams"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 65}, "max_new_tokens"),
    ],
)
def test_what_can_never_run_is_refused_with_the_field_named(changes: dict[str, int], field: str) -> None:
    engine = Engine(EchoModel())
    with pytest.raises(InvalidInputError) as refused:
        engine.submit(echo_request([4, 5], **changes))
    assert refused.value.field == field
    sources: list[list[int]] = [[], list(range(2, 67))]
    for source in sources:
        with pytest.raises(InvalidInputError, match="token"):
            engine.submit(echo_request(source))
    engine.close()


def test_closing_finishes_what_is_queued_and_takes_nothing_new() -> None:
    engine = Engine(EchoModel(), limits=EngineLimits(rows=2, sources=2))
    futures = [engine.submit(echo_request([number, number])) for number in range(2, 60)]
    engine.close()
    assert [future.result(0).token_ids for future in futures] == [(n, n, END) for n in range(2, 60)]
    with pytest.raises(DrainingError):
        engine.submit(echo_request([5]))
    engine.close()


def test_an_interactive_call_does_not_ride_on_a_bulk_twin() -> None:
    gate = threading.Semaphore(0)
    engine = Engine(EchoModel(gate), limits=EngineLimits(rows=1, sources=1))
    blocker = engine.submit(echo_request([50]))
    bulk = engine.submit(echo_request([60], priority=Priority.BULK))
    interactive = engine.submit(echo_request([60], priority=Priority.INTERACTIVE))
    assert engine.statistics().shared == 0
    gate.release(100)
    for future in (blocker, bulk, interactive):
        future.result(30)
    engine.close()


def test_nobody_is_forgotten_when_the_thread_dies_in_the_encoder() -> None:
    class Failing(EchoModel):
        def encode(self, *arguments: object) -> None:
            raise SystemExit("the toy was told to die")

    engine = Engine(Failing())
    later = time.monotonic_ns() + 10**12
    futures = []
    for deadline in (None, later, later + 1):  # three sequences of one key: different deadlines do not share
        try:
            futures.append(engine.submit(echo_request([5, 6], deadline_ns=deadline)))
        except EngineDeadError:
            break
    assert futures
    for future in futures:
        with pytest.raises(EngineDeadError):
            future.result(30)
    engine.close()
