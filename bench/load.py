"""A server under load: ``python -m bench.load --json FILE``. 1, 8 and 64 clients send whole articles over loopback.

A real ``glossd serve`` runs as a child process. What it does is compared with the same articles translated by the tasks
layer in another child without gRPC, in the same session; only one of the two works at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossd.client import AsyncClient

from bench.articles import read_articles

CLIENTS = (1, 8, 64)
LOG = "ready"


@dataclass(frozen=True, slots=True)
class Phase:
    """What a number of clients got done: articles, output tokens, and how long it took."""

    clients: int
    articles: int
    output_tokens: int
    seconds: float

    def rates(self) -> dict[str, float | int]:
        """As the result file holds it."""
        return {
            "clients": self.clients,
            "articles": self.articles,
            "articles_per_second": round(self.articles / self.seconds, 3),
            "output_tokens_per_second": round(self.output_tokens / self.seconds, 1),
        }


class Offline:
    """A running :mod:`bench.articles`."""

    def __init__(self, settings: Sequence[str]) -> None:
        command = [sys.executable, "-m", "bench.articles", *settings]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._answer()

    def translate(self, numbers: Sequence[int]) -> Phase:
        """Translate articles all at once."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"articles": list(numbers)}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        return Phase(0, len(numbers), answer["output_tokens"], answer["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the process without a server stopped; run python -m bench.articles to see why")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


class Served:
    """A running ``glossd serve`` on a free loopback port."""

    def __init__(self, settings: Sequence[str]) -> None:
        assignments = [word for setting in settings for word in ("--set", setting)]
        command = [sys.executable, "-m", "glossd", "serve", "--host", "127.0.0.1", "--port", "0", *assignments]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.endpoint = self._wait_for_address()

    def _wait_for_address(self) -> str:
        assert self._process.stderr is not None
        seen = []
        for line in self._process.stderr:
            seen.append(line)
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("message") == LOG:
                # A line for each call: a pipe that nobody reads holds up the server once it is full.
                threading.Thread(target=deque, args=(self._process.stderr, 0), daemon=True).start()
                return str(entry["address"])
        raise SystemExit("glossd serve stopped:\n" + "".join(seen[-20:]))

    def close(self) -> None:
        """Drain and end the process."""
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=60)


async def press(endpoint: str, articles: Sequence[str], clients: int) -> Phase:
    """Let clients, each with a connection object of its own, take the articles in turn until none is left."""
    waiting = iter(articles)
    tokens = 0

    async def one_client() -> None:
        nonlocal tokens
        async with AsyncClient(endpoint) as client:
            for text in waiting:
                answer = await client.translate(text, to="zh")
                tokens += answer.usage.output_tokens

    started = time.perf_counter()
    await asyncio.gather(*(one_client() for _ in range(clients)))
    return Phase(clients, len(articles), tokens, time.perf_counter() - started)


async def wait_alone(endpoint: str, offline: Offline, articles: Sequence[str]) -> dict[str, float]:
    """A lone client's latency against the same article offline alone, turn about."""
    served, alone = [], []
    async with AsyncClient(endpoint) as client:
        for number, text in enumerate(articles):
            alone.append((await asyncio.to_thread(offline.translate, [number])).seconds)
            started = time.perf_counter()
            await client.translate(text, to="zh")
            served.append(time.perf_counter() - started)
    return {
        "articles": len(articles),
        "p50_seconds": round(statistics.median(served), 4),
        "p99_seconds": round(_percentile(served, 99), 4),
        "offline_p50_seconds": round(statistics.median(alone), 4),
        "offline_p99_seconds": round(_percentile(alone, 99), 4),
        "p50_ratio": round(statistics.median(served) / statistics.median(alone), 3),
        "p99_ratio": round(_percentile(served, 99) / _percentile(alone, 99), 3),
    }


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


async def measure(settings: Sequence[str], *, limit: int, seconds: float, lone: int) -> dict[str, Any]:
    """All phases; so many articles in each that offline takes about ``seconds``, ``limit`` at most."""
    texts = read_articles(limit)
    offline, server = Offline(settings), Served(settings)
    try:
        warm = min(16, len(texts))
        await asyncio.to_thread(offline.translate, range(warm))
        await press(server.endpoint, texts[:warm], 8)
        rough = await asyncio.to_thread(offline.translate, range(warm))
        texts = texts[: max(warm, min(len(texts), int(seconds * rough.articles / rough.seconds)))]
        numbers = range(len(texts))
        before = await asyncio.to_thread(offline.translate, numbers)
        phases = [await press(server.endpoint, texts[: _share(len(texts), clients)], clients) for clients in CLIENTS]
        after = await asyncio.to_thread(offline.translate, numbers)
        alone = await wait_alone(server.endpoint, offline, texts[:lone])
    finally:
        server.close()
        offline.close()
    whole = Phase(0, 2 * len(texts), before.output_tokens + after.output_tokens, before.seconds + after.seconds)
    rates = whole.rates()
    clients = [
        phase.rates()
        | {"share_of_offline": round(phase.rates()["output_tokens_per_second"] / rates["output_tokens_per_second"], 3)}
        for phase in phases
    ]
    return {"offline": rates, "clients": clients, "lone_client": alone}


def _share(articles: int, clients: int) -> int:
    """Fewer articles for fewer clients: they work one after another."""
    return max(4, articles if clients == max(CLIENTS) else articles * clients // 16)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--dtype", default="auto", help="number format of the embedded model")
    parser.add_argument("--articles", type=int, default=256, help="most articles a phase")
    parser.add_argument("--seconds", type=float, default=15.0, help="about how long the articles take offline")
    parser.add_argument("--lone", type=int, default=20, help="articles of the lone client")
    chosen = parser.parse_args()
    settings = ["engine.cache_entries=0", f"models.dtype={chosen.dtype}"]
    os.environ["HF_HUB_OFFLINE"] = "1"
    measured = asyncio.run(measure(settings, limit=chosen.articles, seconds=chosen.seconds, lone=chosen.lone))
    report = {"checkpoint": "embedded", "dtype": chosen.dtype, "cores": len(os.sched_getaffinity(0)), **measured}
    print(json.dumps(report, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
