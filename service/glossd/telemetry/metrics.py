"""The Prometheus metrics of one process and the endpoint that serves them. Their names stand in the catalogue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from time import perf_counter
from types import MappingProxyType
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from glossd.config import MetricsSettings
from glossd.telemetry import catalogue
from glossd.telemetry.calls import current_call
from glossd.telemetry.catalogue import ENGINE_METRICS, Kind, MetricSpec

NOTHING: Mapping[str, int] = MappingProxyType({})


class Stage(Enum):
    """Stations of a document's road: PARSE and REBUILD once a document, the others once a segment."""

    PARSE = "parse"
    QUEUE = "queue"
    ENCODE = "encode"
    DECODE = "decode"
    REBUILD = "rebuild"


@dataclass(frozen=True, slots=True)
class EngineReading:
    """What an engine tells when it is asked: levels now and totals since it started; meanings in the catalogue.

    ``padding_share`` is the part of the encoded source tokens that was padding, 0..1.
    """

    model: str
    alive: bool
    queued_segments: int = 0
    queued_tokens: int = 0
    rows_in_use: int = 0
    rows: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    decode_steps: int = 0
    cached_segments: int = 0
    padding_share: float = 0.0
    beat_age_seconds: float = 0.0
    restarts: int = 0
    row_limit: int = 0
    cache_bytes: int = 0
    padded_source_tokens: int = 0
    encoder_runs: int = 0
    row_steps: int = 0
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    cancelled_segments: int = 0
    expired_segments: int = 0
    expired_unstarted_segments: int = 0
    failed_model_calls: int = 0
    memory_failures: int = 0


class _EngineCollector(Collector):
    """Reads the engines when Prometheus asks, so that the engines count nothing twice."""

    def __init__(self, read: Callable[[], Iterable[EngineReading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The families of all engines."""
        readings = list(self._read())
        for field, spec in ENGINE_METRICS.items():
            family = _family(spec)
            for reading in readings:
                family.add_metric([reading.model], float(getattr(reading, field)))
            yield family


class _StateCollector(Collector):
    """Reads whether the server and each known model take work."""

    def __init__(self, serving: Callable[[], bool], models: Callable[[], Iterable[tuple[str, bool]]]) -> None:
        self._serving = serving
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """The states now."""
        serving = _family(catalogue.SERVING)
        serving.add_metric([], float(self._serving()))
        yield serving
        models = _family(catalogue.MODEL_READY)
        for name, ready in self._models():
            models.add_metric([name], float(ready))
        yield models


def _family(spec: MetricSpec) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if spec.kind is Kind.COUNTER else GaugeMetricFamily
    return kind(spec.name, spec.explanation, labels=list(spec.labels))


class Metrics:
    """The metrics of one process, in a registry of their own. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter(catalogue.REQUESTS)
        self._request_seconds = self._histogram(catalogue.REQUEST_SECONDS)
        self._in_flight = self._gauge(catalogue.IN_FLIGHT)
        self._errors = self._counter(catalogue.ERRORS)
        self._callers = self._counter(catalogue.CALLERS)
        self._partial = self._counter(catalogue.PARTIAL)
        self._first_segment = self._histogram(catalogue.FIRST_SEGMENT)
        self._stage_seconds = self._histogram(catalogue.STAGE_SECONDS)

    def _counter(self, spec: MetricSpec) -> Counter:
        return Counter(spec.name, spec.explanation, spec.labels, registry=self.registry)

    def _gauge(self, spec: MetricSpec) -> Gauge:
        return Gauge(spec.name, spec.explanation, spec.labels, registry=self.registry)

    def _histogram(self, spec: MetricSpec) -> Histogram:
        buckets = catalogue.SECONDS_BUCKETS
        return Histogram(spec.name, spec.explanation, spec.labels, buckets=buckets, registry=self.registry)

    @contextmanager
    def call_in_flight(self, method: str) -> Iterator[None]:
        """Count a call of ``method`` as being served while inside."""
        gauge = self._in_flight.labels(method)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    def call_answered(self, method: str, code: str, seconds: float, *, reasons: Mapping[str, int] = NOTHING) -> None:
        """A call ended with the gRPC status name ``code`` after ``seconds``; ``reasons`` count what failed in it."""
        self._requests.labels(method, code).inc()
        self._request_seconds.labels(method).observe(seconds)
        for reason, count in reasons.items():
            self._errors.labels(reason).inc(count)

    def caller_let_in(self, caller: str) -> None:
        """A call came with the token of ``caller``."""
        self._callers.labels(caller).inc()

    def text_is_partial(self) -> None:
        """A text was answered at the deadline with what was done of it."""
        self._partial.inc()

    def first_segment_done(self, seconds: float) -> None:
        """The first segment of a text was done ``seconds`` after the first one was queued."""
        self._first_segment.observe(seconds)

    def stage_done(self, stage: Stage, seconds: float) -> None:
        """A document or a segment spent ``seconds`` in ``stage``."""
        self._stage_seconds.labels(stage.value).observe(seconds)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """As :meth:`stage_done`, for what runs inside, which is a span of the call's trace too."""
        start = perf_counter()
        try:
            with current_call().span(stage.value):
                yield
        finally:
            self.stage_done(stage, perf_counter() - start)

    def watch_engines(self, read: Callable[[], Iterable[EngineReading]]) -> None:
        """Ask ``read`` for the engines' state whenever the metrics are scraped."""
        self.registry.register(_EngineCollector(read))

    def watch_process(
        self, version: str, serving: Callable[[], bool], models: Callable[[], Iterable[tuple[str, bool]]]
    ) -> None:
        """Tell, whenever the metrics are scraped, whether the server and each model take work, and of the process."""
        self._gauge(catalogue.BUILD).labels(version).set(1)
        self.registry.register(_StateCollector(serving, models))
        ProcessCollector(registry=self.registry)


@dataclass(slots=True)
class MetricsEndpoint:
    """The HTTP endpoint while it runs. ``port`` is the real one."""

    server: WSGIServer
    thread: threading.Thread

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server.server_port)

    def close(self) -> None:
        """Stop listening and wait for the thread."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def serve_metrics(metrics: Metrics, settings: MetricsSettings) -> MetricsEndpoint | None:
    """Start the endpoint if the settings ask for it."""
    if not settings.enabled:
        return None
    server, thread = start_http_server(settings.port, addr=settings.host, registry=metrics.registry)
    return MetricsEndpoint(server, thread)
