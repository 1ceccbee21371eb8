"""Health tells the truth: of the whole, of each service, of each model, while starting, serving, dying, draining."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from glossd.config import ServerSettings
from glossd.server.app import SERVICE_NAMES, Server
from glossd.server.budget import Load
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.serving import Serving, ToyServices, dying_hub, serving

Status = health_pb2.HealthCheckResponse
EVERYTHING = ["", *SERVICE_NAMES, "models/toy-en-zh"]


@pytest.fixture
async def toy() -> AsyncIterator[Serving]:
    async with serving() as running:
        yield running


async def status_of(endpoint: str, service: str = "") -> int:
    async with grpc.aio.insecure_channel(endpoint) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        return int(answer.status)


@pytest.mark.parametrize("service", EVERYTHING)
async def test_the_whole_each_service_and_each_model_are_serving(service: str, toy: Serving) -> None:
    assert await status_of(toy.endpoint, service) == Status.SERVING


@pytest.mark.skipif(not hasattr(health_pb2, "HealthListRequest"), reason="the health library is too old to list")
async def test_all_states_can_be_listed(toy: Serving) -> None:
    async with grpc.aio.insecure_channel(toy.endpoint) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    assert {name: each.status for name, each in answer.statuses.items()} == dict.fromkeys(EVERYTHING, Status.SERVING)


async def test_a_name_there_is_not_is_not_found(toy: Serving) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await status_of(toy.endpoint, "models/nobody")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_nothing_is_serving_before_the_models_are_there() -> None:
    server = Server(ToyServices(), ServerSettings(port=0, drain_seconds=0))  # type: ignore[arg-type]
    endpoint = f"127.0.0.1:{await server.start()}"
    assert [await status_of(endpoint, name) for name in EVERYTHING] == [Status.NOT_SERVING] * len(EVERYTHING)
    server.health.open()
    assert [await status_of(endpoint, name) for name in EVERYTHING] == [Status.SERVING] * len(EVERYTHING)
    await server.drain()


async def test_a_dead_engine_is_seen_at_the_next_question() -> None:
    hub, generator = dying_hub()
    async with serving(ToyServices(hub=hub)) as toy:
        assert await status_of(toy.endpoint) == Status.SERVING
        generator.die()
        assert [await status_of(toy.endpoint, name) for name in EVERYTHING] == [Status.NOT_SERVING] * len(EVERYTHING)


async def test_an_unloaded_model_is_not_serving_and_the_rest_is(toy: Serving) -> None:
    await toy.services.hub.unload("toy-en-zh")
    assert await status_of(toy.endpoint, "models/toy-en-zh") == Status.NOT_SERVING
    assert await status_of(toy.endpoint) == Status.SERVING


async def test_who_watches_is_told_of_every_change(toy: Serving) -> None:
    async with grpc.aio.insecure_channel(toy.endpoint) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == Status.SERVING
        toy.server.health.close()
        assert (await watch.read()).status == Status.NOT_SERVING
        unknown = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="nobody"))
        assert (await unknown.read()).status == Status.SERVICE_UNKNOWN


async def test_a_death_is_told_to_who_watches_without_being_asked() -> None:
    hub, generator = dying_hub()
    async with serving(ToyServices(hub=hub)) as toy, grpc.aio.insecure_channel(toy.endpoint) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == Status.SERVING
        generator.die()
        assert (await watch.read()).status == Status.NOT_SERVING


async def test_health_is_answered_while_every_place_is_taken() -> None:
    async with serving(max_calls_in_flight=1) as toy:
        with toy.server.budget.hold(Load(1)):
            assert await asyncio.gather(*(status_of(toy.endpoint) for _ in range(20))) == [Status.SERVING] * 20
