"""The watch over engines: the dead are replaced, the silent and the failing are noticed, and somebody gives up."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from glossd.engine.limits import EngineLimits
from glossd.engine.pool import EnginePool
from glossd.engine.recovery import FAILURES_IN_A_ROW
from glossd.errors import EngineDeadError, ModelOutputError

from tests.faulty import Faults, FaultyModel
from tests.unit.engine.toy_model import END, EchoModel, echo_request, wait_until

# The watch looks often enough for a test; it is never given up unless a test says so.
LIMITS = EngineLimits(rows=4, sources=4, workers=1, hang_seconds=0.2, exit_seconds=0.0, restarts=2)


def pool_of(faults: Faults, told: list[BaseException] | None = None, **changes: float) -> EnginePool:
    limits = replace(LIMITS, **changes)  # type: ignore[arg-type]
    return EnginePool(FaultyModel(faults), limits=limits, on_death=(told if told is not None else []).append)


def answers(pool: EnginePool, *source: int) -> tuple[int, ...]:
    return pool.submit(echo_request(source)).result(30).token_ids


def test_a_dead_engine_is_replaced_and_well_again_when_it_has_answered_once_more() -> None:
    faults = Faults()
    told: list[BaseException] = []
    pool = pool_of(faults, told)
    assert answers(pool, 5, 6) == (5, 6, END)
    steps = pool.statistics().counters.steps
    faults.set("die")
    waiting = pool.submit(echo_request([7, 8]))
    with pytest.raises(EngineDeadError):
        waiting.result(30)
    faults.set("none")
    wait_until(lambda: pool.restarts > 0 and pool.alive)
    assert answers(pool, 7, 8) == (7, 8, END)
    assert pool.statistics().counters.steps > steps
    assert pool.statistics().rows == LIMITS.rows
    assert told == []
    pool.close()


def test_a_replacement_that_dies_too_is_followed_by_another_after_a_pause() -> None:
    faults = Faults()
    told: list[BaseException] = []
    pool = pool_of(faults, told)
    post = pool._posts[0]
    assert answers(pool, 5, 6) == (5, 6, END)
    faults.set("die")
    with pytest.raises(EngineDeadError):
        pool.submit(echo_request([7, 8])).result(30)
    wait_until(lambda: post._pause_seconds > 0)  # the test that a replacement has to answer is deadly, too
    assert pool.restarts == 1
    assert pool.condition == "its engine has died"
    faults.set("none")
    wait_until(lambda: pool.restarts == 2 and pool.alive)
    assert answers(pool, 7, 8) == (7, 8, END)
    assert told == []
    pool.close()


def test_who_dies_again_and_again_is_given_up_and_the_owner_is_told_once() -> None:
    faults = Faults()
    told: list[BaseException] = []
    pool = pool_of(faults, told)
    assert answers(pool, 5, 6) == (5, 6, END)
    faults.set("die")
    with pytest.raises(EngineDeadError):
        pool.submit(echo_request([7, 8])).result(30)
    wait_until(lambda: bool(told))
    assert pool.restarts == LIMITS.restarts
    assert pool.condition == "its engine has died"
    with pytest.raises(EngineDeadError):
        pool.submit(echo_request([5]))
    pool.close()
    assert len(told) == 1


def test_after_an_error_that_no_engine_survives_none_is_started() -> None:
    faults = Faults()
    told: list[BaseException] = []
    pool = pool_of(faults, told)
    assert answers(pool, 5, 6) == (5, 6, END)
    faults.set("fatal")
    with pytest.raises(EngineDeadError):
        pool.submit(echo_request([7, 8])).result(30)
    wait_until(lambda: bool(told))
    assert pool.restarts == 0
    assert not pool.alive
    pool.close()


def test_one_worker_s_death_is_not_the_others() -> None:
    gate = threading.Semaphore(0)
    model = EchoModel(gate, fail_at_step=4, failure=SystemExit)
    pool = EnginePool(model, limits=replace(LIMITS, workers=3))
    futures = [pool.submit(echo_request([number, 9, 9])) for number in range(20, 29)]

    def handed_in() -> int:
        now = pool.statistics()
        return now.waiting + now.live_sequences

    wait_until(lambda: handed_in() == 9)
    for step in range(1, 5):  # one at a time: only one of the workers meets the fourth
        gate.release()
        wait_until(lambda reached=step: model.steps == reached)  # type: ignore[misc]
    gate.release(1000)
    outcomes = [future.exception(30) for future in futures]
    assert sum(isinstance(each, EngineDeadError) for each in outcomes) == 3
    wait_until(lambda: pool.restarts == 1 and pool.alive)
    again = pool.submit(echo_request([5, 6, 7]))
    assert again.result(30).token_ids == (5, 6, 7, END)
    pool.close()


def test_an_engine_that_hangs_is_unwell_and_well_again_when_it_moves() -> None:
    faults = Faults()
    pool = pool_of(faults)
    faults.set("hang")
    waiting = pool.submit(echo_request([5, 6]))
    wait_until(lambda: "has not moved for" in pool.condition)
    faults.set("none")
    assert waiting.result(30).token_ids == (5, 6, END)
    wait_until(lambda: pool.alive)
    pool.close()


def test_a_call_that_is_as_slow_as_those_before_it_is_no_hang() -> None:
    faults = Faults()
    pool = pool_of(faults)
    engine = pool._posts[0].engine
    answers(pool, 5, 6)
    counters = engine._runner.counters
    counters.decode_ns += counters.steps * 10**12  # steps used to take a quarter of an hour
    faults.set("hang")
    waiting = pool.submit(echo_request([7, 8]))
    beats = engine.beats
    wait_until(lambda: pool._posts[0]._silent_seconds > 5 * LIMITS.hang_seconds)
    assert engine.beats <= beats + 2
    assert pool.alive
    faults.set("none")
    waiting.result(30)
    pool.close()


def test_an_idle_engine_is_well() -> None:
    pool = pool_of(Faults())
    post = pool._posts[0]
    beats = post.engine.beats
    wait_until(lambda: post.engine.beats > beats + 5)
    assert pool.alive
    pool.close()


def test_an_engine_that_hangs_for_too_long_is_given_up_and_closing_does_not_wait_for_it() -> None:
    faults = Faults()
    told: list[BaseException] = []
    pool = pool_of(faults, told, exit_seconds=0.2)
    faults.set("hang")
    waiting = [pool.submit(echo_request([5, number])) for number in range(6, 9)]
    for future in waiting:
        with pytest.raises(EngineDeadError):
            future.result(30)
    wait_until(lambda: bool(told))
    assert "has not moved for" in str(told[0])
    pool.close()
    thread = pool._posts[0].engine._thread
    assert thread.is_alive()
    faults.set("none")
    thread.join(30)
    assert not thread.is_alive()


def test_closing_gives_up_an_engine_that_hangs_and_tells_nobody() -> None:
    faults = Faults()
    told: list[BaseException] = []
    pool = pool_of(faults, told)
    faults.set("hang")
    waiting = pool.submit(echo_request([5, 6]))
    pool.close()
    with pytest.raises(EngineDeadError):
        waiting.result(0)
    assert told == []
    faults.set("none")


def test_a_model_that_gives_only_nan_is_unwell_until_it_answers_its_test_again() -> None:
    faults = Faults()
    pool = pool_of(faults)
    assert answers(pool, 5, 6) == (5, 6, END)
    faults.set("nan")
    for number in range(FAILURES_IN_A_ROW):
        with pytest.raises(ModelOutputError):
            answers(pool, 10 + number)
    assert "segments failed" in pool.condition
    faults.set("none")
    wait_until(lambda: pool.alive)  # nobody asks but the watch
    pool.close()


def test_a_model_that_stays_unwell_for_too_long_is_given_up() -> None:
    faults = Faults()
    told: list[BaseException] = []
    pool = pool_of(faults, told, exit_seconds=0.3)
    assert answers(pool, 5, 6) == (5, 6, END)
    faults.set("nan")
    for number in range(FAILURES_IN_A_ROW):
        with pytest.raises(ModelOutputError):
            answers(pool, 10 + number)
    wait_until(lambda: bool(told))
    assert "segments failed" in str(told[0])
    pool.close()


def test_a_watch_that_dies_is_noticed() -> None:
    told: list[BaseException] = []
    pool = pool_of(Faults(), told)

    def fail(seconds: float) -> None:
        raise ValueError("the watch was told to fail")

    pool._posts[0].look = fail  # type: ignore[method-assign]
    wait_until(lambda: bool(told) and not pool._watch.alive)
    assert pool.condition == "nobody watches its engines"
    pool.close()
