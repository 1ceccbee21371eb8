"""Replicas against cores: ``python -m bench.fleet --json FILE``. The same articles through ``--engine grpc``'s engine.

One server with all the cores and several servers with a part of them each take turns over the same articles, each on
cores of its own; the engine that feeds them runs on all of them. The rates of one run are compared, never bare times.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossd.corpus.fleet import FleetEngine, FleetLimits
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Failure, Place, Record, Row
from glossd.types import DocumentInput

from bench.articles import read_articles


@dataclass(frozen=True, slots=True)
class Setup:
    """A way to use the cores: each replica's share of them."""

    name: str
    shares: tuple[tuple[int, ...], ...]


class Served:
    """A running ``glossd serve`` that may use some cores only, with an engine worker on each."""

    def __init__(self, cores: Sequence[int], settings: Sequence[str]) -> None:
        assignments = [word for setting in settings for word in ("--set", setting)]
        command = ["taskset", "-c", ",".join(map(str, cores)), sys.executable, "-m", "glossd", "serve"]
        self._process = subprocess.Popen([*command, "--port", "0", *assignments], stderr=subprocess.PIPE, text=True)
        self.endpoint = self._wait_for_address()

    def _wait_for_address(self) -> str:
        assert self._process.stderr is not None
        seen = []
        for line in self._process.stderr:
            seen.append(line)
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("message") == "ready":
                return str(entry["address"])
        raise SystemExit("glossd serve stopped:\n" + "".join(seen[-20:]))

    def close(self) -> None:
        """Drain and end the process."""
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=60)


def setups(cores: Sequence[int]) -> tuple[Setup, ...]:
    """One server with everything; one server for each core; one server with a single core, to scale from."""
    each = tuple((core,) for core in cores)
    return (
        Setup(f"1 replica, {len(cores)} cores", (tuple(cores),)),
        Setup(f"{len(cores)} replicas, 1 core each", each),
        Setup("1 replica, 1 core", (each[0],)),
    )


@contextmanager
def serving(setup: Setup, settings: Sequence[str]) -> Iterator[list[str]]:
    """The endpoints of a setup's servers while they run."""
    servers: list[Served] = []
    try:
        for share in setup.shares:
            servers.append(Served(share, settings))
        yield [server.endpoint for server in servers]
    finally:
        for server in servers:
            server.close()


def measure(setup: Setup, settings: Sequence[str], records: Sequence[Record], warm: int) -> dict[str, Any]:
    """Articles and output tokens a second of one pass, servers and engine started and warmed before."""
    with serving(setup, settings) as endpoints:
        engine = FleetEngine(endpoints, Recipe("zh"), limits=FleetLimits())
        try:
            for _ in engine.run(records[:warm]):
                pass
            started = time.perf_counter()
            outcomes = list(engine.run(records[warm:]))
            seconds = time.perf_counter() - started
        finally:
            engine.close()
    failed = sum(isinstance(outcome.result, Failure) for outcome in outcomes)
    tokens = sum(outcome.result.output_tokens for outcome in outcomes if isinstance(outcome.result, Row))
    return {
        "setup": setup.name,
        "articles": len(outcomes),
        "failed": failed,
        "articles_per_second": round(len(outcomes) / seconds, 3),
        "output_tokens_per_second": round(tokens / seconds, 1),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--articles", type=int, default=200, help="articles of a pass")
    parser.add_argument("--warm", type=int, default=16, help="articles before it")
    parser.add_argument("--rounds", type=int, default=3, help="passes of each setup, in turns")
    parser.add_argument("--dtype", default="float32", help="number format of the embedded model")
    chosen = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    cores = sorted(os.sched_getaffinity(0))
    texts = read_articles(chosen.articles + chosen.warm)
    records = [Record(at, str(at), DocumentInput(text), Place("bench", at)) for at, text in enumerate(texts)]
    settings = ["engine.cache_entries=0", "engine.threads=1", f"models.dtype={chosen.dtype}", "logging.level=info"]
    passes = [measure(setup, settings, records, chosen.warm) for _ in range(chosen.rounds) for setup in setups(cores)]
    rates = {
        setup.name: statistics.median(
            each["output_tokens_per_second"] for each in passes if each["setup"] == setup.name
        )
        for setup in setups(cores)
    }
    first = next(iter(rates.values()))
    report = {
        "checkpoint": "embedded",
        "dtype": chosen.dtype,
        "cores": len(cores),
        "ratios_to_one_replica_with_all_cores": {name: round(rate / first, 3) for name, rate in rates.items()},
        "passes": passes,
    }
    print(json.dumps(report, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
