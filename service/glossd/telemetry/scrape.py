"""Reading a server's metrics back: one look at the endpoint, and what happened between two looks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from glossd.errors import GlossdError
from glossd.telemetry.catalogue import BUILD, Kind, MetricSpec

Labels = frozenset[tuple[str, str]]
MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All samples at one moment. ``seconds`` is ``time.monotonic``."""

    seconds: float
    samples: Mapping[tuple[str, Labels], float]

    def total(self, spec: MetricSpec, ending: str = "", **labels: str) -> float:
        """The sum over all series of a metric that have these labels; 0.0 where there are none."""
        name = f"{spec.name}{ending or ('_total' if spec.kind is Kind.COUNTER else '')}"
        wanted = set(labels.items())
        return sum(value for (series, known), value in self.samples.items() if series == name and wanted <= known)

    def values(self, label: str) -> list[str]:
        """Every value that a label has, in order."""
        return sorted({value for _, known in self.samples for name, value in known if name == label})

    def buckets(self, spec: MetricSpec, **labels: str) -> dict[float, float]:
        """Upper bounds to counts, summed over the series of a histogram that have these labels."""
        wanted, counts = set(labels.items()), dict[float, float]()
        for (series, known), value in self.samples.items():
            if series == f"{spec.name}_bucket" and wanted <= known:
                bound = float(dict(known)["le"])
                counts[bound] = counts.get(bound, 0.0) + value
        return dict(sorted(counts.items()))


@dataclass(frozen=True, slots=True)
class Between:
    """What happened from one look to the next."""

    before: Snapshot
    after: Snapshot

    def rate(self, spec: MetricSpec, **labels: str) -> float:
        """How much a counter grew, a second; a counter that fell began again at zero."""
        ending = "_count" if spec.kind is Kind.HISTOGRAM else ""
        old, new = (look.total(spec, ending, **labels) for look in (self.before, self.after))
        elapsed = self.after.seconds - self.before.seconds
        return max(0.0, new - old if new >= old else new) / elapsed if elapsed > 0 else 0.0

    def quantile(self, spec: MetricSpec, share: float, **labels: str) -> float | None:
        """The time that ``share`` of what was measured in between stayed under, None where nothing was.

        As Prometheus has it: even within a bucket, and the highest bound for what lies beyond.
        """
        old = self.before.buckets(spec, **labels)
        counts = {bound: count - old.get(bound, 0.0) for bound, count in self.after.buckets(spec, **labels).items()}
        whole = max(counts.values(), default=0.0)
        if whole <= 0:
            return None
        rank, low, under = share * whole, 0.0, 0.0
        for bound, count in counts.items():
            if count >= rank:
                return low if bound == float("inf") else low + (bound - low) * (rank - under) / (count - under)
            low, under = bound, count
        return low


def scrape(endpoint: str, *, timeout_seconds: float = 5.0) -> Snapshot:
    """One look at ``endpoint``, HOST:PORT. Raises ``GlossdError`` that says what stands or does not stand there."""
    address = f"http://{endpoint}/metrics"
    try:
        with urlopen(address, timeout=timeout_seconds) as answer:
            text = answer.read(MOST_BYTES).decode("utf-8")
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        hint = "start the server with --set metrics.enabled=true"
        raise GlossdError(f"no metrics at {address} ({reason}); {hint}") from error
    return parse(text, address=address)


def parse(text: str, *, address: str = "") -> Snapshot:
    """The samples of a page of metrics. Raises ``GlossdError`` where it is not a glossd's."""
    samples: dict[tuple[str, Labels], float] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name, frozenset(sample.labels.items())] = sample.value
    except (ValueError, KeyError, IndexError) as error:
        raise GlossdError(f"what {address} answers is not a page of metrics") from error
    if not any(name == BUILD.name for name, _ in samples):
        raise GlossdError(f"what {address} shows are not the metrics of a glossd")
    return Snapshot(time.monotonic(), samples)
