from __future__ import annotations

import threading
from concurrent.futures import Future

from glossd.errors import DeadlineError
from glossd.tasks.flight import Flight
from glossd.telemetry.metrics import Metrics
from glossd.types import Generation, GenerationParams, GenerationRequest, RequestOptions

PARAMS = GenerationParams(0, (1,), 8)


class LateGenerator:
    """While a segment is submitted, its thread tells whoever waits for the one before that it is too late."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self._before: Future[Generation] | None = None

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        if self._before is not None:
            failing = threading.Thread(target=self._before.set_exception, args=(DeadlineError("late"),), daemon=True)
            failing.start()
            failing.join(10)
            self.told.append(not failing.is_alive())
        self._before = Future()
        return self._before

    def close(self) -> None:
        """Nothing is queued."""


def test_a_segment_is_answered_while_the_next_one_is_submitted() -> None:
    generator = LateGenerator()
    with Flight(generator, RequestOptions(), Metrics()) as flight:
        first, second = (flight.submit((number,), PARAMS) for number in (2, 3))
    assert generator.told == [True]
    assert isinstance(first.exception(0), DeadlineError)
    assert second.cancelled()


def test_what_is_submitted_after_it_was_left_is_cancelled() -> None:
    generator = LateGenerator()
    with Flight(generator, RequestOptions(), Metrics()) as flight:
        pass
    assert flight.submit((2,), PARAMS).cancelled()
