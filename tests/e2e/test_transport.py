"""A call whose path is no text ends the accepting loop of the transport library; the server goes on all the same."""

from __future__ import annotations

import asyncio

import grpc
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.serving import serving
from tests.faults import raw
from tests.faults.calls import Outcome, channel_to, translate, translation
from tests.faults.process import ServerProcess


async def silence(endpoint: str) -> None:
    """The call that ends the loop."""
    await raw.send(endpoint, raw.opening() + raw.frame(raw.HEADERS, raw.END_HEADERS, 1, raw.path_block(b"/\xc9")))


async def served(endpoint: str) -> Outcome:
    """One call that is sent again, as our clients do, while nobody listens."""
    for _ in range(100):
        async with channel_to(endpoint) as channel:
            outcome = await translate(channel, "hello")
        if outcome.code != "UNAVAILABLE":
            return outcome
        await asyncio.sleep(0.05)
    raise AssertionError("never served again")


async def test_the_port_is_taken_up_again_each_time() -> None:
    async with serving() as toy:
        for _ in range(3):
            await silence(toy.endpoint)
            assert (await served(toy.endpoint)).text == "HELLO"


async def test_calls_under_way_are_answered_and_a_drain_waits_for_them() -> None:
    async with serving(drain_seconds=30) as toy, grpc.aio.insecure_channel(toy.endpoint) as channel:
        toy.work.hold = True
        call = ArticleServiceStub(channel).Translate(translation("hello"))
        await toy.work.started.wait()
        await silence(toy.endpoint)
        toy.work.hold = False
        assert (await served(toy.endpoint)).code == "OK"
        draining = asyncio.create_task(toy.server.drain())
        done, _ = await asyncio.wait({draining}, timeout=0.2)
        assert not done
        toy.work.release.set()
        assert (await call).results[0].text.text == "HELLO"
        await draining


async def test_a_hurried_drain_cuts_calls_of_an_earlier_loop_too() -> None:
    async with serving(drain_seconds=30) as toy, grpc.aio.insecure_channel(toy.endpoint) as channel:
        toy.work.hold = True
        call = ArticleServiceStub(channel).Translate(translation("hello"))
        await toy.work.started.wait()
        await silence(toy.endpoint)
        hurry = asyncio.Event()
        hurry.set()
        await toy.server.drain(hurry)
        assert await call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        await toy.work.stopped.wait()


async def test_the_port_for_probes_is_taken_up_again_too() -> None:
    async with serving(health_port=0) as toy:
        endpoint = f"127.0.0.1:{toy.server.health_port}"
        await silence(endpoint)
        for _ in range(100):
            async with channel_to(endpoint) as channel:
                try:
                    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.05)
                    continue
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            return
        raise AssertionError("never answered again")


async def test_calls_made_at_that_moment_are_answered_or_refused_and_the_process_lives() -> None:
    server = ServerProcess(environment={"PACED_STEP_SECONDS": "0.001"})

    async def call(number: int) -> str:
        async with channel_to(server.endpoint) as channel:
            await asyncio.sleep(0.015 * (number % 10))
            return (await translate(channel, "The ship is free.", timeout=20)).code

    try:
        for _ in range(4):
            codes, _ = await asyncio.gather(asyncio.gather(*map(call, range(20))), silence(server.endpoint))
            assert set(codes) <= {"OK", "UNAVAILABLE", "CANCELLED"}
            assert server.alive()
            for _ in range(100):
                if await call(0) == "OK":
                    break
    finally:
        server.close()
