"""What an engine counts, for metrics and benchmarks. No behaviour but adding up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

_NEVER_SILENT = 1 << 63


@dataclass(slots=True)
class StepCounters:
    """What the runner did so far, for metrics and benchmarks."""

    steps: int = 0
    row_steps: int = 0
    encoder_runs: int = 0
    source_tokens: int = 0
    padded_source_tokens: int = 0
    output_tokens: int = 0
    encode_ns: int = 0
    decode_ns: int = 0

    def expected_encode_ns(self, padded_tokens: int) -> int:
        """How long an encoder run of so many tokens should take, by those before it; 0 before the first."""
        return self.encode_ns * padded_tokens // self.padded_source_tokens if self.padded_source_tokens else 0

    def expected_step_ns(self) -> int:
        """The same for a decode step."""
        return self.decode_ns // self.steps if self.steps else 0


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """A moment's view of an engine, for metrics."""

    waiting: int
    waiting_tokens: int
    live_sequences: int
    live_rows: int
    rows: int
    cancelled: int
    expired: int
    expired_unstarted: int
    shared: int
    cached: int
    cache_bytes: int
    row_limit: int
    failed_calls: int
    memory_failures: int
    beat_ns: int
    counters: StepCounters

    def ended(self) -> EngineStatistics:
        """What is left of them when the engine is gone: the counts, and none of the levels."""
        gone = replace(self, waiting=0, waiting_tokens=0, live_sequences=0, live_rows=0, rows=0)
        return replace(gone, cache_bytes=0, row_limit=0, beat_ns=_NEVER_SILENT)


def total(parts: Sequence[EngineStatistics]) -> EngineStatistics:
    """Several engines added up; the beat is that of the one that was silent longest."""
    counters = StepCounters(
        *(sum(getattr(part.counters, item.name) for part in parts) for item in fields(StepCounters))
    )
    sums = {item.name: sum(getattr(part, item.name) for part in parts) for item in fields(EngineStatistics)[:-2]}
    return EngineStatistics(**sums, beat_ns=min(part.beat_ns for part in parts), counters=counters)
