"""What is seen of every call: metrics, one line in the log, a trace. Put around it as the other surrounds are."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import grpc

from glossd.server.access import current_caller
from glossd.server.interceptors import Call
from glossd.telemetry.calls import CallRecord, recorded
from glossd.telemetry.metrics import Metrics
from glossd.telemetry.traces import CallTrace, Traces

_log = logging.getLogger(__name__)


class Observed:
    """Counts, times, logs and traces calls."""

    def __init__(self, metrics: Metrics, traces: Traces | None = None) -> None:
        self._metrics = metrics
        self._traces = traces

    @asynccontextmanager
    async def __call__(self, call: Call) -> AsyncIterator[None]:
        """One call."""
        start = perf_counter()
        code = "OK"
        trace = None if self._traces is None else self._traces.begin(call.method, _text_metadata(call))
        with self._metrics.call_in_flight(call.method), recorded(CallRecord(trace)) as record:
            try:
                yield
            except grpc.aio.AbortError:
                code = status_name(call)
                raise
            except BaseException:
                code = "DEADLINE_EXCEEDED" if _expired(call) else "CANCELLED"
                raise
            finally:
                seconds = perf_counter() - start
                self._metrics.call_answered(call.method, code, seconds, reasons=record.reasons)
                _tell(call, code, seconds, record, trace)


def _tell(call: Call, code: str, seconds: float, record: CallRecord, trace: CallTrace | None) -> None:
    reasons = ",".join(sorted(record.reasons))
    words = {name: word for name, word in (("reason", reasons), ("caller", current_caller())) if word}
    figures = {"errors": record.reasons.total(), **record.figures()}
    _log.info("call", extra={"method": call.method, "code": code, "seconds": round(seconds, 4), **words, **figures})
    if trace is not None:
        known = {f"glossd.{name}": value for name, value in (words | figures).items()}
        trace.end(code, known | {"glossd.request_id": call.request_id})


def status_name(call: Call) -> str:
    """The name of the status that a call was ended with."""
    code: object = call.context.code()  # the library gives an enum member or a number
    return next((each.name for each in grpc.StatusCode if code in (each, each.value[0])), "UNKNOWN")


def _expired(call: Call) -> bool:
    left = call.context.time_remaining()
    return left is not None and left <= 0


def _text_metadata(call: Call) -> dict[str, str]:
    pairs = call.context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}
