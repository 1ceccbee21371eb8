"""How calls end before their time: cancelled, out of time, left by their caller, cut by a drain."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from glossd.config import ServerSettings
from glossd.errors import InvalidInputError
from glossd.server.app import Server
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from glossd.wire.status import status_to_error
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.serving import Serving, ToyServices, serving

DOCUMENT = common.Document(text="hello there")
TO_CHINESE = articles.TranslationOptions(target_language_code="zh")
DIGEST = articles.DigestRequest(document=DOCUMENT, translation=TO_CHINESE)
STREAM = articles.StreamDigestRequest(document=DOCUMENT, translation=TO_CHINESE)
TRANSLATE = articles.TranslateRequest(documents=[DOCUMENT] * 3, target_language_code="zh")


@pytest.fixture
async def held() -> AsyncIterator[Serving]:
    async with serving() as running:
        running.work.hold = True
        yield running


def unary_digest(stub: ArticleServiceStub, **options: float) -> grpc.aio.Call:
    return stub.Digest(DIGEST, **options)  # type: ignore[arg-type, return-value]


def three_translations(stub: ArticleServiceStub, **options: float) -> grpc.aio.Call:
    return stub.Translate(TRANSLATE, **options)  # type: ignore[arg-type, return-value]


def streamed_digest(stub: ArticleServiceStub, **options: float) -> grpc.aio.Call:
    return stub.StreamDigest(STREAM, **options)  # type: ignore[arg-type, return-value]


def bulk_of_five(stub: ArticleServiceStub, **options: float) -> grpc.aio.Call:
    items = (articles.BulkDigestRequest(key=str(n), request=DIGEST) for n in range(5))
    return stub.BulkDigest(items, **options)  # type: ignore[arg-type, return-value]


CALLS = [unary_digest, three_translations, streamed_digest, bulk_of_five]


@pytest.mark.parametrize("begin", CALLS)
async def test_a_cancelled_call_stops_its_tasks(begin: type, held: Serving) -> None:
    async with grpc.aio.insecure_channel(held.endpoint) as channel:
        call = begin(ArticleServiceStub(channel))
        await held.work.started.wait()
        call.cancel()
        await held.work.stopped.wait()
    await held.server.calls.wait_until_idle()
    assert held.server.budget.used.documents == 0


@pytest.mark.parametrize("begin", CALLS)
async def test_a_call_out_of_time_stops_its_tasks_and_is_told(begin: type, held: Serving) -> None:
    async with grpc.aio.insecure_channel(held.endpoint) as channel:
        call = begin(ArticleServiceStub(channel), timeout=0.5)
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await held.server.calls.wait_until_idle()
    assert held.work.at_work == 0


async def test_a_caller_that_goes_away_stops_its_tasks(held: Serving) -> None:
    channel = grpc.aio.insecure_channel(held.endpoint)
    call = unary_digest(ArticleServiceStub(channel))
    await held.work.started.wait()
    await channel.close()
    await held.work.stopped.wait()
    assert call.done()


async def test_a_stream_that_nobody_reads_is_closed_cleanly(held: Serving, caplog: pytest.LogCaptureFixture) -> None:
    held.work.hold = False

    def endless() -> Iterator[articles.BulkDigestRequest]:
        document = common.Document(text="word " * 20_000)
        while True:
            yield articles.BulkDigestRequest(
                key="k", request=articles.DigestRequest(document=document, translation=TO_CHINESE)
            )

    async with grpc.aio.insecure_channel(held.endpoint) as channel:
        call = ArticleServiceStub(channel).BulkDigest(endless())
        await held.work.started.wait()
        call.cancel()
    await held.server.calls.wait_until_idle()
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("begin", [unary_digest, streamed_digest])
async def test_work_that_is_cancelled_inside_is_answered(begin: type, held: Serving) -> None:
    held.work.hold, held.work.failure = False, asyncio.CancelledError()
    async with grpc.aio.insecure_channel(held.endpoint) as channel:
        assert await begin(ArticleServiceStub(channel), timeout=60).code() is grpc.StatusCode.UNAVAILABLE


async def test_work_of_one_document_that_is_cancelled_inside_is_that_document_s_error(held: Serving) -> None:
    held.work.hold, held.work.failure = False, asyncio.CancelledError()
    async with grpc.aio.insecure_channel(held.endpoint) as channel:
        stub = ArticleServiceStub(channel)
        answer = await stub.Translate(TRANSLATE, timeout=60)
        assert {status_to_error(result.error).code for result in answer.results} == {"UNAVAILABLE"}
        bulk = stub.BulkDigest(iter([articles.BulkDigestRequest(key="a", request=DIGEST)]), timeout=60)
        assert [status_to_error(one.error).code async for one in bulk] == ["UNAVAILABLE"]


async def test_a_drain_lets_calls_finish_and_takes_no_more() -> None:
    async with serving(drain_seconds=60) as toy, grpc.aio.insecure_channel(toy.endpoint) as channel:
        toy.work.hold = True
        stub = ArticleServiceStub(channel)
        running = asyncio.ensure_future(stub.Digest(DIGEST))
        await toy.work.started.wait()
        draining = asyncio.create_task(toy.server.drain())
        while toy.server.health.states()[""]:
            await asyncio.sleep(0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Digest(DIGEST)
        # The transport cancels what is on its way at the moment it begins to stop, and refuses the rest.
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        toy.work.release.set()
        assert (await running).summary.text == "hello"
        await draining
        assert toy.server.calls.count == 0


async def test_a_hurried_drain_cuts_what_is_left(held: Serving) -> None:
    hurry = asyncio.Event()
    server = Server(held.services, ServerSettings(port=0, drain_seconds=600))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{await server.start()}") as channel:
        call = unary_digest(ArticleServiceStub(channel))
        await held.work.started.wait()
        draining = asyncio.create_task(server.drain(hurry))
        hurry.set()
        await draining
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
    assert (held.work.at_work, server.calls.count) == (0, 0)


async def test_calls_are_still_taken_between_not_serving_and_the_end_of_the_notice() -> None:
    async with (
        serving(drain_notice_seconds=600, health_port=0) as toy,
        grpc.aio.insecure_channel(toy.endpoint) as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{toy.server.health_port}") as probes,
    ):
        hurry = asyncio.Event()
        health = health_pb2_grpc.HealthStub(probes)
        draining = asyncio.create_task(toy.server.drain(hurry))
        while toy.server.health.states()[""]:
            await asyncio.sleep(0)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await ArticleServiceStub(channel).Digest(DIGEST)).summary.text == "hello"
        hurry.set()
        await draining
        with pytest.raises(grpc.aio.AioRpcError):
            await ArticleServiceStub(channel).Digest(DIGEST)


async def test_who_watches_the_health_does_not_hold_up_a_drain() -> None:
    async with serving(drain_seconds=600) as toy, grpc.aio.insecure_channel(toy.endpoint) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await toy.server.drain()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_draining_twice_does_no_harm(held: Serving) -> None:
    await held.server.drain()
    await held.server.drain()


def bulk_that_sends_nothing(stub: ArticleServiceStub, **options: float) -> grpc.aio.Call:
    async def items() -> AsyncIterator[articles.BulkDigestRequest]:
        await asyncio.Event().wait()
        yield articles.BulkDigestRequest()

    return stub.BulkDigest(items(), **options)  # type: ignore[arg-type, return-value]


# One that is still sent on may lose what the server says: see test_client.
@pytest.mark.parametrize("begin", [unary_digest, three_translations, streamed_digest, bulk_that_sends_nothing])
async def test_a_call_that_comes_while_draining_is_told_so_and_counts_no_more(begin: type, held: Serving) -> None:
    held.server.calls.refuse_more()
    async with grpc.aio.insecure_channel(held.endpoint) as channel:
        call = begin(ArticleServiceStub(channel))
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert "shutting down" in await call.details()
    async with asyncio.timeout(20):  # the answer leaves before the handler has returned
        await held.server.calls.wait_until_idle()
    assert held.work.tasks == []


async def test_an_address_that_is_taken_is_named(held: Serving) -> None:
    port = int(held.endpoint.rpartition(":")[2])
    second = Server(ToyServices(), ServerSettings(port=port))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=f"cannot listen on 127.0.0.1:{port}"):
        await second.start()
