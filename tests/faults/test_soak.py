"""All kinds of calls at once for a long time, with callers that leave and crash: nothing of the process may grow."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from glossd.client.connection import remote_error
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1 import model_service_pb2 as models
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from glossd.v1.model_service_pb2_grpc import ModelServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.faults import raw
from tests.faults.calls import channel_to, digest, document, percentile, text_of, translation, until
from tests.faults.process import Holdings, ServerProcess
from tests.faults.results import Effort, Results
from tests.faults.test_leaving import kill_clients

EXPECTED = {"OK", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED"}
CLIENTS = 6
PAUSE_SECONDS = 0.3
CRASH_EVERY_SECONDS = 20.0


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    # A small cache is full early, so that it is no growth.
    running = ServerProcess("--set", "engine.cache_entries=128", environment={"PACED_STEP_SECONDS": "0.002"})
    yield running
    running.close()


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process held at a moment, in seconds since the start."""

    at: float
    holdings: Holdings


class Mix:
    """One client that makes calls of every kind, good and bad, and gives some of them up."""

    def __init__(self, endpoint: str, seed: int) -> None:
        self._endpoint = endpoint
        self._source = random.Random(seed)
        self.codes: Counter[str] = Counter()
        self.waits: list[tuple[float, float]] = []

    async def run(self, end: float) -> None:
        """Until that moment; a new connection for every hundred calls."""
        while time.monotonic() < end:
            async with channel_to(self._endpoint) as channel:
                for _ in range(100):
                    if time.monotonic() >= end:
                        return
                    await self._one(channel)
                    await asyncio.sleep(2 * PAUSE_SECONDS * self._source.random())

    async def _one(self, channel: grpc.aio.Channel) -> None:
        kind, stub, text = self._source.randrange(10), ArticleServiceStub(channel), text_of(self._source, 3)
        started = time.monotonic()
        try:
            if kind < 4:
                await stub.Translate(translation(text), timeout=30)
                self.waits.append((started, time.monotonic() - started))
            elif kind == 4:
                request = articles.DigestRequest.FromString(digest(text).SerializeToString())
                await stub.Digest(request, timeout=30)
            elif kind == 5:
                await self._stream(stub, text)
            elif kind == 6:
                await self._bulk(stub)
            elif kind == 7:
                await stub.Summarize(articles.SummarizeRequest(documents=[document(text)] * 2), timeout=30)
                await ModelServiceStub(channel).ListModels(models.ListModelsRequest(), timeout=30)
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
            elif kind == 8:
                await stub.Translate(translation(text_of(self._source, 10)), timeout=0.02)
            else:
                await stub.DetectLanguage(articles.DetectLanguageRequest(text=text), timeout=30)
                await raw.send(self._endpoint, raw.broken(self._source), seconds=0.01)
                await stub.Translate(articles.TranslateRequest(), timeout=30)
            self.codes["OK"] += 1
        except grpc.aio.AioRpcError as error:
            self.codes[remote_error(error).code] += 1
        except asyncio.CancelledError:  # what the transport makes of a stream that ended as its last item was sent
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            self.codes["CANCELLED"] += 1

    async def _stream(self, stub: Any, text: str) -> None:
        stream = stub.StreamDigest(digest(text), timeout=30)
        async for _ in stream:
            if self._source.random() < 0.1:
                stream.cancel()
                return

    async def _bulk(self, stub: Any) -> None:
        one = articles.DigestRequest(document=common.Document(text=text_of(self._source)))
        one.translation.target_language_code = "zh"
        items = (articles.BulkDigestRequest(key=str(number), request=one) for number in range(4))
        async for _ in stub.BulkDigest(items, timeout=30):
            pass


async def crashes(endpoint: str) -> None:
    """Client processes that are killed, now and then, for ever."""
    for seed in range(1_000_000):
        await asyncio.sleep(CRASH_EVERY_SECONDS)
        await asyncio.to_thread(kill_clients, endpoint, [seed])


async def samples(server: ServerProcess, end: float) -> list[Sample]:
    """What the process holds, a few times a minute."""
    taken, started = [], time.monotonic()
    while (now := time.monotonic()) < end:
        taken.append(Sample(now - started, server.holdings()))
        await asyncio.sleep(min(5.0, max(0.1, (end - started) / 50)))
    return taken


def slope(points: list[tuple[float, float]]) -> float:
    """The least squares slope of y over x."""
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


@pytest.mark.fault(29)
async def test_nothing_grows_under_a_mixed_load(server: ServerProcess, effort: Effort, results: Results) -> None:
    seconds = effort.seconds(3.0, 0.6)
    started = time.monotonic()
    mixes = [Mix(server.endpoint, seed) for seed in range(CLIENTS)]
    crashing = asyncio.create_task(crashes(server.endpoint))
    watching = asyncio.create_task(samples(server, started + seconds))
    await asyncio.gather(*(mix.run(started + seconds) for mix in mixes))
    taken = await watching
    crashing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await crashing
    await raw.send(server.endpoint, raw.opening())
    await until(server.at_rest, seconds=60)
    codes = sum((mix.codes for mix in mixes), Counter[str]())
    warm = [sample for sample in taken if sample.at > seconds / 4]
    grown = slope([(sample.at / 3600, sample.holdings.resident_bytes / 2**20) for sample in warm])
    files = [sample.holdings.files for sample in warm]
    threads = [sample.holdings.threads for sample in warm]
    strange = {code: count for code, count in codes.items() if code not in EXPECTED}
    waits = [((at - started) / seconds, took) for mix in mixes for at, took in mix.waits]
    second, last = ([took for at, took in waits if low <= at < low + 0.25] for low in (0.25, 0.75))
    drift = percentile(last, 99) / max(1e-9, percentile(second, 99))
    before, after = (sample.holdings.resident_bytes / 2**20 for sample in (warm[0], warm[-1]))
    figure = (
        f"{sum(codes.values()):,} calls in {seconds / 60:.1f} minutes; resident memory {grown:+.1f} MiB an hour after "
        f"a quarter of the time (from {before:.0f} to {after:.0f} MiB); open files {min(files)} to {max(files)}, "
        f"threads {min(threads)} to {max(threads)}; 99th percentile of a translation, last quarter against second: "
        f"{drift:.2f}; {codes['UNAVAILABLE']} calls UNAVAILABLE while the port was taken up again"
    )
    strange.pop("UNAVAILABLE", None)
    results.record(29, tried=sum(codes.values()), failed=sum(strange.values()), figure=figure)
    assert strange == {}
    assert max(threads) <= min(threads) + 4
    assert after < before + 48
