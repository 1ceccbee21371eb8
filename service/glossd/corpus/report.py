"""The report of a finished run, from its journal: it covers all sessions, however often the run was interrupted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from glossd.corpus.journal import Journal
from glossd.corpus.tally import Tally

MOST_MOMENTS = 240


@dataclass(frozen=True, slots=True)
class Moment:
    """What was done in a stretch of time: ``until`` is in seconds of work since the run began."""

    until: float
    records: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a run made, of what, with what, and how fast. ``seconds`` is time at work, without pauses in between."""

    header: Mapping[str, object]
    tally: Tally
    sessions: int
    seconds: float
    moments: tuple[Moment, ...]

    def as_bytes(self) -> bytes:
        """The report as JSON."""
        seconds = max(self.seconds, 1e-9)
        records = self.tally.rows + self.tally.errors
        values = {
            "records": records,
            **self.tally.as_json(),
            "sessions": self.sessions,
            "seconds": round(self.seconds, 3),
            "records_per_second": round(records / seconds, 3),
            "output_tokens_per_second": round(self.tally.output_tokens / seconds, 1),
            "throughput": [
                {"until": round(each.until, 3), "records": each.records, "output_tokens": each.output_tokens}
                for each in self.moments
            ],
            "run": {name: value for name, value in self.header.items() if name not in ("kind", "version")},
        }
        return json.dumps(values, ensure_ascii=False, indent=1).encode() + b"\n"


def build_report(header: Mapping[str, object], journal: Journal) -> Report:
    """Add up what the journal says of every shard."""
    total = Tally()
    moments: list[Moment] = []
    sessions: set[float] = set()
    before = latest = session = 0.0
    for started, at, tally in journal.tallies():
        if started != session:
            before, session = latest, started
            sessions.add(started)
        latest = max(latest, before + at - started)
        moments.append(Moment(latest, tally.rows + tally.errors, tally.output_tokens))
        total.add(tally)
        if len(moments) > 2 * MOST_MOMENTS:
            moments = _halved(moments)
    if len(moments) > MOST_MOMENTS:
        moments = _halved(moments)
    return Report(header, total, len(sessions), latest, tuple(moments))


def _halved(moments: list[Moment]) -> list[Moment]:
    """Two neighbours as one."""
    pairs = [moments[index : index + 2] for index in range(0, len(moments), 2)]
    return [
        Moment(pair[-1].until, sum(each.records for each in pair), sum(each.output_tokens for each in pair))
        for pair in pairs
    ]
