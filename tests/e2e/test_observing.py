"""Every call leaves its counts, one line in the log and, where asked for, a trace; none of them says what was sent."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from glossd.client import AsyncClient, CallSettings
from glossd.config import LoggingSettings, ServerSettings, TracingSettings
from glossd.errors import OverloadedError, RemoteError
from glossd.server.app import Server
from glossd.telemetry.logging import configure_logging
from glossd.telemetry.metrics import Metrics
from glossd.telemetry.traces import traces_to
from glossd.v1 import article_service_pb2 as articles
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.e2e.serving import ToyServices
from tests.toys import toy_services

SERVICE = "glossd.v1.ArticleService"
SECRET = "Zanzibar"
TEXT = f"The boat left {SECRET}. It is late. It will come back in the spring."


@dataclass
class Eyes:
    """A server that is looked at."""

    endpoint: str
    metrics: Metrics
    log: io.StringIO
    exporter: InMemorySpanExporter
    server: Server

    async def rest(self) -> None:
        """An answer leaves before its handler has returned, and told of the call."""
        async with asyncio.timeout(20):
            await self.server.calls.wait_until_idle()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def logged(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["message"] == "call"]

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def server_span(self) -> ReadableSpan:
        (span,) = [span for span in self.spans() if span.name.startswith(SERVICE)]
        return span

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, logger = logging.getLogger(), logging.getLogger("glossd")
    handlers, level, own_level = list(root.handlers), root.level, logger.level
    stream = io.StringIO()
    configure_logging(LoggingSettings(), stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logger.setLevel(own_level)


@asynccontextmanager
async def watched(log: io.StringIO, services: Any = None) -> AsyncIterator[Eyes]:
    """Serves the real tasks over toy models, or the services given."""
    metrics, exporter = Metrics(), InMemorySpanExporter()
    traces = traces_to(SimpleSpanProcessor(exporter), TracingSettings())
    settings = ServerSettings(port=0, drain_seconds=0.0)
    server = Server(services or toy_services(), settings, metrics=metrics, traces=traces)
    port = await server.start()
    server.health.open()
    eyes = Eyes(f"127.0.0.1:{port}", metrics, log, exporter, server)
    try:
        yield eyes
    finally:
        await server.drain()
    assert SECRET not in log.getvalue()
    assert all(SECRET not in span.to_json() for span in eyes.spans())


async def test_a_call_is_one_line_with_its_code_durations_and_tokens(log: io.StringIO) -> None:
    async with watched(log) as eyes:
        async with AsyncClient(eyes.endpoint) as client:
            await client.translate(TEXT, to="zh")
        await eyes.rest()
        (line,) = eyes.logged()
    assert (line["method"], line["code"]) == (f"/{SERVICE}/Translate", "OK")
    assert (line["segments"], line["cached_segments"]) == (3, 0)
    assert line["source_tokens"] == sum(len(part) for part in TEXT.split(". ")) + 5
    assert line["target_tokens"] > 0
    assert len(line["request_id"]) == 32
    assert {"seconds", "queue_seconds", "encode_seconds", "decode_seconds"} <= set(line)


async def test_a_call_is_a_trace_with_its_stages_under_the_callers_span(log: io.StringIO) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with watched(log) as eyes:
        async with grpc.aio.insecure_channel(eyes.endpoint) as channel:
            request = articles.DigestRequest()
            request.document.text = TEXT
            request.translation.target_language_code = "zh"
            await ArticleServiceStub(channel).Digest(request, metadata=(("traceparent", parent),))
        await eyes.rest()
        server = eyes.server_span()
        children = [span for span in eyes.spans() if span is not server]
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == "b7ad6b7169203331"
    assert server.context is not None
    assert {span.parent.span_id for span in children if span.parent} == {server.context.span_id}
    names = {span.name for span in children}
    assert names == {"parse", "summarize", "translate", "queue", "encode", "decode", "rebuild"}
    assert server.attributes is not None
    assert server.attributes["rpc.grpc.status_code"] == 0
    assert server.status.status_code is StatusCode.UNSET


async def test_a_stream_is_one_line_and_one_trace(log: io.StringIO) -> None:
    async with watched(log) as eyes:
        async with AsyncClient(eyes.endpoint) as client:
            events = [event async for event in client.stream_digest(TEXT, to="zh")]
        assert len(events) > 3
        await eyes.rest()
        (line,) = eyes.logged()
        assert line["code"] == "OK"
        assert line["segments"] > 0
        assert eyes.server_span().name == f"{SERVICE}/StreamDigest"


@pytest.mark.parametrize(
    ("failure", "code", "reason", "error"),
    [
        (OverloadedError("too much", retry_after_seconds=0.1), "RESOURCE_EXHAUSTED", "OVERLOADED", False),
        (ValueError(f"a fault about {SECRET}"), "INTERNAL", "INTERNAL", True),
    ],
)
async def test_a_failure_is_told_with_its_status_and_its_reason(
    failure: Exception, code: str, reason: str, error: bool, log: io.StringIO
) -> None:
    services = ToyServices()
    services.work.failure = failure
    async with watched(log, services) as eyes:
        async with grpc.aio.insecure_channel(eyes.endpoint) as channel:
            request = articles.DigestRequest()
            request.document.text = TEXT
            request.translation.target_language_code = "zh"
            with pytest.raises(grpc.aio.AioRpcError):
                await ArticleServiceStub(channel).Digest(request)
        await eyes.rest()
        (line,) = eyes.logged()
        assert (line["code"], line["reason"], line["errors"]) == (code, reason, 1)
        span = eyes.server_span()
        assert span.attributes is not None
        assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode[code].value[0]
        assert span.attributes["glossd.reason"] == reason
        assert (span.status.status_code is StatusCode.ERROR) is error
        assert eyes.sample("glossd_errors_total", reason=reason) == 1
        assert eyes.sample("glossd_requests_total", method=f"/{SERVICE}/Digest", code=code) == 1


async def test_a_document_that_fails_by_itself_is_counted_though_its_call_is_well(log: io.StringIO) -> None:
    async with watched(log) as eyes:
        async with AsyncClient(eyes.endpoint) as client:
            texts = await client.translate_many([TEXT, "Bonjour, le train est parti.", ""], to="zh")
        assert [isinstance(text, RemoteError) for text in texts] == [False, True, True]
        await eyes.rest()
        (line,) = eyes.logged()
        assert (line["code"], line["errors"]) == ("OK", 2)
        assert line["reason"] == "INVALID_INPUT,UNSUPPORTED_LANGUAGE"
        assert eyes.sample("glossd_errors_total", reason="UNSUPPORTED_LANGUAGE") == 1


async def test_a_deadline_and_a_caller_who_leaves_are_told_apart(log: io.StringIO) -> None:
    services = ToyServices()
    services.work.hold = True
    async with watched(log, services) as eyes, AsyncClient(eyes.endpoint) as client:
        with pytest.raises(RemoteError, match="DEADLINE_EXCEEDED"):
            await client.digest(TEXT, to="zh", settings=CallSettings(timeout_seconds=0.2))
        async with asyncio.timeout(10):
            await services.work.stopped.wait()
        services.work.started.clear()
        services.work.stopped.clear()
        leaving = asyncio.create_task(client.digest(TEXT, to="zh"))
        async with asyncio.timeout(10):
            await services.work.started.wait()
            leaving.cancel()
            await services.work.stopped.wait()
    assert sorted(line["code"] for line in eyes.logged()) == ["CANCELLED", "DEADLINE_EXCEEDED"]
    codes = sorted(str((span.attributes or {})["rpc.grpc.status_code"]) for span in eyes.spans())
    assert codes == ["1", "4"]
