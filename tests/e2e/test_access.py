"""Bearer tokens over a real server: every method asks for one, but those that the settings leave open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from glossd.client import AsyncClient, Client, Connection
from glossd.errors import InvalidInputError, RemoteError
from glossd.server.app import SERVICES
from glossd.wire.status import status_to_error
from google.rpc.status_pb2 import Status

from tests.e2e.serving import Serving, serving

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdef"
OURS = [f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods]
REFLECTION = [f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")]
CHANNELZ = "/grpc.channelz.v1.Channelz/GetTopChannels"
HEALTH = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List"]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# who may call\nalice {ALICE}\nbob {BOB}\n")
    return path


@pytest.fixture
async def guarded(token_file: Path) -> AsyncIterator[Serving]:
    async with serving(token_file=str(token_file), channelz=True) as running:
        yield running


async def code_of(endpoint: str, method: str, *authorization: str) -> grpc.StatusCode:
    """How a call of any kind ends that sends nothing."""
    async with grpc.aio.insecure_channel(endpoint) as channel:
        call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
        metadata = tuple(("authorization", value) for value in authorization)
        running = call(iter([b""]), metadata=metadata, timeout=20)
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for _ in running:
                pass
        return await running.code()


@pytest.mark.parametrize("method", [*OURS, *REFLECTION, CHANNELZ, "/glossd.v1.ArticleService/Sing"])
async def test_no_method_is_served_without_a_token(method: str, guarded: Serving) -> None:
    for authorization in ([], [ALICE], [f"Basic {ALICE}"], ["Bearer "], [f"Bearer {ALICE}x"], [f"Bearer {ALICE}"] * 2):
        assert await code_of(guarded.endpoint, method, *authorization) is grpc.StatusCode.UNAUTHENTICATED
    assert not guarded.work.tasks
    if method in OURS:
        assert await code_of(guarded.endpoint, method, f"bearer {ALICE}") is not grpc.StatusCode.UNAUTHENTICATED


async def test_health_is_open_and_reflection_is_not_unless_told_otherwise(token_file: Path) -> None:
    async with serving(token_file=str(token_file)) as toy:
        assert await code_of(toy.endpoint, HEALTH[0]) is grpc.StatusCode.OK
    async with serving(token_file=str(token_file), open_health=False, open_reflection=True) as toy:
        assert {await code_of(toy.endpoint, method) for method in HEALTH} == {grpc.StatusCode.UNAUTHENTICATED}
        assert {await code_of(toy.endpoint, method) for method in REFLECTION} == {grpc.StatusCode.OK}


async def test_who_is_refused_is_told_what_is_missing_and_nothing_of_what_it_sent(guarded: Serving) -> None:
    async with grpc.aio.insecure_channel(guarded.endpoint) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(OURS[0])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=(("authorization", "Bearer not-the-one"), ("x-request-id", "me-1")))
    trailers = dict([*(caught.value.trailing_metadata() or ())])
    details = trailers["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    error = status_to_error(Status.FromString(details))
    assert (error.code, error.remote_reason, trailers["x-request-id"]) == ("UNAUTHENTICATED", "UNAUTHENTICATED", "me-1")
    assert "authorization" in error.message
    assert "not-the-one" not in f"{trailers}{error.message}"


async def test_the_clients_send_their_token_and_the_engine_shares_between_callers(guarded: Serving) -> None:
    async with AsyncClient(guarded.endpoint, connection=Connection(token=ALICE)) as alice:
        assert (await alice.translate("hello")).text == "HELLO"
        assert [event async for event in alice.stream_digest("hello")]
        assert [key async for key, _ in alice.bulk_digest([("k", "hello")])] == ["k"]
    with Client(guarded.endpoint, connection=Connection(token=BOB)) as bob:
        assert (await asyncio.to_thread(bob.translate, "hello")).text == "HELLO"
    assert [task.options.caller for task in guarded.work.tasks] == ["alice", "alice", "alice", "bob"]
    counts = {
        name: guarded.metrics.registry.get_sample_value("glossd_caller_requests_total", {"caller": name})
        for name in ("alice", "bob")
    }
    assert counts == {"alice": 3, "bob": 1}


async def test_refused_calls_are_counted_without_giving_unknown_names_a_label(guarded: Serving) -> None:
    await code_of(guarded.endpoint, OURS[0])
    await code_of(guarded.endpoint, "/made.up/Name")
    registry = guarded.metrics.registry
    for method in (OURS[0], "other"):
        labels = {"method": method, "code": "UNAUTHENTICATED"}
        assert registry.get_sample_value("glossd_requests_total", labels) == 1
    assert registry.get_sample_value("glossd_requests_total", {"method": "/made.up/Name", "code": "x"}) is None


async def test_a_token_is_not_sent_in_plain_text_to_another_machine() -> None:
    for endpoint in ("example.org:50051", "10.0.0.1:50051", "127.0.0.1.example.org:1", "dns:///localhost:1"):
        with pytest.raises(ValueError, match="a token is sent over TLS or to this machine only"):
            Client(endpoint, connection=Connection(token=ALICE))
    assert ALICE not in repr(Connection(token=ALICE, tls=True))


async def test_a_server_whose_tokens_cannot_be_read_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot read"):
        async with serving(token_file=str(tmp_path / "none")):
            pass


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True), ("::1", False), ("localhost", False)]
)
async def test_a_server_that_others_can_reach_without_tls_and_token_is_warned_of(
    host: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(host=host):
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert bool(said) is warned
    assert all("anyone who reaches it can use it" in line for line in said)


async def test_a_remote_error_of_a_wrong_token_is_not_tried_again(guarded: Serving) -> None:
    connection = Connection(token="wrong-0123456789abcdef")
    async with AsyncClient(guarded.endpoint, connection=connection) as client:
        with pytest.raises(RemoteError) as caught:
            await client.translate("hello")
    assert caught.value.code == "UNAUTHENTICATED"
    labels = {"method": "/glossd.v1.ArticleService/Translate", "code": "UNAUTHENTICATED"}
    assert guarded.metrics.registry.get_sample_value("glossd_requests_total", labels) == 1
