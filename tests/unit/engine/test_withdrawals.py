"""Who waits is asked whether it still does only when somebody may have stopped."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import replace

from glossd.engine.sequence import Sequence
from glossd.engine.withdrawals import Withdrawals
from glossd.types import Generation

from tests.unit.engine.toy_model import echo_request


def followed(withdrawals: Withdrawals, *, deadline_ns: int | None = None) -> tuple[Sequence, Future[Generation]]:
    waiter: Future[Generation] = Future()
    sequence = Sequence(replace(echo_request([7]), deadline_ns=deadline_ns), 0, [waiter])
    withdrawals.follow(sequence, waiter)
    return sequence, waiter


def test_nobody_is_asked_while_nobody_left_and_nothing_has_a_deadline() -> None:
    withdrawals = Withdrawals()
    _, waiter = followed(withdrawals)
    assert not withdrawals.concern_live()
    assert not withdrawals.concern_waiting(time.monotonic_ns())
    waiter.set_result(Generation((1,), 0.0, None))  # type: ignore[arg-type]
    assert not withdrawals.concern_live()


def test_a_waiter_who_cancels_concerns_the_batch_once_and_the_queue_once() -> None:
    withdrawals = Withdrawals()
    _, waiter = followed(withdrawals)
    waiter.cancel()
    assert [withdrawals.concern_live() for _ in range(2)] == [True, False]
    now_ns = time.monotonic_ns()
    assert [withdrawals.concern_waiting(now_ns) for _ in range(2)] == [True, False]


def test_a_deadline_concerns_both_until_it_has_ended() -> None:
    withdrawals = Withdrawals()
    sequence, _ = followed(withdrawals, deadline_ns=1)
    for _ in range(3):
        assert withdrawals.concern_live()
        assert withdrawals.concern_waiting(time.monotonic_ns())
    withdrawals.forget(sequence)
    assert not withdrawals.concern_live()
    assert not withdrawals.concern_waiting(time.monotonic_ns())


def test_the_queue_rests_fifty_times_as_long_as_it_took_to_go_through_it() -> None:
    withdrawals = Withdrawals()
    followed(withdrawals, deadline_ns=1)
    now_ns = time.monotonic_ns()
    withdrawals.swept(now_ns - 1_000_000_000)
    assert not withdrawals.concern_waiting(now_ns + 40_000_000_000)
    assert withdrawals.concern_waiting(now_ns + 60_000_000_000)
