"""Traces: settings, the parent that a caller names, the status of each code, and what they never carry."""

from __future__ import annotations

import time

import pytest
from glossd.config import Settings, TracingSettings, load_settings
from glossd.errors import InvalidInputError
from glossd.telemetry.traces import CODES, SERVER_ERRORS, Traces, open_traces, traces_to
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

PARENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def traces(exporter: InMemorySpanExporter, share: float = 1.0) -> Traces:
    return traces_to(SimpleSpanProcessor(exporter), TracingSettings(sample_share=share))


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_without_an_endpoint_nothing_is_traced() -> None:
    assert Settings().tracing.endpoint == ""
    assert open_traces(TracingSettings()) is None


def test_an_endpoint_must_be_an_address() -> None:
    with pytest.raises(InvalidInputError, match=r"tracing\.endpoint"):
        load_settings(assignments=["tracing.endpoint=collector"], environment={})


def test_a_collector_that_is_not_there_hurts_nobody() -> None:
    opened = open_traces(TracingSettings(endpoint="http://127.0.0.1:9"))
    assert opened is not None
    opened.begin("/a/B", {}).end("OK", {})
    opened.close()


def test_the_callers_trace_is_continued(exporter: InMemorySpanExporter) -> None:
    call = traces(exporter).begin("/glossd.v1.ArticleService/Digest", PARENT)
    with call.span("parse"):
        pass
    now = time.monotonic_ns()
    call.record("queue", now - 5_000_000, now, {"glossd.segments": 3})
    call.end("OK", {"glossd.target_tokens": 4})
    spans = by_name(exporter)
    server = spans["glossd.v1.ArticleService/Digest"]
    assert server.kind is SpanKind.SERVER
    assert server.context is not None
    assert server.parent is not None
    assert f"{server.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{server.parent.span_id:016x}" == "b7ad6b7169203331"
    for name in ("parse", "queue"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == server.context.span_id
    queue = spans["queue"]
    assert queue.start_time is not None
    assert queue.end_time is not None
    assert queue.end_time - queue.start_time == 5_000_000
    assert abs(queue.end_time - time.time_ns()) < 60_000_000_000


@pytest.mark.parametrize("code", CODES)
def test_every_status_is_told_and_the_servers_own_faults_are_errors(code: str, exporter: InMemorySpanExporter) -> None:
    traces(exporter).begin("/a/B", {}).end(code, {})
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["rpc.grpc.status_code"] == CODES[code]
    assert (span.status.status_code is StatusCode.ERROR) == (code in SERVER_ERRORS)


def test_a_stage_that_fails_is_marked_without_its_message(exporter: InMemorySpanExporter) -> None:
    call = traces(exporter).begin("/a/B", {})
    with pytest.raises(ValueError, match="secret"), call.span("rebuild"):
        raise ValueError("a secret sentence")
    call.end("INTERNAL", {})
    span = by_name(exporter)["rebuild"]
    assert span.status.status_code is StatusCode.ERROR
    assert "secret" not in span.to_json()


def test_no_share_is_no_traces_but_for_traced_callers(exporter: InMemorySpanExporter) -> None:
    none = traces(exporter, share=0.0)
    none.begin("/a/B", {}).end("OK", {})
    assert not exporter.get_finished_spans()
    none.begin("/a/B", PARENT).end("OK", {})
    assert len(exporter.get_finished_spans()) == 1
