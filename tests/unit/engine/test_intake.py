"""The queue's limit: refused at once, with a wait that follows from how fast the queue was seen to drain."""

from __future__ import annotations

import pytest
from glossd.engine.intake import Intake
from glossd.engine.rate import LEAST_SECONDS, MOST_SECONDS, UNKNOWN_SECONDS, DrainRate
from glossd.errors import OverloadedError
from glossd.types import Priority

from tests.unit.engine.toy_model import echo_request

SECOND = 1_000_000_000


def test_a_steady_drain_is_measured_from_the_start() -> None:
    rate = DrainRate(fade_seconds=10)
    rate.begin(0)
    for second in range(1, 4):
        rate.drained(100, second * SECOND)
    assert rate.a_second(3 * SECOND) == pytest.approx(100, rel=0.06)
    assert rate.seconds_until(500, 3 * SECOND) == pytest.approx(5, rel=0.06)


def test_a_rate_follows_a_change_and_forgets_the_past() -> None:
    rate = DrainRate(fade_seconds=10)
    rate.begin(0)
    for second in range(1, 61):
        rate.drained(100 if second <= 30 else 10, second * SECOND)
    assert rate.a_second(60 * SECOND) == pytest.approx(14.5, rel=0.1)


def test_a_wait_is_bounded_and_has_a_value_before_anything_was_measured() -> None:
    rate = DrainRate()
    assert rate.seconds_until(1, 0) == UNKNOWN_SECONDS
    rate.begin(0)
    rate.drained(10, SECOND)
    assert rate.seconds_until(1e9, SECOND) == MOST_SECONDS
    assert rate.seconds_until(1e-9, SECOND) == LEAST_SECONDS


def test_a_queue_that_is_full_says_so_and_an_empty_one_takes_anything() -> None:
    intake = Intake(queue_tokens=100, interactive_share=0.2)
    intake.check(echo_request([5] * 60), queued=0)
    intake.check(echo_request([5] * 60), queued=40)
    with pytest.raises(OverloadedError, match="41 source tokens are queued; the limit is 100") as caught:
        intake.check(echo_request([5] * 60), queued=41)
    assert LEAST_SECONDS <= caught.value.retry_after_seconds <= MOST_SECONDS


def test_the_last_share_of_the_queue_is_for_interactive_work() -> None:
    intake = Intake(queue_tokens=100, interactive_share=0.2)
    with pytest.raises(OverloadedError, match="the limit is 80 for bulk work"):
        intake.check(echo_request([5] * 10, priority=Priority.BULK), queued=75)
    intake.check(echo_request([5] * 10), queued=75)
