"""Every Prometheus metric of glossd, named here and nowhere else. Never a user's text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from time import perf_counter
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from glossd.config import MetricsSettings

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Stage(Enum):
    """Stations of a document's road: PARSE and REBUILD once a document, QUEUE and COMPUTE once a segment."""

    PARSE = "parse"
    QUEUE = "queue"
    COMPUTE = "compute"
    REBUILD = "rebuild"


@dataclass(frozen=True, slots=True)
class EngineReading:
    """What an engine tells when it is asked: levels now and totals since it started.

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


class _EngineCollector(Collector):
    """Reads the engines when Prometheus asks, so that the engines count nothing twice."""

    def __init__(self, read: Callable[[], Iterable[EngineReading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The families of all engines."""
        readings = list(self._read())
        gauges: tuple[tuple[str, str, Callable[[EngineReading], float]], ...] = (
            ("glossd_engine_alive", "1 while the engine thread lives.", lambda one: float(one.alive)),
            ("glossd_queue_segments", "Segments that wait.", lambda one: one.queued_segments),
            ("glossd_queue_tokens", "Source tokens that wait.", lambda one: one.queued_tokens),
            ("glossd_rows_in_use", "Decoder rows in use.", lambda one: one.rows_in_use),
            ("glossd_rows", "Decoder rows there are.", lambda one: one.rows),
            (
                "glossd_padding_share",
                "Share of encoded tokens that was padding.",
                lambda one: one.padding_share,
            ),
        )
        counters: tuple[tuple[str, str, Callable[[EngineReading], float]], ...] = (
            ("glossd_source_tokens", "Source tokens encoded.", lambda one: one.source_tokens),
            ("glossd_target_tokens", "Target tokens decoded.", lambda one: one.target_tokens),
            ("glossd_decode_steps", "Decode steps run.", lambda one: one.decode_steps),
            (
                "glossd_cached_segments",
                "Segments answered without computing.",
                lambda one: one.cached_segments,
            ),
        )
        for name, explanation, value in gauges:
            gauge = GaugeMetricFamily(name, explanation, labels=["model"])
            for reading in readings:
                gauge.add_metric([reading.model], value(reading))
            yield gauge
        for name, explanation, value in counters:
            counter = CounterMetricFamily(name, explanation, labels=["model"])
            for reading in readings:
                counter.add_metric([reading.model], value(reading))
            yield counter


class Metrics:
    """The metrics of one process, in a registry of their own. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("glossd_requests", "Calls answered.", ["method", "code"], registry=self.registry)
        self._request_seconds = Histogram(
            "glossd_request_seconds",
            "Time to answer a call.",
            ["method"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "glossd_stage_seconds",
            "Time by stage: parse and rebuild of a document, queue and compute of a segment.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._callers = Counter(
            "glossd_caller_requests", "Calls let in, by the name of the token.", ["caller"], registry=self.registry
        )
        self._in_flight = Gauge("glossd_requests_in_flight", "Calls being served.", ["method"], registry=self.registry)

    @contextmanager
    def call_in_flight(self, method: str) -> Iterator[None]:
        """Count a call of ``method`` as being served while inside."""
        gauge = self._in_flight.labels(method)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    def call_answered(self, method: str, code: str, seconds: float) -> None:
        """A call ended with the gRPC status name ``code`` after ``seconds``."""
        self._requests.labels(method, code).inc()
        self._request_seconds.labels(method).observe(seconds)

    def caller_let_in(self, caller: str) -> None:
        """A call came with the token of ``caller``."""
        self._callers.labels(caller).inc()

    def stage_done(self, stage: Stage, seconds: float) -> None:
        """A document or a segment spent ``seconds`` in ``stage``."""
        self._stage_seconds.labels(stage.value).observe(seconds)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """As :meth:`stage_done`, for what runs inside."""
        start = perf_counter()
        try:
            yield
        finally:
            self.stage_done(stage, perf_counter() - start)

    def watch_engines(self, read: Callable[[], Iterable[EngineReading]]) -> None:
        """Ask ``read`` for the engines' state whenever the metrics are scraped."""
        self.registry.register(_EngineCollector(read))


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
