"""Servers that end: told to, told twice, or killed. What was accepted is finished, or its caller is told."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Iterator
from functools import partial

import grpc
import pytest
from glossd.client import AsyncClient, CallSettings
from glossd.errors import RemoteError
from glossd.types import DocumentInput
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.faults.calls import Outcome, channel_to, text_of, translate, until
from tests.faults.process import ServerProcess, free_port
from tests.faults.results import Effort, Results

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
LIMITS = ("--set", "engine.cache_entries=0", "--set", "server.max_calls_in_flight=1000")


class Fleet:
    """Servers that are ended with the test, whatever becomes of it."""

    def __init__(self) -> None:
        self._servers: list[ServerProcess] = []

    def start(self, *arguments: str, step_seconds: float) -> ServerProcess:
        pace = {"PACED_STEP_SECONDS": str(step_seconds)}
        self._servers.append(ServerProcess(*LIMITS, *arguments, environment=pace))
        return self._servers[-1]

    def close(self) -> None:
        for server in self._servers:
            server.close()


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    servers = Fleet()
    yield servers
    servers.close()


def in_flight(server: ServerProcess, count: int) -> bool:
    return server.metrics()["glossd_requests_in_flight"] >= count


async def latecomers(endpoint: str, codes: list[str]) -> None:
    """Calls on fresh connections, one after another, for ever."""
    while True:
        async with channel_to(endpoint) as channel:
            codes.append((await translate(channel, "Too late.", timeout=5)).code)
        await asyncio.sleep(0.02)


async def states(channel: grpc.aio.Channel, seen: list[int]) -> None:
    """What a watcher of the health is told."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    try:
        async for answer in watch:
            seen.append(answer.status)
    except grpc.aio.AioRpcError:
        return


@pytest.mark.fault(9)
async def test_sigterm_loses_no_accepted_call(fleet: Fleet, effort: Effort, results: Results) -> None:
    lost, tried, longest = 0, 0, 0.0
    for turn in range(effort.count(1, 5)):
        server, source, count = fleet.start(step_seconds=0.04), random.Random(turn), effort.count(40, 200)
        health: list[int] = []
        late: list[str] = []
        async with channel_to(server.endpoint) as channel, channel_to(server.endpoint) as other:
            watching = asyncio.create_task(states(other, health))
            calls = [asyncio.create_task(translate(channel, text_of(source, 3, 20))) for _ in range(count)]
            await until(partial(in_flight, server, count), seconds=60)
            started = time.monotonic()
            server.send(signal.SIGTERM)
            knocking = asyncio.create_task(latecomers(server.endpoint, late))
            outcomes: list[Outcome] = await asyncio.gather(*calls)
            code = await asyncio.to_thread(server.wait)
            longest = max(longest, time.monotonic() - started)
            knocking.cancel()
            await asyncio.wait({watching, knocking})
        lost += sum(outcome.code != "OK" for outcome in outcomes) + (code != 0)
        tried += count
        assert health[:2] == [SERVING, NOT_SERVING]
        assert set(late) <= {"UNAVAILABLE", "CANCELLED"}
        assert code == 0
    figure = f"{tried:,} calls in flight, {lost} lost, exit code 0; the longest drain took {longest:.1f} s of 30"
    results.record(9, tried=tried, failed=lost, figure=figure)
    assert lost == 0


