"""Bad connections: silent ones, slow ones, cut ones, and bytes that are no protocol. Others are served as before."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

import grpc
import pytest
from glossd.v1 import article_service_pb2 as articles
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.faults import raw
from tests.faults.calls import (
    OPTIONS,
    Outcome,
    channel_to,
    digest,
    failed_outcome,
    percentile,
    text_of,
    translate,
    translation,
    until,
)
from tests.faults.process import ServerProcess
from tests.faults.proxy import Proxy, Weather
from tests.faults.results import Effort, Results

STANDARD = {"OK", "UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED"}


async def waits(endpoint: str, calls: int, seed: int) -> list[float]:
    """How long calls one after another take that nothing is wrong with."""
    source, times = random.Random(seed), []
    async with channel_to(endpoint) as channel:
        for _ in range(calls):
            outcome = await translate(channel, text_of(source))
            assert outcome.code == "OK", outcome
            times.append(outcome.seconds)
    return times


@pytest.mark.fault(7)
async def test_silent_connections_hold_nobody_up(server: ServerProcess, effort: Effort, results: Results) -> None:
    count, calls = effort.count(200, 1000), effort.count(20, 200)
    half = raw.opening() + raw.frame(raw.HEADERS, raw.END_HEADERS, 1, raw.header_block(raw.call_fields()))
    starts = (b"", raw.PREFACE[:10], raw.opening(), half[:-7], half, half + raw.frame(raw.DATA, 0, 1, b"\0\0"))
    before, alone = server.holdings(), await waits(server.endpoint, calls, 7)
    async with contextlib.AsyncExitStack() as stack:
        for number in range(count):
            _, writer = await stack.enter_async_context(raw.connected(server.endpoint))
            writer.write(starts[number % len(starts)])
            await writer.drain()
        held = server.holdings()
        beside = await waits(server.endpoint, calls, 77)
    await until(lambda: server.holdings().files <= before.files + 2)
    each = max(0, held.resident_bytes - before.resident_bytes) / count / 1024
    ratio = percentile(beside, 99) / percentile(alone, 99)
    figure = (
        f"{count:,} silent or half-spoken connections, {each:.0f} KiB each; {calls} calls beside them: all answered, "
        f"99th percentile {ratio:.1f} times that of {calls} calls alone"
    )
    results.record(7, tried=count, figure=figure)
    assert await waits(server.endpoint, 1, 777)


@pytest.mark.fault(22)
async def test_bytes_that_are_no_protocol_end_their_connection_only(
    server: ServerProcess, effort: Effort, results: Results
) -> None:
    count, source = effort.count(200, 5000), random.Random(22)
    before = server.holdings()
    for first in range(0, count, 50):
        await asyncio.gather(*(raw.send(server.endpoint, raw.broken(source)) for _ in range(50)))
        assert server.alive(), f"ended after {first} connections:\n{server.log[-2000:]}"
    await raw.send(server.endpoint, raw.opening())  # returns when somebody listens
    await waits(server.endpoint, 3, 222)
    await until(server.at_rest)
    await until(lambda: server.holdings().files <= before.files + 2)
    grown = server.holdings().resident_bytes - before.resident_bytes
    ended = sum(entry["message"] == "the port is taken up again" for entry in server.entries())
    figure = (
        f"{count:,} broken connections: the server lives, {max(0, grown) / 2**20:.1f} MiB more memory; "
        f"{ended} of them ended the transport library's loop, and the port was taken up again"
    )
    results.record(22, tried=count, figure=figure)
    assert grown < 64 << 20


@pytest.mark.fault(22)
async def test_bombs_and_floods_are_refused_and_cost_no_memory(
    server: ServerProcess, effort: Effort, results: Results
) -> None:
    await waits(server.endpoint, 3, 1)
    before = server.peak_bytes()
    size = effort.count(64, 200)
    bomb = translation("a" * (size << 20))
    codes, name = dict[str, str](), f"{size} MiB in a gzip bomb"
    async with grpc.aio.insecure_channel(server.endpoint, OPTIONS) as channel:
        stub = ArticleServiceStub(channel)
        small = translation("The bridge is open.")

        async def code(request: articles.TranslateRequest, **options: object) -> str:
            try:
                await stub.Translate(request, timeout=60, **options)  # type: ignore[arg-type]
            except grpc.aio.AioRpcError as error:
                return str(error.code().name)
            return "OK"

        codes[name] = await code(bomb, compression=grpc.Compression.Gzip)
        codes["metadata of 20 KB"] = await code(small, metadata=(("x-filler", "y" * 20_000),))
        codes["1,000 headers"] = await code(small, metadata=tuple((f"x-{n}", "y" * 20) for n in range(1000)))
        unknown = articles.TranslateRequest.FromString(small.SerializeToString() + b"\xfa\x07\x03abc" * 1000)
        unknown.options.priority = 77  # type: ignore[assignment]
        codes["unknown fields and enum values"] = await code(unknown)
    grown = server.peak_bytes() - before
    figure = f"{', '.join(f'{kind}: {code}' for kind, code in codes.items())}; peak memory {grown / 2**20:+.1f} MiB"
    results.record(22, tried=len(codes), failed=int(grown > 64 << 20), figure=figure)
    assert codes[name] == codes["metadata of 20 KB"] == codes["1,000 headers"] == "RESOURCE_EXHAUSTED"
    assert codes["unknown fields and enum values"] in ("OK", "INVALID_ARGUMENT")
    assert grown < 64 << 20
    assert len(await waits(server.endpoint, 3, 2)) == 3


WEATHERS = {
    "50 ms each way": Weather(delay_seconds=0.05),
    "20 kB/s": Weather(bytes_per_second=20_000),
    "reset in the greeting": Weather(reset_after=10),
    "reset in an answer": Weather(reset_after=400),
    "cut in an answer": Weather(cut_after=400),
    "never read": Weather(stop_reading_after=300),
    "closed on one side": Weather(close_upstream_after=200),
}


async def tried(endpoint: str, text: str, *, stream: bool) -> Outcome:
    """One call with a time limit over a connection of its own."""
    started = time.monotonic()
    async with channel_to(endpoint) as channel:
        if not stream:
            return await translate(channel, text, timeout=3)
        try:
            async for _ in ArticleServiceStub(channel).StreamDigest(digest(text), timeout=3):
                pass
        except grpc.aio.AioRpcError as error:
            return failed_outcome(error, time.monotonic() - started)
        return Outcome("OK", time.monotonic() - started)


@pytest.mark.fault(27)
async def test_a_bad_network_gives_a_standard_code_and_leaves_nothing(
    server: ServerProcess, effort: Effort, results: Results
) -> None:
    calls, source = effort.count(2, 20), random.Random(27)
    before, codes = server.holdings(), dict[str, set[str]]()
    for name, weather in WEATHERS.items():
        async with Proxy(server.endpoint, weather) as proxy:
            outcomes = await asyncio.gather(
                *(tried(proxy.endpoint, text_of(source, 8), stream=bool(number % 2)) for number in range(calls))
            )
            codes[name] = {outcome.code for outcome in outcomes}
            assert proxy.connections
    await until(server.at_rest)
    await until(lambda: server.holdings().files <= before.files + 2)
    odd = sum(bool(found - STANDARD) for found in codes.values())
    seen = "; ".join(f"{name}: {' or '.join(sorted(found))}" for name, found in codes.items())
    results.record(27, tried=calls * len(WEATHERS), failed=odd, figure=f"{seen}; nothing held afterwards")
    assert odd == 0
    assert codes["50 ms each way"] == codes["20 kB/s"] == {"OK"}


@pytest.mark.fault(27)
async def test_the_same_call_twice_and_a_server_seen_through_rain(server: ServerProcess, results: Results) -> None:
    async with Proxy(server.endpoint, Weather(delay_seconds=0.02)) as proxy:
        async with channel_to(proxy.endpoint) as one, channel_to(proxy.endpoint) as other:
            first, second = await asyncio.gather(*(translate(channel, "It is open.") for channel in (one, other)))
            health = await health_pb2_grpc.HealthStub(one).Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert proxy.connections == 2
    results.record(27, tried=2, failed=int(first.text != second.text))
    assert first.text == second.text
    assert health.status == health_pb2.HealthCheckResponse.SERVING
