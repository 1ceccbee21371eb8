"""What one call used and what went wrong with it: told by the tasks, read when the call ends. Never a user's text."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from glossd.types import Generation


class Spans(Protocol):
    """A call's trace, where calls are traced."""

    def span(self, name: str) -> AbstractContextManager[None]:
        """What runs inside is a child of the call."""
        ...

    def record(self, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, float]) -> None:
        """A child that is over; times are ``time.monotonic_ns``."""
        ...


@dataclass(slots=True)
class Interval:
    """From the first start to the last end of one stage of many segments, and the time of all of them together."""

    start_ns: int
    end_ns: int
    busy_ns: int = 0

    def add(self, start_ns: int, end_ns: int) -> None:
        """One more segment."""
        self.start_ns = min(self.start_ns, start_ns)
        self.end_ns = max(self.end_ns, end_ns)
        self.busy_ns += end_ns - start_ns


class Tally:
    """What the segments of one text used. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began_ns = 0
        self.segments = self.cached_segments = self.source_tokens = self.target_tokens = 0
        self.stages: dict[str, Interval] = {}

    def sent(self) -> None:
        """A segment was queued."""
        with self._lock:
            self._began_ns = self._began_ns or time.monotonic_ns()

    def landed(self, source_tokens: int, generation: Generation) -> float | None:
        """A segment is done. For the first one: the seconds since the first was queued."""
        end_ns = time.monotonic_ns()
        encoding_ns = end_ns - generation.compute_ns
        decoding_ns = encoding_ns + generation.encode_ns
        with self._lock:
            self.segments += 1
            self.source_tokens += source_tokens
            self.target_tokens += len(generation.token_ids)
            if generation.cached:
                self.cached_segments += 1
            else:
                self._stage("queue", encoding_ns - generation.queue_ns, encoding_ns)
                self._stage("encode", encoding_ns, decoding_ns)
                self._stage("decode", decoding_ns, end_ns)
            return (end_ns - self._began_ns) / 1e9 if self.segments == 1 else None

    def _stage(self, name: str, start_ns: int, end_ns: int) -> None:
        self.stages.setdefault(name, Interval(start_ns, end_ns)).add(start_ns, end_ns)


class CallRecord:
    """One call's sums. ``reasons`` counts what failed, the call or documents of it, by the stable word of the error."""

    def __init__(self, spans: Spans | None = None) -> None:
        self._spans = spans
        self._lock = threading.Lock()
        self.reasons: Counter[str] = Counter()
        self.segments = self.cached_segments = self.source_tokens = self.target_tokens = 0
        self.busy_ns: dict[str, int] = {}

    def span(self, name: str) -> AbstractContextManager[None]:
        """What runs inside is a child span of the call, where calls are traced."""
        return nullcontext() if self._spans is None else self._spans.span(name)

    def failed(self, reason: str) -> None:
        """The call, or one document of it, failed."""
        with self._lock:
            self.reasons[reason] += 1

    def add(self, tally: Tally) -> None:
        """A text is done, or given up."""
        with self._lock:
            self.segments += tally.segments
            self.cached_segments += tally.cached_segments
            self.source_tokens += tally.source_tokens
            self.target_tokens += tally.target_tokens
            for name, interval in tally.stages.items():
                self.busy_ns[name] = self.busy_ns.get(name, 0) + interval.busy_ns
        if self._spans is not None:
            for name, interval in tally.stages.items():
                known = {
                    "glossd.segments": tally.segments - tally.cached_segments,
                    "glossd.busy_seconds": interval.busy_ns / 1e9,
                }
                self._spans.record(name, interval.start_ns, interval.end_ns, known)

    def figures(self) -> dict[str, float]:
        """For the log: counts, and the seconds of all segments together by stage."""
        counts = ("segments", "cached_segments", "source_tokens", "target_tokens")
        known: dict[str, float] = {name: getattr(self, name) for name in counts}
        return known | {f"{name}_seconds": round(busy / 1e9, 4) for name, busy in self.busy_ns.items()}


_current: ContextVar[CallRecord | None] = ContextVar("glossd_call", default=None)


def current_call() -> CallRecord:
    """The record of the call that this task or thread works for; one that nobody reads where there is no call."""
    return _current.get() or CallRecord()


@contextmanager
def recorded(record: CallRecord) -> Iterator[CallRecord]:
    """Everything inside, in this task and those it starts, is told to ``record``."""
    token = _current.set(record)
    try:
        yield record
    finally:
        _current.reset(token)