@pytest.mark.fault(10)
@pytest.mark.parametrize("twice", [True, False], ids=["second signal", "grace exceeded"])
async def test_what_takes_too_long_is_cut_and_the_process_ends(
    twice: bool, fleet: Fleet, effort: Effort, results: Results
) -> None:
    grace = 30.0 if twice else 1.0
    server = fleet.start("--set", f"server.drain_seconds={grace}", step_seconds=0.5)
    count = effort.count(10, 100)
    async with channel_to(server.endpoint) as channel:
        calls = [asyncio.create_task(translate(channel, text_of(random.Random(n), 3, 60))) for n in range(count)]
        await until(lambda: in_flight(server, count))
        started = time.monotonic()
        server.send(signal.SIGTERM)
        if twice:
            await asyncio.to_thread(server.wait_for, "draining")
            server.send(signal.SIGTERM)
        codes = [outcome.code for outcome in await asyncio.gather(*calls)]
        code = await asyncio.to_thread(server.wait)
    took = time.monotonic() - started
    odd = [each for each in codes if each not in ("UNAVAILABLE", "CANCELLED")]
    why = "a second signal" if twice else f"a grace of {grace:.0f} s"
    figure = f"{why}: {count} calls cut, exit code {code} after {took:.1f} s"
    results.record(10, tried=count, failed=len(odd), figure=figure)
    assert (odd, code) == ([], 0)
    assert took < (15 if twice else grace + 15)


class Callers:
    """Clients with our own retry settings that ask again and again; what they were answered, and when."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._stop = asyncio.Event()
        self.answered: list[float] = []
        self.failed: list[tuple[float, str]] = []

    async def run(self, seed: int) -> None:
        source = random.Random(seed)
        settings = CallSettings(timeout_seconds=20)
        async with AsyncClient(self._endpoint) as client:
            while not self._stop.is_set():
                document = DocumentInput(text_of(source), language_code="en")
                try:
                    await client.translate(document, to="zh", settings=settings)
                    self.answered.append(time.monotonic())
                except RemoteError as error:
                    self.failed.append((time.monotonic(), error.code))
                await asyncio.sleep(0.05)

    def answered_since(self, moment: float, count: int) -> bool:
        return sum(each > moment for each in self.answered) > count

    def stop(self) -> None:
        self._stop.set()


@pytest.mark.fault(11)
async def test_clients_of_two_servers_do_not_notice_that_one_is_killed(
    fleet: Fleet, effort: Effort, results: Results
) -> None:
    port, rounds = free_port(), effort.count(1, 5)
    first = fleet.start("--port", str(port), step_seconds=0.01)
    second = fleet.start(step_seconds=0.01)
    callers = Callers(f"ipv4:{first.endpoint},{second.endpoint}")
    running = [asyncio.create_task(callers.run(seed)) for seed in range(8)]
    for _ in range(rounds):
        await until(partial(in_flight, first, 1))
        await asyncio.to_thread(first.kill)
        await until(partial(callers.answered_since, time.monotonic(), 20))
        first = await asyncio.to_thread(lambda: fleet.start("--port", str(port), step_seconds=0.01))
        await until(partial(in_flight, first, 1), seconds=60)
    callers.stop()
    await asyncio.gather(*running)
    total = len(callers.answered) + len(callers.failed)
    figure = (
        f"one of two servers killed and started again {rounds} times under {total:,} calls: "
        f"{len(callers.failed)} failed after retries; the new one was used again each time"
    )
    results.record(11, tried=total, failed=len(callers.failed), figure=figure)
    assert callers.failed == []


@pytest.mark.fault(11)
async def test_clients_of_one_server_go_on_when_it_is_back(fleet: Fleet, results: Results) -> None:
    port = free_port()
    server = fleet.start("--port", str(port), step_seconds=0.01)
    callers = Callers(server.endpoint)
    running = [asyncio.create_task(callers.run(seed)) for seed in range(4)]
    await until(lambda: len(callers.answered) > 10)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(lambda: fleet.start("--port", str(port), step_seconds=0.01))
    back = time.monotonic()
    await until(partial(callers.answered_since, back, 20), seconds=60)
    callers.stop()
    await asyncio.gather(*running)
    # A channel that has just failed to connect may wait a little longer than the server needed.
    first = min(each for each in callers.answered if each > back) - back
    late = [each for each in callers.failed if each[0] > back + 15]
    figure = (
        f"the only server: {len(callers.failed)} calls failed while it was away, served {first:.1f} s after it was back"
    )
    results.record(11, tried=len(callers.answered), failed=len(late), figure=figure)
    assert late == []
    assert {code for _, code in callers.failed} <= {"UNAVAILABLE", "CANCELLED"}
