"""Every Prometheus metric of glossd: name, kind, unit, labels and meaning, here and nowhere else.

``docs/metrics.md``, the dashboards' tests and ``glossd metrics`` are made from this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Kind(Enum):
    """What Prometheus makes of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric. ``name`` is without the endings that Prometheus adds to counters and histograms."""

    name: str
    kind: Kind
    unit: str
    explanation: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}_{ending}" for ending in ("bucket", "count", "sum"))
        return (f"{self.name}_total",) if self.kind is Kind.COUNTER else (self.name,)


def _counter(name: str, unit: str, explanation: str, *labels: str) -> MetricSpec:
    return MetricSpec(name, Kind.COUNTER, unit, explanation, labels)


def _gauge(name: str, unit: str, explanation: str, *labels: str) -> MetricSpec:
    return MetricSpec(name, Kind.GAUGE, unit, explanation, labels)


def _histogram(name: str, explanation: str, *labels: str) -> MetricSpec:
    return MetricSpec(name, Kind.HISTOGRAM, "seconds", explanation, labels)


REQUESTS = _counter("glossd_requests", "calls", "Calls answered, by their gRPC status.", "method", "code")
REQUEST_SECONDS = _histogram("glossd_request_seconds", "Time to answer a call.", "method")
IN_FLIGHT = _gauge("glossd_requests_in_flight", "calls", "Calls being served.", "method")
ERRORS = _counter(
    "glossd_errors", "errors", "Calls, or documents of calls, refused or failed, by reason: OVERLOADED, ...", "reason"
)
CALLERS = _counter("glossd_caller_requests", "calls", "Calls let in, by the name of the token.", "caller")
PARTIAL = _counter("glossd_partial_texts", "texts", "Texts answered at the deadline with what was done of them.")
FIRST_SEGMENT = _histogram("glossd_first_segment_seconds", "From a text's first segment queued to its first one done.")
STAGE_SECONDS = _histogram(
    "glossd_stage_seconds",
    "Time by stage: parse and rebuild of a document; queue, encode and decode of a segment.",
    "stage",
)
SERVING = _gauge("glossd_serving", "0 or 1", "1 while the overall health is SERVING.")
MODEL_READY = _gauge("glossd_model_ready", "0 or 1", "1 while a known model is loaded and well.", "model")
BUILD = _gauge("glossd_build_info", "1", "Always 1; the label tells the version.", "version")

CALL_METRICS = (REQUESTS, REQUEST_SECONDS, IN_FLIGHT, ERRORS, CALLERS, PARTIAL, FIRST_SEGMENT, STAGE_SECONDS)
STATE_METRICS = (SERVING, MODEL_READY, BUILD)

ENGINE_METRICS: dict[str, MetricSpec] = {
    "alive": _gauge("glossd_engine_alive", "0 or 1", "1 while all engine threads of a model are well.", "model"),
    "beat_age_seconds": _gauge(
        "glossd_engine_beat_age_seconds", "seconds", "Since the stillest engine's last sign of life.", "model"
    ),
    "restarts": _counter("glossd_engine_restarts", "restarts", "Engines that died and were replaced.", "model"),
    "queued_segments": _gauge("glossd_queue_segments", "segments", "Segments that wait.", "model"),
    "queued_tokens": _gauge("glossd_queue_tokens", "tokens", "Source tokens that wait.", "model"),
    "rows_in_use": _gauge("glossd_rows_in_use", "rows", "Decoder rows in use; over glossd_rows: occupancy.", "model"),
    "rows": _gauge("glossd_rows", "rows", "Decoder rows there are.", "model"),
    "row_limit": _gauge("glossd_row_limit", "rows", "Decoder rows let in now; less after a want of memory.", "model"),
    "cache_bytes": _gauge("glossd_cache_bytes", "bytes", "Memory of keys and values in flight.", "model"),
    "padding_share": _gauge(
        "glossd_padding_share", "0..1", "Share of encoded tokens that was padding, since the start.", "model"
    ),
    "source_tokens": _counter("glossd_source_tokens", "tokens", "Source tokens encoded.", "model"),
    "padded_source_tokens": _counter(
        "glossd_padded_source_tokens", "tokens", "Source tokens encoded, with their padding.", "model"
    ),
    "target_tokens": _counter("glossd_target_tokens", "tokens", "Target tokens of finished segments.", "model"),
    "encoder_runs": _counter("glossd_encoder_runs", "runs", "Batches encoded.", "model"),
    "decode_steps": _counter("glossd_decode_steps", "steps", "Decode steps run.", "model"),
    "row_steps": _counter(
        "glossd_row_steps", "rows", "Rows decoded, summed over the steps; over the steps: mean batch size.", "model"
    ),
    "encode_seconds": _counter("glossd_encode_seconds", "seconds", "Time spent encoding.", "model"),
    "decode_seconds": _counter("glossd_decode_seconds", "seconds", "Time spent in decode steps.", "model"),
    "cached_segments": _counter("glossd_cached_segments", "segments", "Segments answered without computing.", "model"),
    "cancelled_segments": _counter(
        "glossd_cancelled_segments", "segments", "Segments whose callers left before they were done.", "model"
    ),
    "expired_segments": _counter(
        "glossd_expired_segments", "segments", "Segments whose deadline passed before they were done.", "model"
    ),
    "expired_unstarted_segments": _counter(
        "glossd_expired_unstarted_segments",
        "segments",
        "Those of them that had not reached the model: it never saw them.",
        "model",
    ),
    "failed_model_calls": _counter(
        "glossd_failed_model_calls",
        "calls",
        "Encoder runs and decode steps that raised, and were tried again.",
        "model",
    ),
    "memory_failures": _counter(
        "glossd_out_of_memory", "calls", "Those of them that raised for want of memory.", "model"
    ),
}
"""The field of an engine's reading to its metric."""

PROCESS_METRICS = (
    _gauge("process_resident_memory_bytes", "bytes", "Memory of the process (RSS)."),
    _gauge("process_virtual_memory_bytes", "bytes", "Address space of the process."),
    _counter("process_cpu_seconds", "seconds", "Processor time, user and system."),
    _gauge("process_open_fds", "files", "Open file descriptors."),
    _gauge("process_max_fds", "files", "Most file descriptors that may be open."),
    _gauge("process_start_time_seconds", "seconds", "When the process began, since 1970."),
)
"""What the client library reads from the system, on Linux."""


def all_metrics() -> tuple[MetricSpec, ...]:
    """Every metric that an endpoint may show."""
    return (*CALL_METRICS, *STATE_METRICS, *ENGINE_METRICS.values(), *PROCESS_METRICS)


def markdown_table() -> str:
    """The metrics as a Markdown table."""
    head = ("| metric | kind | unit | labels | meaning |", "|---|---|---|---|---|")
    rows = [
        f"| `{spec.name}{'_total' if spec.kind is Kind.COUNTER else ''}` | {spec.kind.value} | {spec.unit} | "
        f"{', '.join(spec.labels)} | {spec.explanation} |"
        for spec in all_metrics()
    ]
    return "\n".join((*head, *rows)) + "\n"
