"""More load than the server can do: what it can do stays the same, the rest is refused at once, health answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from glossd.client import AsyncClient, Connection
from glossd.types import DocumentInput
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.faults.calls import Outcome, at_rate, channel_to, closed_loop, percentile, text_of, translate, until
from tests.faults.process import ServerProcess
from tests.faults.results import Effort, Results

PLACES = 24
PACE = {"PACED_STEP_SECONDS": "0.04", "PACED_ROWS": "8"}


@pytest.fixture(scope="module")
def slow() -> Iterator[ServerProcess]:
    """A server that can do some ten calls a second."""
    limits = ("--set", f"server.max_calls_in_flight={PLACES}", "--set", "engine.cache_entries=0")
    running = ServerProcess(*limits, environment=PACE)
    yield running
    running.close()


class Pressure:
    """Calls with texts of their own over one channel."""

    def __init__(self, channel: grpc.aio.Channel, seed: int) -> None:
        self._channel = channel
        self._random = random.Random(seed)

    async def __call__(self) -> Outcome:
        return await translate(self._channel, text_of(self._random))


def goodput(outcomes: list[Outcome], *, start: float, end: float) -> float:
    """Answers a second between two moments."""
    return sum(outcome.code == "OK" and start <= outcome.ended <= end for outcome in outcomes) / (end - start)


async def pressed(endpoint: str, rate: float, seconds: float, seed: int) -> tuple[list[Outcome], float]:
    """All outcomes at a rate, and the goodput once the places are full."""
    async with channel_to(endpoint) as channel:
        started = time.monotonic()
        outcomes = await at_rate(Pressure(channel, seed), rate=rate, seconds=seconds)
        return outcomes, goodput(outcomes, start=started + seconds / 4, end=started + seconds)


async def capacity_of(endpoint: str, seconds: float) -> float:
    """Answers a second with every place but a few taken."""
    async with channel_to(endpoint) as channel:
        started = time.monotonic()
        outcomes = await closed_loop(Pressure(channel, 0), clients=PLACES - 8, seconds=seconds)
        assert {outcome.code for outcome in outcomes} == {"OK"}
        return goodput(outcomes, start=started + seconds / 4, end=started + seconds)


@pytest.mark.fault(1)
async def test_goodput_holds_at_many_times_the_capacity(slow: ServerProcess, effort: Effort, results: Results) -> None:
    seconds = effort.seconds(2.0, 0.03)
    capacity = await capacity_of(slow.endpoint, seconds)
    goodputs: dict[int, float] = {}
    answered, refused, lost, waits = 0, 0, 0, []
    for factor in (1, 2, 5, 10) if effort.long else (1, 5):
        outcomes, goodputs[factor] = await pressed(slow.endpoint, factor * capacity, seconds, factor)
        turned_away = [outcome for outcome in outcomes if outcome.refused_well]
        waits += [outcome.seconds for outcome in turned_away]
        answered += sum(outcome.code == "OK" for outcome in outcomes)
        refused += len(turned_away)
        lost += sum(outcome.code != "OK" and not outcome.refused_well for outcome in outcomes)
    peak = max(goodputs.values())
    shares = ", ".join(f"{factor}x {100 * value / peak:.0f} %" for factor, value in goodputs.items())
    figure = (
        f"{answered:,} answered and {refused:,} refused in {len(goodputs) * seconds / 60:.1f} minutes; "
        f"goodput against the best: {shares}; a refusal took {1000 * percentile(waits, 50):.0f} ms at the median, "
        f"{1000 * percentile(waits, 99):.0f} ms at the 99th percentile"
    )
    results.record(1, tried=answered + refused + lost, failed=lost, figure=figure)
    assert lost == 0
    assert refused > 0
    assert goodputs[5] >= (0.95 if effort.long else 0.5) * peak  # seconds are too short for more


@pytest.mark.fault(2)
async def test_who_waits_as_long_as_it_is_told_is_served(slow: ServerProcess, effort: Effort, results: Results) -> None:
    calls, source = effort.count(3 * PLACES, 20 * PLACES), random.Random(2)
    before = slow.metrics()["glossd_requests_total"]
    async with AsyncClient(slow.endpoint, connection=Connection(overload_attempts=1000)) as client:
        texts = [DocumentInput(text_of(source, 1), language_code="en") for _ in range(calls)]
        answers = await asyncio.gather(*(client.translate(text) for text in texts), return_exceptions=True)
    failures = [repr(answer) for answer in answers if isinstance(answer, BaseException)]
    sent = slow.metrics()["glossd_requests_total"] - before
    figure = (
        f"{calls:,} calls at once with {PLACES} places: all answered but {len(failures)}, "
        f"sent {sent / calls:.1f} times each"
    )
    results.record(2, tried=calls, failed=len(failures), figure=figure)
    assert failures == []
    assert sent > calls


async def checks(endpoint: str, stop: asyncio.Event) -> AsyncIterator[tuple[int, float]]:
    """Health checks one after another, twenty a second: state and time."""
    async with channel_to(endpoint) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while not stop.is_set():
            started = time.monotonic()
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
            yield answer.status, time.monotonic() - started
            await asyncio.sleep(0.05)


@pytest.mark.fault(3)
async def test_health_is_answered_under_ten_times_the_load(
    slow: ServerProcess, effort: Effort, results: Results
) -> None:
    seconds, stop, times = effort.seconds(2.0, 0.03), asyncio.Event(), []

    async def watch() -> bool:
        async for state, took in checks(slow.endpoint, stop):
            times.append(took)
            if state != health_pb2.HealthCheckResponse.SERVING:
                return False
        return True

    watching = asyncio.create_task(watch())
    capacity = await capacity_of(slow.endpoint, effort.seconds(1.0, 0.01))
    await pressed(slow.endpoint, 10 * capacity, seconds, 3)
    stop.set()
    always = await watching
    late = sum(took > 0.2 for took in times)
    figure = (
        f"{len(times):,} checks, none refused, {1000 * percentile(times, 50):.0f} ms at the median, "
        f"{1000 * percentile(times, 99):.0f} ms at the 99th percentile, {1000 * max(times):.0f} ms at most"
    )
    results.record(3, tried=len(times), failed=late + (not always), figure=figure)
    assert always
    assert percentile(times, 50) < 0.2
    await until(slow.at_rest)
