"""OpenTelemetry traces (extra ``otel``): one server span a call, children for its stages. Off without an endpoint.

Attributes are names, codes and counts, never a user's text; an error's message is left out for the same reason.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from glossd.config import TracingSettings
from glossd.errors import InvalidInputError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span, Tracer

LAST_SPANS_SECONDS = 5.0
EXPORT_SECONDS = 5

# What the semantic conventions for gRPC servers call an error; the others are the caller's affair.
SERVER_ERRORS = {
    "UNKNOWN": 2,
    "DEADLINE_EXCEEDED": 4,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
}
CODES = SERVER_ERRORS | {
    "OK": 0,
    "CANCELLED": 1,
    "INVALID_ARGUMENT": 3,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNAUTHENTICATED": 16,
}


class CallTrace:
    """The spans of one call. ``end`` closes it."""

    def __init__(self, tracer: Tracer, span: Span, context: Context) -> None:
        self._tracer = tracer
        self._span = span
        self._context = context

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """What runs inside is a child of the call."""
        from opentelemetry.trace import StatusCode

        span = self._tracer.start_span(name, context=self._context)
        try:
            yield
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()

    def record(self, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, float]) -> None:
        """A child that is over; times are ``time.monotonic_ns``."""
        since_1970_ns = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(
            name, context=self._context, start_time=start_ns + since_1970_ns, attributes=dict(attributes)
        )
        span.end(end_ns + since_1970_ns)

    def end(self, code: str, attributes: Mapping[str, str | float]) -> None:
        """The call was answered with the gRPC status name ``code``."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("rpc.grpc.status_code", CODES.get(code, 2))
        for name, value in attributes.items():
            self._span.set_attribute(name, value)
        if code in SERVER_ERRORS:
            self._span.set_attribute("error.type", code)
            self._span.set_status(StatusCode.ERROR, code)
        self._span.end()


class Traces:
    """Where calls are traced to."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("glossd")

    def begin(self, method: str, metadata: Mapping[str, str]) -> CallTrace:
        """A call of ``method``, "/service/name", begins; its metadata may name the caller's trace (``traceparent``)."""
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        service, _, name = method.strip("/").partition("/")
        parent = TraceContextTextMapPropagator().extract(dict(metadata))
        known = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        span = self._tracer.start_span(f"{service}/{name}", context=parent, kind=SpanKind.SERVER, attributes=known)
        return CallTrace(self._tracer, span, set_span_in_context(span, parent))

    def close(self) -> None:
        """Send what is left, for at most ``LAST_SPANS_SECONDS``."""
        last = threading.Thread(target=self._provider.shutdown, name="glossd-traces-close", daemon=True)
        last.start()
        last.join(LAST_SPANS_SECONDS)


def open_traces(settings: TracingSettings, *, version: str = "") -> Traces | None:
    """Traces to the endpoint that the settings name; None for none. Raises ``InvalidInputError`` without the extra."""
    if not settings.endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        problem = f"{settings.endpoint!r} needs OpenTelemetry: pip install 'glossd[otel]'"
        raise InvalidInputError("tracing.endpoint", problem) from error
    insecure = not settings.endpoint.startswith("https://")
    exporter = OTLPSpanExporter(endpoint=settings.endpoint, insecure=insecure, timeout=EXPORT_SECONDS)
    return traces_to(BatchSpanProcessor(exporter), settings, version=version)


def traces_to(processor: SpanProcessor, settings: TracingSettings, *, version: str = "") -> Traces:
    """Traces to a processor of spans."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    resource = Resource.create({"service.name": settings.service_name, "service.version": version})
    provider = TracerProvider(
        resource=resource, sampler=ParentBasedTraceIdRatio(settings.sample_share), shutdown_on_exit=False
    )
    provider.add_span_processor(processor)
    return Traces(provider)
