"""Every row of docs/errors.md: in the error tree, and as a caller of the running server sees it."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from glossd import errors
from glossd.errors import GlossdError, InvalidInputError, OverloadedError, RemoteError
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tests.e2e.serving import Serving, serving

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (yes|no) \|", re.MULTILINE)
TRANSPORT_ROW = re.compile(r"^\| `(\w+)` \| [^`|\n]", re.MULTILINE)
MOST_TRAILER_BYTES = 8 << 10
REQUEST = articles.DigestRequest(
    document=common.Document(text="hello there"), translation=articles.TranslationOptions(target_language_code="zh")
)


def classes() -> Iterator[type[GlossdError]]:
    """The error tree without what only clients raise."""
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, GlossdError) and value is not RemoteError:
            yield value


def row_of(kind: type[GlossdError]) -> tuple[str, str, str]:
    """Status, reason and whether to try again, as callers are told: of a fault inside they learn no more."""
    reason = kind.reason if kind.status != "INTERNAL" else "INTERNAL"
    return kind.status, reason, "yes" if kind.retryable else "no"


def failure(kind: type[GlossdError], message: str = "something") -> GlossdError:
    if issubclass(kind, OverloadedError):
        return kind(message, retry_after_seconds=2.5)
    return kind(message, message) if issubclass(kind, InvalidInputError) else kind(message)


@pytest.fixture
async def toy() -> AsyncIterator[Serving]:
    async with serving() as running:
        yield running


async def ended(toy: Serving, **options: Any) -> grpc.aio.AioRpcError:
    async with grpc.aio.insecure_channel(toy.endpoint) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ArticleServiceStub(channel).Digest(REQUEST, **options)
        return caught.value


def trailers_of(error: grpc.aio.AioRpcError) -> dict[str, str | bytes]:
    return dict([*(error.trailing_metadata() or ())])


def details_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The details by the names of their types."""
    data = trailers_of(error)["grpc-status-details-bin"]
    assert isinstance(data, bytes)
    found = {}
    for detail in Status.FromString(data).details:
        for kind in (ErrorInfo, BadRequest, RetryInfo, RequestInfo):
            message = kind()
            if detail.Unpack(message):
                found[kind.__name__] = message
    return found


def test_the_page_has_each_error_once_and_no_other() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = ROW.findall(page)
    assert len(rows) == len(set(rows))
    assert set(rows) == {row_of(kind) for kind in classes()}


@pytest.mark.parametrize("kind", list(classes()), ids=lambda kind: kind.__name__)
async def test_a_caller_is_told_what_the_page_says(kind: type[GlossdError], toy: Serving) -> None:
    toy.work.failure = failure(kind)
    error = await ended(toy, metadata=(("x-request-id", "id-1"),))
    details = details_of(error)
    status, reason, _ = row_of(kind)
    assert (error.code().name, details["ErrorInfo"].reason, details["ErrorInfo"].domain) == (status, reason, "glossd")
    assert details["RequestInfo"].request_id == trailers_of(error)["x-request-id"] == "id-1"
    assert ("BadRequest" in details) is (status == "INVALID_ARGUMENT")
    assert ("RetryInfo" in details) is ("grpc-retry-pushback-ms" in trailers_of(error)) is (reason == "OVERLOADED")
    if status == "INTERNAL":
        assert error.details() == "internal error; request id-1"


@pytest.mark.parametrize("letter", ["a", "翻", "\U0001f600", "\n"])
@pytest.mark.parametrize("kind", list(classes()), ids=lambda kind: kind.__name__)
async def test_trailers_stay_below_what_proxies_cut(kind: type[GlossdError], letter: str, toy: Serving) -> None:
    toy.work.failure = failure(kind, letter * 100_000)
    error = await ended(toy, metadata=(("x-request-id", "i" * 128),))
    assert error.code().name == kind.status
    size = len("grpc-message") + len(quote(error.details() or "", safe=" !#$&'()*+,/:;=?@[]"))
    for key, value in trailers_of(error).items():
        size += len(key) + len(base64.b64encode(value) if isinstance(value, bytes) else value)
    assert size < MOST_TRAILER_BYTES


async def test_an_error_of_one_document_is_the_same_status_in_its_place(toy: Serving) -> None:
    toy.work.failure = failure(OverloadedError)
    request = articles.TranslateRequest(documents=[common.Document(text="a")], target_language_code="zh")
    async with grpc.aio.insecure_channel(toy.endpoint) as channel:
        (result,) = (await ArticleServiceStub(channel).Translate(request)).results
    names = {detail.TypeName() for detail in result.error.details}
    assert {"google.rpc.ErrorInfo", "google.rpc.RetryInfo"} <= names


async def unlistened() -> grpc.aio.AioRpcError:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ArticleServiceStub(channel).Digest(REQUEST, timeout=20)
        return caught.value


async def cancelled(toy: Serving) -> grpc.StatusCode:
    toy.work.hold = True
    async with grpc.aio.insecure_channel(toy.endpoint) as channel:
        call = ArticleServiceStub(channel).Digest(REQUEST)
        await toy.work.started.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return await call.code()


async def test_the_transport_s_own_errors_carry_no_reason_of_ours() -> None:
    seen: set[str] = set()
    async with serving(max_message_bytes=1024) as toy:
        large = articles.DigestRequest(document=common.Document(text="x" * 5000))
        many = tuple((f"header-{number}", "v" * 200) for number in range(200))
        options = [("grpc.max_metadata_size", 1 << 20)]
        async with grpc.aio.insecure_channel(toy.endpoint, options) as channel:
            sing: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/glossd.v1.ArticleService/Sing")
            stub = ArticleServiceStub(channel)
            calls: list[tuple[Awaitable[object], str]] = [
                (stub.Digest(large), "RESOURCE_EXHAUSTED"),
                (stub.Digest(large, compression=grpc.Compression.Gzip), "RESOURCE_EXHAUSTED"),
                (stub.Digest(REQUEST, metadata=many), "RESOURCE_EXHAUSTED"),
                (sing(b""), "UNIMPLEMENTED"),
            ]
            for call, code in calls:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                assert caught.value.code().name == code
                assert "grpc-status-details-bin" not in trailers_of(caught.value)
                seen.add(code)
        toy.work.hold = True
        seen.add((await ended(toy, timeout=0.2)).code().name)
        seen.add((await cancelled(toy)).name)
        seen.add((await unlistened()).code().name)
    page = PAGE.read_text(encoding="utf-8").partition("## Raised by the transport")[2]
    assert seen == set(TRANSPORT_ROW.findall(page))
